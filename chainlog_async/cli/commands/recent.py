"""``chainlog recent``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import click
from anyio import CancelScope

from chainlog_async.cli.options.filters import filter_options
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import (
    duration,
    number,
    output,
    print_json,
    print_json_line,
    reader_left,
    status,
    utc_text,
)
from chainlog_async.cli.output.table import Cell, Column, Table
from chainlog_async.cli.signals import signals_to
from chainlog_async.cli.similar_names import similar_names
from chainlog_async.requests.cursor import MAX_PAGE
from chainlog_async.requests.filter import RequestFilter, matches
from chainlog_async.requests.model import RequestLogRow
from chainlog_async.settings import Settings
from chainlog_async.usage_aggregator import UsageAggregator

from .usage import open_usage

_COLUMNS = (
    Column("time (UTC)"),
    Column("id", right=True, spare=True),
    Column("chain", elastic=True, spare=True),
    Column("provider", elastic=True),
    Column("model", elastic=True),
    Column("in+out", right=True, spare=True),
    Column("tokens", right=True),
    Column("latency", right=True),
    Column("code"),
    Column("attempts", right=True, spare=True),
    Column("error", elastic=True),
)


@click.command(
    short_help="Show the latest requests; --follow keeps watching.",
    epilog=examples(
        "chainlog recent                           the last 20 requests, newest first",
        "chainlog recent --status errors --since 24h --provider groq",
        "chainlog recent --min-latency 10s --error 'timed out' -n 100",
        "chainlog recent -n 100 --json | jq -r '.requests[] | select(.httpStatus >= 400) | .errorMessage'",
        "chainlog recent --follow --status 429     watch new ones; Ctrl-C stops",
        "chainlog recent --follow --json           one JSON object per line, for another program",
    ),
)
@click.option(
    "-n", "--limit", default=20, show_default=True, metavar="N", type=click.IntRange(min=0), help="How many requests."
)
@click.option(
    "-f", "--follow", is_flag=True, help="Keep printing new requests as they are written, newest at the bottom."
)
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0.05, max=3600),
    help="How often --follow checks.",
)
@filter_options
@json_option('one object {"requests": [...]}; with --follow one object per line')
@settings_options
def recent(
    options: SettingsOptions, where: RequestFilter, limit: int, follow: bool, interval: float, as_json: bool
) -> None:
    """Show the latest requests: when, where, how many tokens, how long, and why they failed.

    Without --follow the newest is at the top; with it, at the bottom. Requests of all processes are shown. A request
    must pass every filter; chainlog show ID shows one request in full.
    """
    settings = options.load()
    if follow:
        anyio.run(_follow, settings, where, limit, interval, _json_lines if as_json else _table_lines())
        return
    rows, hint = anyio.run(_read_recent, settings, where, limit)
    if as_json:
        print_json({"requests": rows})
    elif rows:
        Table(output(), _COLUMNS).print([_cells(row) for row in rows])
    elif limit:
        click.echo("no request has been logged yet" if where == RequestFilter() else f"no request matches{hint}")


async def _read_recent(settings: Settings, where: RequestFilter, limit: int) -> tuple[list[RequestLogRow], str]:
    """Returns what there is, or else nothing and the name that was probably meant."""
    async with open_usage(settings) as usage:
        rows = await _newest(usage, where, limit)
        return rows, "" if rows else await similar_names(usage, where)


async def _newest(usage: UsageAggregator, where: RequestFilter, limit: int) -> list[RequestLogRow]:
    found: list[RequestLogRow] = []
    cursor: str | None = None
    while len(found) < limit:
        page = await usage.find_requests(where, limit=min(limit - len(found), MAX_PAGE), cursor=cursor)
        found += page.requests
        if (cursor := page.next_cursor) is None:
            break
    return found


async def _follow(
    settings: Settings,
    where: RequestFilter,
    limit: int,
    interval: float,
    show: Callable[[Sequence[RequestLogRow]], None],
) -> None:
    """Prints the last rows and then every new one, until a signal arrives or the reader of stdout ends."""
    scope = CancelScope()
    async with signals_to(lambda _: scope.cancel()), open_usage(settings) as usage:
        with scope:
            # The end of the log is read first, so that a row written while the last ones are read counts as new.
            last_id = await usage.get_newest_id()
            rows = await _newest(usage, where, limit)
            show([row for row in reversed(rows) if row.id <= last_id])
            while True:
                while rows := await usage.get_requests_after(last_id, limit=MAX_PAGE):
                    last_id = rows[-1].id
                    show([row for row in rows if matches(row, where)])
                if reader_left():
                    return
                await anyio.sleep(interval)


def _json_lines(rows: Sequence[RequestLogRow]) -> None:
    for row in rows:
        print_json_line(row)


def _table_lines() -> Callable[[Sequence[RequestLogRow]], None]:
    table = Table(output(), _COLUMNS)
    header = True

    def show(rows: Sequence[RequestLogRow]) -> None:
        nonlocal header
        table.print([_cells(row) for row in rows], header=header)
        header = False

    return show


def _cells(row: RequestLogRow) -> tuple[Cell, ...]:
    return (
        utc_text(row.timestamp),
        str(row.id),
        row.chain_name,
        row.provider_id,
        row.model,
        f"{number(row.prompt_tokens)}+{number(row.completion_tokens)}",
        number(row.total_tokens),
        duration(row.latency_ms),
        status(row.http_status),
        number(row.attempts),
        row.error_message or "",
    )
