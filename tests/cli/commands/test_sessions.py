"""``chainlog sessions``, ``chainlog session``, and usage by tag."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli, entry

T0 = 1_764_054_000_000
"""2025-11-25 07:00 UTC."""
WINDOW = ("--since", "2025-11-25T07:00Z", "--until", "2025-11-25T10:00Z")


def rows(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    """The last list that a command prints for machines."""
    *_, items = cli.json(*arguments).values()
    assert isinstance(items, list)
    return items


@pytest.fixture
def store(cli: Cli) -> Cli:
    """Two sessions and a request of none."""
    turn = {"session_id": "thread\x1b7", "prompt_tokens": 100, "cost_usd": 0.25}
    cli.store(
        entry(timestamp=T0, cached_tokens=50, model="a", tags=["team:search", "env:prod"], **turn),
        entry(timestamp=T0 + 1_000, model="b", session_id="other", tags=["team:ads"]),
        entry(timestamp=T0 + 90_000, model="b", http_status=500, error_message="no", tags=["team:search"], **turn),
        entry(timestamp=T0 + 91_000, model="b"),
    )
    return cli


def test_sessions_are_listed_with_the_newest_first(store: Cli) -> None:
    """With what they took; control characters are shown, and not obeyed."""
    first, second = store.here("sessions", env={"COLUMNS": "200"}).stdout.splitlines()[-2:]
    assert "thread\\x1b7" in first
    assert "25.0%" in first
    assert "$0.5000" in first
    assert "other" in second
    found = rows(store, "sessions", "-n", "1")
    assert [(one["sessionId"], one["requests"], one["costUsd"]) for one in found] == [("thread\x1b7", 2, 0.5)]
    assert store.here("sessions", "--caller", "nobody").stdout == "no session matches\n"


def test_a_session_is_shown_with_its_requests_in_order(store: Cli) -> None:
    """Its sums, then each request; an unknown one is an error."""
    lines = store.here("session", "thread\x1b7").stdout.splitlines()
    assert "requests:      2, 1 failed" in lines
    assert "cost:          $0.500000" in lines
    assert "prompt:        200 tokens, 25.0% of them cached" in lines
    assert [line.split()[2] for line in lines[-2:]] == ["1", "3"]
    assert [row["id"] for row in rows(store, "session", "thread\x1b7", "-n", "1")] == [3]
    missing = store.here("session", "nobody")
    assert missing.code == 1
    assert "there is no session nobody; it may have been pruned" in missing.stderr
    assert len(rows(store, "recent", "--session", "thread\x1b7")) == 2


def test_usage_by_tag_and_of_a_tag(store: Cli) -> None:
    """As by any other name."""
    lines = store.here("usage", *WINDOW, "--by", "tag:team").stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["search", "2"], ["ads", "1"]]
    lines = store.here("usage", *WINDOW, "--by", "tag:team", "--step", "1h").stdout.splitlines()
    assert lines[2].split()[0] == "search"
    lines = store.here("usage", *WINDOW, "--by", "model", "--tag", "team:search").stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["a", "1"], ["b", "1"]]
    assert len(rows(store, "recent", "--tag", "team:search")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "tag:"), "'tag:' is not one of 'chain', 'provider', 'model', 'caller', 'tag:KEY'"),
        (("--tag", "team"), "tag is 'team'; give KEY:VALUE, such as team:search."),
        (("--by", "tag:team", "--tag", "env:prod"), "usage is not counted by two keys at once: leave one out."),
        (("--by", "tag:team", "--step", "15m"), "usage by tag is counted by the hour: give 1h or more."),
    ],
)
def test_what_cannot_be_asked_of_tags_is_told(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    """With the remedy, as wrong usage."""
    refused = cli.here("usage", *arguments)
    assert (refused.code, message in " ".join(refused.stderr.split())) == (2, True)


def test_latency_by_tag_is_refused(cli: Cli) -> None:
    """With what can be asked instead."""
    refused = cli.here("latency", "--by", "tag:team")
    assert refused.code == 2
    assert "by is 'tag:team'; percentiles are not counted by tag: usage is, with the mean latency." in refused.stderr
