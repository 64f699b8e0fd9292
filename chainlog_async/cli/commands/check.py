"""``chainlog check``."""

from __future__ import annotations

import click

from chainlog_async.admin.check import CheckReport, check_database
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.differences import print_differences, wrong_numbers
from chainlog_async.cli.output.render import count_text, duration, number, plain, print_json


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
def check(ctx: click.Context, options: SettingsOptions, quick: bool, as_json: bool) -> None:
    """Look for damage in the file, and whether the totals are what the rows and the pruned requests add up to.

    The buckets that usage over time is read from are compared with the rows as well: each from after the newest
    pruned request, and those from before as a whole; and so is what is rolled up of them.

    It looks at one state of the database while the gateway goes on writing, and holds nobody up. But as long as it
    looks, the write-ahead log cannot start afresh: it grows by what is written meanwhile, and shrinks afterwards.

    Exit codes: 0 all is well, 1 damage or a wrong total was found, or there is nothing to look at.
    """
    settings = options.load()
    report = run_long_work(
        lambda progress: check_database(
            settings.db_path, quick=quick, busy_timeout_ms=settings.busy_timeout_ms, on_progress=progress
        ),
        if_stopped="nothing was found out",
    )
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    ctx.exit(0 if report.ok else 1)


def _print_report(report: CheckReport) -> None:
    name = plain(report.database)
    if report.damage:
        click.echo(f"{name} is damaged:")
        for finding in report.damage:
            click.echo(f"  {plain(finding)}")
        click.echo("keep a copy of it, then put a backup or a recovered file (sqlite3 FILE .recover) in its place")
    if report.differences:
        wrong = wrong_numbers(report.wrong_numbers)
        click.echo(f"{name} has {wrong} in its totals; chainlog rebuild puts them right, as far as rows are left:")
        print_differences(report.differences, report.wrong_numbers, kept="says", counted="should say")
    if report.ok:
        rows = count_text(report.rows or 0, "request", "requests")
        click.echo(
            f"{name} is sound, and its totals are those of {rows} and {number(report.pruned_rows or 0)} pruned ones "
            f"({duration(report.seconds * 1000)})"
        )
