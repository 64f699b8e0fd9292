"""What is read out of a ``postgresql://`` URL."""

from __future__ import annotations

import pytest

from chainlog_async.errors import SettingsError
from chainlog_async.storage.postgres.url import CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_MS, parse_url


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://u:p@one/log", (("one", None),)),
        ("postgresql://u:p@one:5433,two/log", (("one", 5433), ("two", None))),
        ("postgresql://u@[::1]:5433,[fe80::2]/log", (("::1", 5433), ("fe80::2", None))),
        ("postgresql:///log", ((None, None),)),
        ("postgresql:///log?host=/run/postgresql", (("/run/postgresql", None),)),
        ("postgresql://u@/log?host=one,two&port=1,2", (("one", 1), ("two", 2))),
        ("postgresql://u@/log?host=one,two&port=9", (("one", 9), ("two", 9))),
    ],
)
def test_hosts_are_tried_in_their_order(text: str, hosts: tuple[tuple[str | None, int | None], ...]) -> None:
    """Names, addresses of both versions, and folders of sockets, each with its port."""
    assert parse_url(text).hosts == hosts


def test_parameters_of_ours_are_taken_out_and_the_drivers_stay() -> None:
    """The driver would send a parameter that it does not know to the server."""
    url = parse_url(
        "postgresql://u:geheim@one,two/log?schema=team_a&target_session_attrs=read-write&sslmode=verify-full"
        "&connect_timeout=2&statement_timeout=700"
    )
    assert (url.schema, url.connect_timeout_s, url.statement_timeout_ms) == ("team_a", 2, 700)
    assert url.dsn == "postgresql://u:geheim@/log?target_session_attrs=read-write&sslmode=verify-full"
    assert url.shown == "postgresql://one,two/log"
    assert url.sql("SELECT {s}.fold($1)") == "SELECT team_a.fold($1)"


def test_there_are_limits_to_every_wait_by_default() -> None:
    """Nobody waits for ever for a server that swallows everything."""
    url = parse_url("postgresql://u@one/log")
    assert (url.connect_timeout_s, url.statement_timeout_ms) == (CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_MS)


@pytest.mark.parametrize(
    ("parameter", "named"),
    [("schema=a.b", "schema"), ("schema=A", "schema"), ("connect_timeout=soon", "connect_timeout"), ("port=x", "port")],
)
def test_what_makes_no_sense_is_refused_without_the_password(parameter: str, named: str) -> None:
    """The message names the parameter."""
    with pytest.raises(SettingsError, match=named) as raised:
        parse_url(f"postgresql://u:geheim@one/log?{parameter}")
    assert "geheim" not in str(raised.value)
