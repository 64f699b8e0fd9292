"""``chainlog latency``."""

from __future__ import annotations

from typing import get_args

import anyio
import click
import msgspec

from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.window import QueryOptions, query_options, window_of, window_text
from chainlog_async.cli.output.charts import group_name, percent, step_name
from chainlog_async.cli.output.render import duration, number, output, print_json
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.cli.similar_names import similar_names
from chainlog_async.settings import Settings
from chainlog_async.usage.points import LatencyPoint
from chainlog_async.usage.query import EVERYTHING, DurationsOf, UsageQuery, refuse_latency_of_tags
from chainlog_async.usage_aggregator import UsageAggregator

_COLUMNS = (
    Column("requests", right=True),
    Column("p50", right=True),
    Column("p90", right=True, spare=True),
    Column("p95", right=True),
    Column("p99", right=True),
    Column("ttft p50", right=True, spare=True),
    Column("ttft p95", right=True, spare=True),
    Column("tokens/s", right=True, spare=True),
    Column("errors", right=True),
    Column("429", right=True),
    Column("499", right=True, spare=True),
)


class LatencyOverTime(msgspec.Struct, frozen=True):
    """The ``--json`` of ``chainlog latency``."""

    points: list[LatencyPoint]


@click.command(
    short_help="Show percentiles of latency and time to first token.",
    epilog=examples(
        "chainlog latency                          the last 24 hours in one line",
        "chainlog latency --by provider --since 7d",
        "chainlog latency --since 24h --step 1h --chain default --tz Europe/Berlin",
        "chainlog latency --outcome unanswered     how long failures took",
    ),
)
@json_option('one object with "points", as in GET /v1/latency')
@click.option(
    "--outcome",
    "durations_of",
    type=click.Choice(get_args(DurationsOf)),
    default="answered",
    show_default=True,
    help="Requests whose percentiles are shown; unanswered ones failed, or their client hung up.",
)
@query_options
@settings_options
def latency(
    options: SettingsOptions, as_json: bool, query: QueryOptions | None, durations_of: DurationsOf = "answered"
) -> None:
    """Show percentiles of latency and time to first token, and the error rates.

    Percentiles are of answered requests, and within 5 % of the exact values. They are read from histograms that are
    updated as entries are written, so this takes no longer when the log grows.
    """
    query = query or QueryOptions(window_of(None, None), None, EVERYTHING, 20)
    try:
        refuse_latency_of_tags(query.by, query.where)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    points, hint = anyio.run(_read, options.load(), query, durations_of)
    if as_json:
        print_json(LatencyOverTime(points))
    elif not points:
        click.echo(f"no requests {window_text(query.window)}{hint}")
    else:
        _print(points, query)


async def _read(settings: Settings, query: QueryOptions, durations_of: DurationsOf) -> tuple[list[LatencyPoint], str]:
    """Returns what there is, or else nothing and the name that was probably meant."""
    async with UsageAggregator.from_settings(settings) as usage:
        points = await usage.get_latency(
            UsageQuery(
                window=query.window,
                by=query.by,
                where=query.where,
                max_groups=query.groups,
                durations_of=durations_of,
            )
        )
        return points, "" if points else await similar_names(usage, query.where)


def _print(points: list[LatencyPoint], query: QueryOptions) -> None:
    window, by = query.window, query.by
    first = [Column(f"from ({window.zone})")] if window.step else []
    if by is not None or not first:
        first.append(Column(by or "", elastic=True))
    rows = [
        [
            *([step_name(point.start, window)] if window.step else []),
            *([group_name(point, by)] if by is not None or not window.step else []),
            number(point.requests),
            *(_ms(getattr(point.latency_ms, name)) for name in ("p50", "p90", "p95", "p99")),
            *(_ms(getattr(point.ttft_ms, name)) for name in ("p50", "p95")),
            "-" if point.tokens_per_second is None else f"{point.tokens_per_second:,.1f}",
            percent(point.error_rate),
            percent(point.rate_limited_rate),
            percent(point.cancelled_rate),
        ]
        for point in points
    ]
    Table(output(), (*first, *_COLUMNS)).print(rows)


def _ms(value: float | None) -> str:
    return "-" if value is None else duration(value)
