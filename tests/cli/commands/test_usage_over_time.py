"""``chainlog usage`` with a window, ``latency`` and ``health``: the aggregator's numbers, drawn for people."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.cli.output.charts import BAR_CELLS, bar, sparkline
from chainlog_async.common.clock import now_ms
from tests.support.cli import Cli, entry

HOUR = 3_600_000
T0 = 1_764_054_000_000
"""2025-11-25 07:00 UTC."""
WINDOW = ("--since", "2025-11-25T07:00Z", "--until", "2025-11-25T10:00Z")


def answer(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    """The one list that a command prints for machines."""
    (items,) = cli.json(*arguments).values()
    assert isinstance(items, list)
    return items


@pytest.fixture
def store(cli: Cli) -> Cli:
    """Three hours of two providers, the second of which is silent in the middle."""
    cli.store(
        entry(timestamp=T0, provider_id="groq", latency_ms=100, cost_usd=2.5, ttft_ms=10),
        entry(timestamp=T0 + HOUR, provider_id="groq", latency_ms=200, http_status=429, error_message="slow\x1b down"),
        entry(timestamp=T0 + 2 * HOUR, provider_id="groq", latency_ms=400),
        entry(timestamp=T0, provider_id="azure", caller="team", latency_ms=800),
        entry(timestamp=T0 + 2 * HOUR, provider_id="azure", caller="team", latency_ms=1_600, attempts=2),
    )
    return cli


def test_usage_by_step(store: Cli) -> None:
    """One line a step by the zone's clock, with a bar; the machine's version is the API's."""
    lines = store.here("usage", *WINDOW, "--step", "1h", "--tz", "Asia/Tokyo").stdout.splitlines()
    assert lines[0].startswith("from (Asia/Tokyo)")
    assert [line[:16] for line in lines[2:]] == ["2025-11-25 16:00", "2025-11-25 17:00", "2025-11-25 18:00"]
    assert lines[2].split()[2:5] == ["2", "-", "-"]
    assert lines[3].split()[2:5] == ["1", "100.0%", "100.0%"]
    assert [line.count("█") for line in lines[2:]] == [20, 10, 20]
    assert "$2.50" in lines[2]
    points = answer(store, "usage", *WINDOW, "--step", "1h")
    assert [point["requests"] for point in points] == [2, 1, 2]


def test_usage_by_group(store: Cli) -> None:
    """One line a group, the largest first; with steps as a sparkline; filters hold."""
    lines = store.here("usage", *WINDOW, "--by", "provider").stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["groq", "3"], ["azure", "2"]]
    lines = store.here("usage", *WINDOW, "--by", "provider", "--step", "1h").stdout.splitlines()
    assert lines[2].endswith("███")
    assert lines[3].endswith("█ █")
    lines = store.here("usage", *WINDOW, "--by", "caller", "--provider", "groq").stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["(none)", "3"]]
    by_provider = ("usage", *WINDOW, "--by", "provider")
    every = store.here(*by_provider).stdout.splitlines()[2:]
    others = store.here(*by_provider, "--not-provider", "groq").stdout.splitlines()[2:]
    assert [line.split()[:2] for line in others] == [line.split()[:2] for line in every if "groq" not in line]
    lines = store.here("usage", *WINDOW, "--by", "provider", "--groups", "1").stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["groq", "(others)"]


def test_what_failed_tries_cost_is_said(cli: Cli) -> None:
    """Beside the cost of the requests, which includes it."""
    tried = [
        {"provider_id": "a", "model": "m", "http_status": 500, "cost_usd": 1.5},
        {"provider_id": "b", "model": "m", "http_status": 200, "cost_usd": 1.0},
    ]
    cli.store(entry(timestamp=T0, cost_usd=2.5, attempt_trail=tried))
    *_, row, wasted = cli.here("usage", *WINDOW).stdout.splitlines()
    assert "$2.50" in row
    assert wasted == "spent on tries that did not answer: $1.50"
    assert "$1.500000 of it spent on tries that did not answer" in cli.here("show", "1").stdout


def test_a_window_that_ends_in_the_future_begins_a_day_ago(cli: Cli) -> None:
    """Without --since, the last day is in it."""
    cli.store(entry(timestamp=now_ms()))
    (point,) = answer(cli, "usage", "--until", "2099-01-01")
    assert point["requests"] == 1


def test_latency(store: Cli) -> None:
    """Percentiles by group and by step, and a dash where there is none."""
    lines = store.here("latency", *WINDOW, "--by", "provider").stdout.splitlines()
    assert lines[2].split()[:2] == ["groq", "3"]
    assert "33.3%" in lines[2]
    points = answer(store, "latency", *WINDOW, "--by", "provider")
    assert points[0]["latencyMs"]["p50"] == pytest.approx(100, rel=0.05)
    (failed, _) = answer(store, "latency", *WINDOW, "--by", "provider", "--outcome", "unanswered")
    assert failed["latencyMs"]["p50"] == pytest.approx(200, rel=0.05)
    assert points[0]["ttftMs"]["p99"] == pytest.approx(10, rel=0.05)
    assert points[1]["ttftMs"]["p99"] is None
    lines = store.here("latency", *WINDOW, "--step", "1h").stdout.splitlines()
    assert [line[:16] for line in lines[2:]] == ["2025-11-25 07:00", "2025-11-25 08:00", "2025-11-25 09:00"]


def test_health(store: Cli) -> None:
    """Each model of each provider with its refusals and its last error, harmless to the terminal."""
    lines = store.here("health", *WINDOW).stdout.splitlines()
    assert "429 slow\\x1b down" in next(line for line in lines if line.startswith("groq"))
    groq, azure = answer(store, "health", *WINDOW)
    assert (groq["attempts"], groq["rateLimited"], groq["lastErrorStatus"]) == (3, 1, 429)
    assert (azure["attempts"], azure["lastError"]) == (2, None)


def test_clients_that_left_are_counted_apart_in_health(cli: Cli) -> None:
    """A 499 is an attempt that neither answered nor failed."""
    cli.store(
        *[entry(provider_id="p", model="m", http_status=status, timestamp=now_ms()) for status in (200, 499, 503, 499)]
    )
    (one,) = answer(cli, "health")
    assert (one["attempts"], one["successes"], one["failures"], one["cancelled"]) == (4, 1, 1, 2)
    header, *_, line = cli.here("health").stdout.splitlines()
    assert "499" in header
    assert "50.0%" in line


@pytest.mark.parametrize("command", ["usage", "latency", "health"])
def test_an_empty_window_is_a_sentence(store: Cli, command: str) -> None:
    """For people; a machine gets an empty list."""
    assert store.here(command, "--since", "1h").stdout.count("\n") == 1
    assert answer(store, command, "--since", "1h") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("usage", "--since", "tomorrow"), "is not a time"),
        (("usage", "--step", "1h", "--tz", "Mars/Olympus"), "is unknown"),
        (("usage", "--tz", "Nowhere"), "time zone 'Nowhere' is unknown"),
        (("latency", "--tz", "berlin"), "did you mean Europe/Berlin?"),
        (("latency", "--since", "1h", "--until", "2h"), "'--until': the window ends at 20"),
        (
            ("usage", "--since", "2025-11-25T07:03Z", "--until", "2025-11-25T07:01Z"),
            "before it starts at 2025-11-25T07:03:00Z",
        ),
        (("health", "--since", "2099-01-01"), "the window starts in the future, at 2099-01-01T00:00:00Z; it is 20"),
        (("health", "--since", "2025-11-25T07:03Z", "--until", "2025-11-25T07:03Z"), "when it starts"),
        (("usage", "--tz", ""), "time zone '' is unknown"),
        (("usage", "--since", "7"), "a duration needs a unit, as in 7d"),
        (("usage", "chains", "--since", "1h"), "--by chain"),
        (("usage", "--by", "colour"), "'colour' is not one of 'chain', 'provider', 'model', 'caller'"),
        (("usage", "--by", "providers"), "did you mean 'provider'?"),
        (("usage", "--step", "1hr"), "did you mean '1h'?"),
        (("usage", "provider"), "did you mean 'providers'?"),
        (("usage", "zzz"), "for a single one, give --provider NAME or --chain NAME"),
        (("usage", "--since", "1969-01-01", "--until", "1969-01-02"), "give two times from 1970 to 9999"),
    ],
)
def test_what_cannot_be_asked_is_refused(store: Cli, arguments: tuple[str, ...], words: str) -> None:
    """As a misuse, exit code 2, with what to give instead."""
    result = store.here(*arguments)
    assert result.code == 2
    assert words in " ".join(result.stderr.split())


@given(st.lists(st.floats(0, 1e12), max_size=50))
def test_drawings_keep_their_size(values: list[float]) -> None:
    """A sparkline has a character a value, a bar at most its cells, and what is above nothing is seen."""
    line = sparkline(values)
    assert len(line) == len(values)
    for value, character in zip(values, line, strict=True):
        assert (character == " ") == (value <= 0)
        assert len(bar(value, max(values))) <= BAR_CELLS
        assert bool(bar(value, max(values))) == (value > 0)


@pytest.mark.parametrize("command", [("usage", "--by", "model"), ("latency",), ("health",)])
def test_a_window_without_requests_is_told(cli: Cli, command: tuple[str, ...]) -> None:
    """From when to when was searched, as a log may be older than the 24 hours that are the default."""
    cli.json("migrate")
    until = ("--since", "2024-03-01", "--until", "2024-03-02")
    told = "from 2024-03-01 00:00:00 to 2024-03-02 00:00:00 UTC\n"
    assert cli.run(*command, *until).stdout.endswith(told)
