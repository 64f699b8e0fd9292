"""``chainlog budgets``."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import click
import msgspec

from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.charts import bar, percent
from chainlog_async.cli.output.render import age, output, print_json
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.common.clock import now_ms
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.common.zones import zone_of
from chainlog_async.settings import Settings
from chainlog_async.usage.budget import BudgetStatus
from chainlog_async.usage_aggregator import UsageAggregator

_COLUMNS = (
    Column("budget", elastic=True),
    Column("spent", right=True),
    Column("of", right=True),
    Column("per"),
    Column("left", right=True),
    Column("used", right=True),
    Column("", spare=True),
    Column("resets"),
    Column("", spare=True),
)


class BudgetsReport(msgspec.Struct, frozen=True):
    """The ``--json`` of ``chainlog budgets``."""

    budgets: list[BudgetStatus]


@click.command(
    short_help="Show what is left of budgets.",
    epilog=examples(
        "chainlog budgets                          every budget of the settings",
        "chainlog budgets team-a                   one of them; exit code 1 when nothing is left",
        "chainlog budgets --json | jq '.budgets[] | select(.leftUsd == 0) | .name'",
    ),
)
@click.argument("name", required=False)
@json_option('one object with "budgets", as in GET /v1/budgets')
@settings_options
@click.pass_context
def budgets(ctx: click.Context, options: SettingsOptions, name: str | None, as_json: bool) -> None:
    """Show how much of each budget, or of the one called NAME, is spent and left, and when it resets.

    Budgets are defined in the settings, under budgets. Only requests that are in the database count.

    Exit codes: 0 done, 1 the log cannot be read, or nothing is left of the budget NAME.
    """
    settings = options.load()
    if name is not None and all(budget.name != name for budget in settings.budgets):
        near = did_you_mean(name, [budget.name for budget in settings.budgets])
        remedy = f"did you mean {near!r}?" if near else "add it to the settings, under budgets."
        raise click.UsageError(f"there is no budget {name[:60]!r}; {remedy}")
    found = anyio.run(_read, settings, name)
    if as_json:
        print_json(BudgetsReport(found))
    elif found:
        Table(output(), _COLUMNS).print([_row(status) for status in found])
    else:
        click.echo("there are no budgets in the settings")
    ctx.exit(1 if name is not None and found[0].is_spent else 0)


async def _read(settings: Settings, name: str | None) -> list[BudgetStatus]:
    async with UsageAggregator.from_settings(settings) as usage:
        return [await usage.get_budget(one) for one in settings.budgets if name in (None, one.name)]


def _row(status: BudgetStatus) -> tuple[str, ...]:
    resets = datetime.fromtimestamp(status.resets_at / 1_000, UTC).astimezone(zone_of(status.zone))
    return (
        status.name,
        f"${status.spent_usd:,.2f}",
        f"${status.limit_usd:,.2f}",
        status.per,
        f"${status.left_usd:,.2f}",
        percent(status.spent_usd / status.limit_usd),
        bar(min(status.spent_usd / status.limit_usd, 1), 1),
        f"{resets:%Y-%m-%d %H:%M} {status.zone}",
        age(status.resets_at, now=now_ms()),
    )
