"""``chainlog check`` and ``chainlog rebuild``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from chainlog_async.admin.check import CheckReport, check_database
from chainlog_async.admin.rebuild import RebuildReport, rebuild_totals
from chainlog_async.admin.verify.differences import Difference, Value
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import Source, examples, json_option, settings_options
from chainlog_async.cli.output.render import counted, duration, number, output, plain, print_json
from chainlog_async.cli.output.table import Column, Table

_DIFFERENCE_COLUMNS = (Column("table"), Column("of", elastic=True), Column("column"))


@click.command(
    short_help="Look for damage, and for totals that are not right.",
    epilog=examples(
        "chainlog check                            every page, every index, every total",
        "chainlog check --quick || mail -s 'chainlog' ops@example.org < /dev/null",
        "chainlog check --json | jq .differences",
    ),
)
@click.option("--quick", is_flag=True, help="Do not compare the indexes with the rows: several times faster.")
@json_option("one object with ok, damage, differences and the numbers of rows")
@settings_options
@click.pass_context
def check(ctx: click.Context, source: Source, quick: bool, as_json: bool) -> None:
    """Look for damage in the file, and whether the totals are what the rows and the pruned requests add up to.

    The buckets that usage over time is read from are compared with the rows as well: each from after the newest
    pruned request, and those from before as a whole; and so is what is rolled up of them.

    It looks at one state of the database while the gateway goes on writing, and holds nobody up. But as long as it
    looks, the write-ahead log cannot start afresh: it grows by what is written meanwhile, and shrinks afterwards.

    Exit codes: 0 all is well, 1 damage or a wrong total was found, or there is nothing to look at.
    """
    settings = source.load()
    report = run_long_work(
        lambda progress: check_database(
            settings.db_path, quick=quick, busy_timeout_ms=settings.busy_timeout_ms, on_progress=progress
        ),
        if_stopped="nothing was found out",
    )
    if as_json:
        print_json(report)
    else:
        _tell_check(report)
    ctx.exit(0 if report.ok else 1)


def _tell_check(report: CheckReport) -> None:
    name = plain(report.database)
    if report.damage:
        click.echo(f"{name} is damaged:")
        for finding in report.damage:
            click.echo(f"  {plain(finding)}")
        click.echo("keep a copy of it, then put a backup or a recovered file (sqlite3 FILE .recover) in its place")
    if report.differences:
        wrong = _numbers(report.wrong_numbers)
        click.echo(f"{name} has {wrong} in its totals; chainlog rebuild puts them right, as far as rows are left:")
        _print_differences(report.differences, report.wrong_numbers, kept="says", counted="should say")
    if report.ok:
        rows = counted(report.rows or 0, "request", "requests")
        click.echo(
            f"{name} is sound, and its totals are those of {rows} and {number(report.pruned_rows or 0)} pruned ones "
            f"({duration(report.seconds * 1000)})"
        )


@click.command(
    short_help="Put the totals right.",
    epilog=examples(
        "chainlog check || chainlog rebuild        when check has found wrong totals",
        "chainlog rebuild --json | jq .mended",
    ),
)
@json_option("one object with what was mended")
@settings_options
@click.pass_context
def rebuild(ctx: click.Context, source: Source, as_json: bool) -> None:
    """Make the totals anew from the rows and from what was pruned, which stays in them.

    The same goes for the buckets that usage over time is read from, but for those from before the newest pruned
    request, which stay as they are. It is one transaction, looked over before it is committed: a kill leaves
    everything as it was. Nobody else can write meanwhile; a gateway keeps its entries in its journal.

    Exit codes: 0 the totals are right now, 1 they could not be put right and are as they were, or old buckets are
    wrong, which cannot be counted any more.
    """
    settings = source.load()
    report = run_long_work(
        lambda progress: rebuild_totals(
            settings.db_path, busy_timeout_ms=settings.busy_timeout_ms, on_progress=progress
        ),
        if_stopped="the totals are as they were",
    )
    if as_json:
        print_json(report)
    else:
        _tell_rebuild(report)
    ctx.exit(1 if report.left else 0)


def _tell_rebuild(report: RebuildReport) -> None:
    name = plain(report.database)
    if report.mended:
        click.echo(f"put {_numbers(report.mended_numbers)} right in the totals of {name}:")
        _print_differences(report.mended, report.mended_numbers, kept="said", counted="says now")
    elif not report.left and not report.forgotten_rollups:
        click.echo(f"the totals of {name} were right already ({duration(report.seconds * 1000)})")
    if report.forgotten_rollups:
        spans = counted(report.forgotten_rollups, "span", "spans")
        click.echo(f"{spans} will be rolled up anew by the next gateway; until then its buckets answer")
    if report.left:
        click.echo("left as it is, because the requests that it was counted from are pruned:")
        _print_differences(report.left, len(report.left), kept="says", counted="should say")


def _numbers(count: int) -> str:
    return counted(count, "wrong number", "wrong numbers")


def _print_differences(differences: Sequence[Difference], count: int, *, kept: str, counted: str) -> None:
    columns = (*_DIFFERENCE_COLUMNS, Column(kept, right=True), Column(counted, right=True))
    Table(output(), columns).print(
        [(one.table, one.name or "", one.column, _figure(one.kept), _figure(one.counted)) for one in differences]
    )
    if count > len(differences):
        click.echo(f"and {number(count - len(differences))} more")


def _figure(value: Value) -> str:
    return "nothing" if value is None else number(value) if isinstance(value, int) else str(value)
