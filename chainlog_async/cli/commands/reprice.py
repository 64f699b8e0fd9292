"""``chainlog reprice``."""

from __future__ import annotations

import click

from chainlog_async.admin.engines import tasks_of
from chainlog_async.admin.reprice import RepricedModel
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.value_types import read_by
from chainlog_async.cli.output.charts import dollars
from chainlog_async.cli.output.render import count_text, number, output, print_json
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.common.clock import now_ms
from chainlog_async.common.units import parse_duration

_COLUMNS = (
    Column("provider", elastic=True),
    Column("model", elastic=True),
    Column("rows", right=True),
    Column("cost", right=True),
    Column("", right=True),
    Column("new cost", right=True),
)


@click.command(
    "reprice",
    short_help="Compute costs again from the table of prices.",
    epilog=examples(
        "chainlog reprice --since 30d --dry-run    only says what would change, by model",
        "chainlog reprice --since 30d",
    ),
)
@click.option(
    "--since",
    callback=read_by(parse_duration),
    metavar="AGE",
    help="Only requests of the last AGE, such as 12h or 30d; without it, all.",
)
@click.option("--dry-run", is_flag=True, help="Only report what would change.")
@json_option("an array with an object for each model")
@settings_options
def reprice_command(options: SettingsOptions, since: int | None, dry_run: bool, as_json: bool) -> None:
    """Compute costs again from the table of prices, of requests and of their attempts, and change all sums with them.

    A cost that a provider or a gateway gave stays; one of the table changes, and what has none gets one. Requests are
    changed in transactions of a few milliseconds, between which a gateway keeps writing; one that was stopped goes on
    where it ended when it is run again.

    Exit codes: 0 done, 1 the database cannot be written.
    """
    tasks = tasks_of(options.load())
    begin = now_ms() - since if since else 0
    stopped = "what was changed up to then stays changed, and the totals are correct"
    plan = run_long_work(lambda progress: tasks.plan_repricing(begin, progress), if_stopped=stopped)
    if not dry_run:
        run_long_work(lambda progress: tasks.reprice(begin, progress), if_stopped=stopped)
    if as_json:
        print_json(plan)
        return
    if plan:
        Table(output(), _COLUMNS).print([_cells(model) for model in plan])
    before, after = sum(model.before_usd for model in plan), sum(model.after_usd for model in plan)
    rows = count_text(sum(model.rows for model in plan), "row", "rows")
    unanswered = sum(model.unanswered_usd for model in plan)
    tries = f"; spent on tries that did not answer: {_signed(unanswered)}" if unanswered else ""
    click.echo(f"{'would change' if dry_run else 'changed'} {rows}, {_money(before)} → {_money(after)}{tries}")


def _cells(model: RepricedModel) -> tuple[str, ...]:
    return (
        model.provider_id,
        model.model,
        number(model.rows),
        _money(model.before_usd),
        "→",
        _money(model.after_usd),
    )


def _signed(amount: float) -> str:
    return f"{'+' if amount > 0 else '-'}{_money(abs(amount))}"


def _money(amount: float) -> str:
    return dollars(amount) if amount else "$0"
