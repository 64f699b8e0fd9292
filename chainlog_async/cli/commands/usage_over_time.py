"""``chainlog usage`` with a window: one line per step, per group, or per group with a sparkline of the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import anyio
import click
import msgspec

from chainlog_async.cli.options.window import QueryOptions, window_text
from chainlog_async.cli.output.charts import bar, by_group, dollars, percent, sparkline, step_name
from chainlog_async.cli.output.render import duration, number, output, print_json
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.cli.similar_names import similar_names
from chainlog_async.settings import Settings
from chainlog_async.usage.points import UsagePoint
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage_aggregator import UsageAggregator

_SUM_COLUMNS = (
    Column("requests", right=True),
    Column("errors", right=True),
    Column("429", right=True),
    Column("499", right=True, spare=True),
    Column("tokens", right=True),
    Column("cost", right=True),
    Column("latency", right=True, spare=True),
)


class UsageOverTime(msgspec.Struct, frozen=True):
    """The ``--json`` of ``chainlog usage`` with a window."""

    points: list[UsagePoint]


def show_usage(settings: Settings, query: QueryOptions, *, as_json: bool) -> None:
    """Runs the query and prints its result, as tables or as JSON."""
    points, hint = anyio.run(_read, settings, query)
    if as_json:
        print_json(UsageOverTime(points))
    elif not points:
        click.echo(f"no requests {window_text(query.window)}{hint}")
    elif query.window.step is None:
        _print_groups(points, query)
    elif query.by is None:
        _print_steps(points, query)
    else:
        _print_sparklines(points, query)
    if not as_json and (unanswered := math.fsum(point.unanswered_cost_usd for point in points)):
        click.echo(f"spent on tries that did not answer: {dollars(unanswered)}")


async def _read(settings: Settings, query: QueryOptions) -> tuple[list[UsagePoint], str]:
    """Returns what there is, or else nothing and the name that was probably meant."""
    async with UsageAggregator.from_settings(settings) as usage:
        points = await usage.get_usage(
            UsageQuery(
                window=query.window,
                by=query.by,
                where=query.where,
                max_groups=query.groups,
                fill=query.window.step is not None,
            )
        )
        if any(point.requests for point in points):
            return points, ""
        return [], await similar_names(usage, query.where)


def _sums(points: Sequence[UsagePoint]) -> tuple[str, ...]:
    requests = sum(point.requests for point in points)
    errors = sum(point.errors for point in points)
    cancelled = sum(point.cancelled for point in points)
    answered = requests - errors - cancelled
    # The mean latency of a step is of its answered requests.
    latency = sum((point.avg_latency_ms or 0) * (point.requests - point.errors - point.cancelled) for point in points)
    return (
        number(requests),
        percent(errors / requests if requests else 0),
        percent(sum(point.rate_limited for point in points) / requests if requests else 0),
        percent(cancelled / requests if requests else 0),
        number(sum(point.total_tokens for point in points)),
        dollars(math.fsum(point.cost_usd for point in points)),
        duration(latency / answered) if answered else "-",
    )


def _print_groups(points: Sequence[UsagePoint], query: QueryOptions) -> None:
    largest = max(point.requests for point in points)
    table = Table(output(), (Column(query.by or "", elastic=True), *_SUM_COLUMNS, Column("")))
    table.print(
        [(name, *_sums(group), bar(group[0].requests, largest)) for name, group in by_group(points, query.by).items()]
    )


def _print_steps(points: Sequence[UsagePoint], query: QueryOptions) -> None:
    largest = max(point.requests for point in points)
    table = Table(output(), (Column(f"from ({query.window.zone})"), *_SUM_COLUMNS, Column("")))
    table.print(
        [(step_name(point.start, query.window), *_sums([point]), bar(point.requests, largest)) for point in points]
    )


def _print_sparklines(points: Sequence[UsagePoint], query: QueryOptions) -> None:
    title = f"requests by {query.window.step} from {step_name(points[0].start, query.window)}"
    table = Table(output(), (Column(query.by or "", elastic=True), *_SUM_COLUMNS, Column(title, elastic=True)))
    table.print(
        [
            (name, *_sums(group), sparkline([point.requests for point in group]))
            for name, group in by_group(points, query.by).items()
        ]
    )
