"""``chainlog sessions`` and ``chainlog session``."""

from __future__ import annotations

import anyio
import click
import msgspec

from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.window import Instant, refuse_window
from chainlog_async.cli.output.charts import dollars, exact_dollars, percent
from chainlog_async.cli.output.render import duration, number, output, plain, print_json, status, utc_text
from chainlog_async.cli.output.table import Cell, Column, Table
from chainlog_async.common.clock import now_ms
from chainlog_async.requests.cursor import MAX_PAGE
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.requests.sessions import MAX_SESSIONS, Session, SessionFilter
from chainlog_async.settings import Settings

from .usage import open_usage

_SESSION_COLUMNS = (
    Column("last request (UTC)"),
    Column("session", elastic=True),
    Column("caller", elastic=True, spare=True),
    Column("requests", right=True),
    Column("errors", right=True),
    Column("tokens", right=True),
    Column("cached", right=True),
    Column("cost", right=True),
    Column("took", right=True, spare=True),
    Column("models", elastic=True, spare=True),
)
_TURN_COLUMNS = (
    Column("time (UTC)"),
    Column("id", right=True),
    Column("model", elastic=True),
    Column("prompt", right=True),
    Column("cached", right=True),
    Column("completion", right=True),
    Column("cost", right=True),
    Column("latency", right=True),
    Column("code"),
    Column("error", elastic=True, spare=True),
)


class SessionsReport(msgspec.Struct, frozen=True):
    """The ``--json`` of ``chainlog sessions``."""

    sessions: list[Session]


class SessionReport(msgspec.Struct, frozen=True):
    """The ``--json`` of ``chainlog session``."""

    session: Session
    requests: list[RequestLogRow]


@click.command(
    short_help="Show sessions: conversations of several requests.",
    epilog=examples(
        "chainlog sessions                         the last 20, the one with the newest request first",
        "chainlog sessions --since 24h --caller team-a -n 100",
        "chainlog sessions --json | jq '.sessions[] | select(.costUsd > 1) | .sessionId'",
    ),
)
@click.option(
    "-n", "--limit", default=20, show_default=True, metavar="N", type=click.IntRange(min=0), help="How many sessions."
)
@click.option("--since", type=Instant(), help="Only sessions with a request from this time on: 24h, 7d, 2026-11-25.")
@click.option("--until", type=Instant(), help="Only sessions whose newest request is before this time.")
@click.option("--caller", metavar="NAME", help="Only this caller's requests.")
@json_option('one object {"sessions": [...]}, as in GET /v1/sessions')
@settings_options
def sessions(
    options: SettingsOptions, limit: int, since: int | None, until: int | None, caller: str | None, as_json: bool
) -> None:
    """Show sessions, the one with the newest request first: requests, failed ones, tokens, cost and models.

    Requests that were logged with the same session id are a session. Of each, the newest 10,000 requests are counted.

    Exit codes: 0 done, 1 the log cannot be read.
    """
    refuse_window(since, until, now=now_ms())
    try:
        where = SessionFilter(start=since, end=until, caller=caller)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    found = anyio.run(_read_sessions, options.load(), where, limit)
    if as_json:
        print_json(SessionsReport(found))
    elif found:
        Table(output(), _SESSION_COLUMNS).print([_session_cells(one) for one in found])
    elif limit:
        click.echo("no session has been logged yet" if where == SessionFilter() else "no session matches")


@click.command(
    short_help="Show one session with its requests.",
    epilog=examples(
        "chainlog session thread-7                 its sums, and its requests in order",
        "chainlog session thread-7 --json | jq '.requests[].costUsd'",
    ),
)
@click.argument("session_id", metavar="ID")
@click.option(
    "-n", "--limit", default=50, show_default=True, metavar="N", type=click.IntRange(min=0), help="How many requests."
)
@json_option("one object with the session and its newest requests, oldest first")
@settings_options
def session(options: SettingsOptions, session_id: str, limit: int, as_json: bool) -> None:
    """Show the sums of the session with that ID, and its newest requests in the order in which they were logged.

    Exit codes: 0 done, 1 there is no such session, or the log cannot be read.
    """
    try:
        where = RequestFilter(session_id=session_id)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    report = anyio.run(_read_session, options.load(), where, limit)
    if report is None:
        click.echo(plain(f"there is no session {session_id}; it may have been pruned"), err=True)
        raise click.exceptions.Exit(1)
    if as_json:
        print_json(report)
        return
    for label, value in _lines(report.session):
        click.echo(plain(f"{label + ':':<15}{value}"))
    if report.requests:
        click.echo()
        Table(output(), _TURN_COLUMNS).print([_turn_cells(one) for one in report.requests])


async def _read_sessions(settings: Settings, where: SessionFilter, limit: int) -> list[Session]:
    found: list[Session] = []
    cursor: str | None = None
    async with open_usage(settings) as usage:
        while len(found) < limit:
            page = await usage.find_sessions(where, limit=min(limit - len(found), MAX_SESSIONS), cursor=cursor)
            found += page.sessions
            if (cursor := page.next_cursor) is None:
                break
    return found


async def _read_session(settings: Settings, where: RequestFilter, limit: int) -> SessionReport | None:
    async with open_usage(settings) as usage:
        found = await usage.get_session(where.session_id or "")
        if found is None:
            return None
        turns: list[RequestLogRow] = []
        cursor: str | None = None
        while len(turns) < limit:
            page = await usage.find_requests(where, limit=min(limit - len(turns), MAX_PAGE), cursor=cursor)
            turns += page.requests
            if (cursor := page.next_cursor) is None:
                break
    return SessionReport(found, turns[::-1])


def _lines(one: Session) -> list[tuple[str, str]]:
    return [
        ("session", one.session_id),
        ("caller", one.caller or "-"),
        ("first (UTC)", utc_text(one.first_at)),
        ("last (UTC)", utc_text(one.last_at)),
        ("requests", f"{number(one.requests)}, {number(one.errors)} failed"),
        ("prompt", f"{number(one.prompt_tokens)} tokens, {percent(one.cached_share or 0)} of them cached"),
        ("completion", f"{number(one.completion_tokens)} tokens"),
        ("cost", exact_dollars(one.cost_usd)),
        ("models", ", ".join(one.models)),
    ]


def _session_cells(one: Session) -> tuple[Cell, ...]:
    return (
        utc_text(one.last_at),
        one.session_id,
        one.caller or "-",
        number(one.requests),
        number(one.errors) if one.errors else "-",
        number(one.total_tokens),
        percent(one.cached_share or 0),
        dollars(one.cost_usd),
        duration(one.last_at - one.first_at) if one.last_at > one.first_at else "-",
        ", ".join(one.models),
    )


def _turn_cells(row: RequestLogRow) -> tuple[Cell, ...]:
    return (
        utc_text(row.timestamp),
        str(row.id),
        row.model,
        number(row.prompt_tokens),
        number(row.cached_tokens) if row.cached_tokens else "-",
        number(row.completion_tokens),
        "-" if row.cost_usd is None else exact_dollars(row.cost_usd),
        duration(row.latency_ms),
        status(row.http_status),
        row.error_message or "",
    )
