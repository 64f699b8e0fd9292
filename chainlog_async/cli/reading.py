"""``chainlog usage`` and ``chainlog recent``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import anyio
import click
import msgspec
from anyio import CancelScope

from chainlog_async.entry import now_ms
from chainlog_async.settings import Settings
from chainlog_async.usage import ChainUsage, ProviderUsage, RequestLogRow, SummaryStats, UsageAggregator

from .options import Source, examples, json_option, settings_options
from .over_time import Question, question_options
from .render import age, duration, instant, number, output, print_json, print_json_line, reader_left, status
from .signals import signals_to
from .table import Cell, Column, Table
from .usage_over_time import show_usage

FOLLOW_PAGE = 500
"""Rows that one question of ``recent --follow`` asks for."""

_USAGE_COLUMNS = (
    Column("requests", right=True),
    Column("tokens", right=True),
    Column("prompt", right=True),
    Column("completion", right=True),
    Column("last used (UTC)"),
    Column("", spare=True),
)
_RECENT_COLUMNS = (
    Column("time (UTC)"),
    Column("chain", elastic=True, spare=True),
    Column("provider", elastic=True),
    Column("model", elastic=True),
    Column("in+out", right=True, spare=True),
    Column("tokens", right=True),
    Column("latency", right=True),
    Column("code"),
    Column("tries", right=True, spare=True),
    Column("error", elastic=True),
)


def open_usage(settings: Settings) -> UsageAggregator:
    """The reading side of the settings' database."""
    return UsageAggregator(settings.db_path, busy_timeout_ms=settings.busy_timeout_ms, max_readers=settings.max_readers)


@click.command(
    short_help="Who was used how much: requests and tokens.",
    epilog=examples(
        "chainlog usage                            providers, chains and the summary",
        "chainlog usage providers --db ./data/observability.db",
        "chainlog usage chains --json | jq '.chains[] | select(.totalTokens > 1000000)'",
        "chainlog usage --since 7d --step 1d       one line a day",
        "chainlog usage --by provider --since 24h --step 1h",
    ),
)
@click.argument("what", required=False, metavar="[providers|chains]", type=click.Choice(["providers", "chains"]))
@json_option('one object with "summary", "providers" and "chains", or what was asked for; over time "points"')
@question_options
@settings_options
def usage(source: Source, what: str | None, as_json: bool, question: Question | None) -> None:
    """Who was used how much: requests and tokens since the beginning, last used first.

    With any of the options about time, groups and names, what was used in that window, of the last 24 hours if not
    said otherwise.

    The counts are kept as entries come in and are read without a look at the log, so this takes no time however many
    requests there were.
    """
    if question is not None:
        if what is not None:
            raise click.UsageError(f"{what!r} is about all of time; say --by {what[:-1]} for a window")
        show_usage(source.load(), question, as_json=as_json)
        return
    report = anyio.run(_read_usage, source.load(), what)
    if as_json:
        print_json(report)
        return
    parts: list[Callable[[], None]] = []
    if report.summary is not msgspec.UNSET:
        parts.append(functools.partial(_print_summary, report.summary))
    if report.providers is not msgspec.UNSET:
        parts.append(functools.partial(_print_usage, "provider", [(row.provider_id, row) for row in report.providers]))
    if report.chains is not msgspec.UNSET:
        parts.append(functools.partial(_print_usage, "chain", [(row.chain_name, row) for row in report.chains]))
    for place, part in enumerate(parts):
        if place:
            click.echo()
        part()


class UsageReport(msgspec.Struct, frozen=True, rename="camel"):
    """The ``--json`` of ``chainlog usage``; what was not asked for is left out."""

    summary: SummaryStats | msgspec.UnsetType = msgspec.UNSET
    providers: list[ProviderUsage] | msgspec.UnsetType = msgspec.UNSET
    chains: list[ChainUsage] | msgspec.UnsetType = msgspec.UNSET


async def _read_usage(settings: Settings, what: str | None) -> UsageReport:
    async with open_usage(settings) as usage:
        return UsageReport(
            summary=await usage.get_summary_stats() if what is None else msgspec.UNSET,
            providers=await usage.get_all_provider_usage() if what != "chains" else msgspec.UNSET,
            chains=await usage.get_all_chain_usage() if what != "providers" else msgspec.UNSET,
        )


def _print_summary(summary: SummaryStats) -> None:
    total, waterfall = summary.total_requests, summary.waterfall_requests
    share = f" ({waterfall / total:.1%})" if total else ""
    for label, value in (
        ("requests", number(total)),
        ("more than one attempt", f"{number(waterfall)}{share}"),
        ("average latency", duration(summary.avg_latency_ms) if total else "-"),
    ):
        click.echo(f"{label + ':':<23}{value}")


def _print_usage(kind: str, rows: Sequence[tuple[str, ProviderUsage | ChainUsage]]) -> None:
    now = now_ms()
    cells = [
        (
            name,
            number(row.total_requests),
            number(row.total_tokens),
            number(row.total_prompt_tokens),
            number(row.total_completion_tokens),
            instant(row.last_request_timestamp),
            age(row.last_request_timestamp, now=now),
        )
        for name, row in rows
    ]
    if cells:
        Table(output(), (Column(kind, elastic=True), *_USAGE_COLUMNS)).print(cells)
    else:
        click.echo(f"no {kind} was used yet")


@click.command(
    short_help="The latest requests; --follow watches them come.",
    epilog=examples(
        "chainlog recent                           the last 20 requests, newest first",
        "chainlog recent -n 100 --json | jq -r '.requests[] | select(.httpStatus >= 400) | .errorMessage'",
        "chainlog recent --follow                  watch them come; Ctrl-C ends it",
        "chainlog recent --follow --json           one JSON object a line, for another program",
    ),
)
@click.option("-n", "--limit", default=20, show_default=True, metavar="N", type=click.IntRange(min=0), help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new requests as they are written, newest at the bottom.")
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0.05, max=3600),
    help="How often --follow looks.",
)
@json_option('one object {"requests": [...]}; with --follow one object a line')
@settings_options
def recent(source: Source, limit: int, follow: bool, interval: float, as_json: bool) -> None:
    """The latest requests: when, where, how many tokens, how long, and why it failed.

    Without --follow the newest is at the top; with it, at the bottom. It sees what any other process writes.
    """
    settings = source.load()
    if follow:
        anyio.run(_follow, settings, limit, interval, _json_lines if as_json else _table_lines())
        return
    rows = anyio.run(_read_recent, settings, limit)
    if as_json:
        print_json({"requests": rows})
    elif rows:
        Table(output(), _RECENT_COLUMNS).print([_request_cells(row) for row in rows])
    elif limit:
        click.echo("no request was logged yet")


async def _read_recent(settings: Settings, limit: int) -> list[RequestLogRow]:
    async with open_usage(settings) as usage:
        return await _newest(usage, limit)


async def _follow(
    settings: Settings, limit: int, interval: float, show: Callable[[Sequence[RequestLogRow]], None]
) -> None:
    """Prints the last rows and then every new one, until a signal comes or nobody reads on."""
    scope = CancelScope()
    async with signals_to(lambda _: scope.cancel()), open_usage(settings) as usage:
        with scope:
            # The end of the log comes first: a row written while the last ones are read is then a new one.
            last_id = await _newest_id(usage)
            rows = await _newest(usage, limit)
            show([row for row in reversed(rows) if row.id <= last_id])
            while True:
                while rows := await usage.get_recent_requests(FOLLOW_PAGE, after_id=last_id):
                    last_id = rows[-1].id
                    show(rows)
                if reader_left():
                    return
                await anyio.sleep(interval)


async def _newest(usage: UsageAggregator, limit: int) -> list[RequestLogRow]:
    return await usage.get_recent_requests(limit) if limit else []


async def _newest_id(usage: UsageAggregator) -> int:
    """The highest id in the log, or 0. The row with the newest timestamp need not have it."""
    low, step = 0, 1
    while rows := await usage.get_recent_requests(1, after_id=low + step):
        low, step = rows[0].id, 2 * step
    # No row is above low + step; one at low or above it is known, or none at all.
    high = low + step
    while low < high:
        middle = (low + high) // 2
        if rows := await usage.get_recent_requests(1, after_id=middle):
            low = rows[0].id
        else:
            high = middle
    return low


def _json_lines(rows: Sequence[RequestLogRow]) -> None:
    for row in rows:
        print_json_line(row)


def _table_lines() -> Callable[[Sequence[RequestLogRow]], None]:
    table = Table(output(), _RECENT_COLUMNS)
    header = True

    def show(rows: Sequence[RequestLogRow]) -> None:
        nonlocal header
        table.print([_request_cells(row) for row in rows], header=header)
        header = False

    return show


def _request_cells(row: RequestLogRow) -> tuple[Cell, ...]:
    return (
        instant(row.timestamp),
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
