"""``chainlog usage``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import anyio
import click
import msgspec

from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.value_types import Choice
from chainlog_async.cli.options.window import QueryOptions, query_options
from chainlog_async.cli.output.charts import dollars
from chainlog_async.cli.output.render import age, duration, number, output, print_json, utc_text
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.common.clock import now_ms
from chainlog_async.settings import Settings
from chainlog_async.usage.totals import ChainUsage, ProviderUsage, SummaryStats
from chainlog_async.usage_aggregator import UsageAggregator

from .usage_over_time import show_usage

_USAGE_COLUMNS = (
    Column("requests", right=True),
    Column("tokens", right=True),
    Column("prompt", right=True),
    Column("completion", right=True),
    Column("cost", right=True),
    Column("last used (UTC)"),
    Column("", spare=True),
)


def open_usage(settings: Settings) -> UsageAggregator:
    """Returns the reader of the settings' database; use it as an async context manager."""
    return UsageAggregator.from_settings(settings)


@click.command(
    short_help="Show usage by provider and chain.",
    epilog=examples(
        "chainlog usage                            providers, chains and the summary",
        "chainlog usage providers --db ./data/observability.db",
        "chainlog usage chains --json | jq '.chains[] | select(.totalTokens > 1000000)'",
        "chainlog usage --since 7d --step 1d       one line per day",
        "chainlog usage --by provider --since 24h --step 1h",
        "chainlog usage --by tag:team --since 30d --step 1d",
        "chainlog usage --tag team:search --by model   what one team spends on",
    ),
)
@click.argument(
    "what",
    required=False,
    metavar="[providers|chains]",
    type=Choice(["providers", "chains"], otherwise="for a single one, give --provider NAME or --chain NAME"),
)
@json_option('one object with "summary", "providers" and "chains", or only the one named; with a window "points"')
@query_options
@settings_options
def usage(options: SettingsOptions, what: str | None, as_json: bool, query: QueryOptions | None) -> None:
    """Show requests and tokens by provider and chain, most recently used first.

    Without options these are all-time totals. With any option about time, groups or names, they are those of a window,
    by default the last 24 hours.

    Totals are updated as entries are written, and reading them does not read the log, so this takes no longer when the
    log grows.
    """
    if query is not None:
        if what is not None:
            raise click.UsageError(f"{what!r} shows all-time totals; for a window use --by {what[:-1]}")
        show_usage(options.load(), query, as_json=as_json)
        return
    report = anyio.run(_read_usage, options.load(), what)
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
    """The ``--json`` of ``chainlog usage``; parts that were not requested are left out."""

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
            dollars(row.total_cost_usd),
            utc_text(row.last_request_timestamp),
            age(row.last_request_timestamp, now=now),
        )
        for name, row in rows
    ]
    if cells:
        Table(output(), (Column(kind, elastic=True), *_USAGE_COLUMNS)).print(cells)
    else:
        click.echo(f"no {kind} has been used yet")
