"""``chainlog rejected``, ``chainlog rejected retry`` and ``chainlog rejected delete``."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import click

from chainlog_async.admin.engines import tasks_of
from chainlog_async.admin.rejected import DeletePlan, RejectedEntry
from chainlog_async.cli.command_group import SuggestingGroup, names_command
from chainlog_async.cli.confirmation import confirm, yes_option
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import count_text, output, plain, print_json, utc_text
from chainlog_async.cli.output.table import Column, Table
from chainlog_async.common.clock import MAX_INT64
from chainlog_async.common.units import size_text

_COLUMNS = (
    Column("id", right=True),
    Column("rejected at (UTC)"),
    Column("error", elastic=True),
    Column("entry", elastic=True),
)
_ID = click.IntRange(min=1, max=MAX_INT64)


@click.group(
    cls=SuggestingGroup,
    invoke_without_command=True,
    short_help="List, retry or delete rejected entries.",
    epilog=examples(
        "chainlog rejected                         the last 20, newest first",
        "chainlog rejected -n 1000 --json | jq '.rejected[] | {id, error, entry}'",
        "chainlog rejected retry --all             once the cause is fixed",
        "chainlog rejected delete 3 4              says what will go, and asks",
    ),
)
@click.option(
    "-n",
    "--limit",
    default=20,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=0, max=MAX_INT64),
    help="How many entries.",
)
@json_option('one object {"rejected": [...]}')
@settings_options
@click.pass_context
def rejected(ctx: click.Context, options: SettingsOptions, limit: int, as_json: bool) -> None:
    """List the entries that the database refused, with its reason, newest first.

    An entry that a trigger or a constraint refuses is kept in a table of rejected entries, where it does not hold up
    the others; it is in neither the log nor the totals.

    Exit codes: 0 done, 1 the database cannot be read.
    """
    if names_command(ctx):
        return
    tasks = tasks_of(options.load())
    entries = anyio.run(lambda: tasks.list_rejected(limit))
    if as_json:
        print_json({"rejected": entries})
    elif entries:
        Table(output(), _COLUMNS).print([_cells(entry) for entry in entries])
    elif limit:
        click.echo("there are no rejected entries")


def _cells(entry: RejectedEntry) -> tuple[str, ...]:
    return str(entry.id), utc_text(entry.rejected_at), entry.error, bytes(entry.entry).decode()


@rejected.command(
    short_help="Write rejected entries again.",
    epilog=examples("chainlog rejected retry --all", "chainlog rejected retry 3 4 --json | jq .failed"),
)
@click.argument("ids", nargs=-1, metavar="[ID]...", type=_ID)
@click.option("--all", "everything", is_flag=True, help="Retry all of them, oldest first.")
@json_option("one object with written and failed")
@settings_options
@click.pass_context
def retry(ctx: click.Context, options: SettingsOptions, ids: tuple[int, ...], everything: bool, as_json: bool) -> None:
    """Write rejected entries again, by the IDs that chainlog rejected lists.

    Each entry is one transaction: it moves to the log and its totals, or stays rejected.

    Exit codes: 0 all of them are in the log now, 1 some stay rejected (the reasons are shown).
    """
    if bool(ids) is everything:
        raise click.UsageError("Give IDs, or --all.")
    tasks = tasks_of(options.load())
    report = run_long_work(
        lambda progress: tasks.retry_rejected(None if everything else _once(ids), progress),
        if_stopped="what was written up to then is in the log, the others stay rejected",
    )
    if as_json:
        print_json(report)
    else:
        click.echo(f"wrote {count_text(len(report.written), 'entry', 'entries')} to {plain(report.database)}")
        for failure in report.failed:
            click.echo(f"{failure.id} stays rejected: {plain(failure.error)}", err=True)
    ctx.exit(1 if report.failed else 0)


@rejected.command(
    short_help="Delete rejected entries.",
    epilog=examples("chainlog rejected delete 3 4", "chainlog rejected delete 3 4 --yes        do not ask"),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...", type=_ID)
@yes_option("needed where there is no terminal.")
@json_option("one object with deleted and missing")
@settings_options
@click.pass_context
def delete(ctx: click.Context, options: SettingsOptions, ids: tuple[int, ...], yes: bool, as_json: bool) -> None:
    """Delete rejected entries permanently, by the IDs that chainlog rejected lists.

    First it says on stderr how many will go, when they were rejected and how large they are, and asks. Without a
    terminal to ask on it needs --yes.

    Exit codes: 0 done, 1 some of the IDs do not exist (the others are deleted anyway), or the answer was not yes, 2
    there is no terminal to ask on, and no --yes.
    """
    tasks = tasks_of(options.load())
    plan = anyio.run(lambda: tasks.plan_deletion(_once(ids)))
    count = count_text(len(plan.found), "rejected entry", "rejected entries")
    question = f"Delete {count} permanently?" if plan.found else None
    confirm(_what_goes(plan, count), question, yes=yes)
    report = anyio.run(lambda: tasks.delete_rejected(_once(ids)))
    if as_json:
        print_json(report)
    else:
        entries = count_text(len(report.deleted), "rejected entry", "rejected entries")
        click.echo(f"deleted {entries} from {plain(report.database)}")
        for number in report.missing:
            click.echo(f"there is no rejected entry {number}", err=True)
    ctx.exit(1 if report.missing else 0)


def _what_goes(plan: DeletePlan, count: str) -> str:
    if not plan.found:
        return f"deletes no rejected entry from {plain(plan.database)}"
    times = f"rejected from {utc_text(plan.oldest)} to {utc_text(plan.newest)} UTC"
    return f"deletes {count} from {plain(plan.database)}: {times}, {size_text(plan.bytes)}"


def _once(ids: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(ids))
