"""``chainlog health``."""

from __future__ import annotations

import anyio
import click
import msgspec

from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.window import window_of, window_options, window_text
from chainlog_async.cli.output.charts import bar, percent
from chainlog_async.cli.output.render import age, number, output, print_json
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.common.clock import now_ms
from chainlog_async.settings import Settings
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.time_window import Window
from chainlog_async.usage_aggregator import UsageAggregator

_COLUMNS = (
    Column("provider", elastic=True),
    Column("model", elastic=True),
    Column("attempts", right=True),
    Column("answered", right=True),
    Column("429", right=True),
    Column("failed", right=True),
    Column("499", right=True),
    Column("429 or failed", spare=True),
    Column("last error", elastic=True),
    Column("", spare=True),
)


class HealthReport(msgspec.Struct, frozen=True):
    """The ``--json`` of ``chainlog health``."""

    providers: list[ProviderHealth]


@click.command(
    short_help="Show success, 429 and failure rates by provider.",
    epilog=examples(
        "chainlog health                           the last 24 hours",
        "chainlog health --since 7d --json | jq '.providers[] | select(.refusalRate > 0.1)'",
    ),
)
@json_option('one object with "providers", as in GET /v1/providers/health')
@window_options
@settings_options
def health(options: SettingsOptions, since: int | None, until: int | None, as_json: bool) -> None:
    """Show how often each model of each provider answered, returned 429 or failed otherwise.

    Every attempt of every chain counts, not only the one that answered. 499 is the share whose client hung up before
    the answer, which is neither a success nor a failure.
    """
    window = window_of(since, until)
    providers = anyio.run(_read, options.load(), window)
    if as_json:
        print_json(HealthReport(providers))
    elif not providers:
        click.echo(f"no attempts {window_text(window)}")
    else:
        Table(output(), _COLUMNS).print([_row(one) for one in providers])


async def _read(settings: Settings, window: Window) -> list[ProviderHealth]:
    async with UsageAggregator.from_settings(settings) as usage:
        return await usage.get_provider_health(window)


def _row(one: ProviderHealth) -> tuple[str, ...]:
    status = "" if one.last_error_status is None else f"{one.last_error_status} "
    return (
        one.provider_id,
        one.model,
        number(one.attempts),
        percent(one.successes / one.attempts),
        percent(one.refusal_rate),
        percent(one.failure_rate),
        percent(one.cancelled / one.attempts),
        bar(one.refusal_rate + one.failure_rate, 1),
        "" if one.last_error_at is None else f"{status}{one.last_error or ''}".strip(),
        age(one.last_error_at, now=now_ms()),
    )
