"""``chainlog check``."""

from __future__ import annotations

import click

from chainlog_async.admin.check import CheckReport
from chainlog_async.admin.engines import tasks_of
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.differences import print_differences, wrong_numbers
from chainlog_async.cli.output.render import count_text, duration, number, plain, print_json


@click.command(
    short_help="Check the database and its totals.",
    epilog=examples(
        "chainlog check                            check every page, index and total",
        "chainlog check --quick || mail -s 'chainlog' ops@example.org < /dev/null",
        "chainlog check --json | jq .differences",
    ),
)
@click.option("--quick", is_flag=True, help="Do not compare the indexes with the rows; several times faster.")
@json_option("one object with ok, damage, differences and the numbers of rows")
@settings_options
@click.pass_context
def check(ctx: click.Context, options: SettingsOptions, quick: bool, as_json: bool) -> None:
    """Check the database for damage, and the totals against the requests.

    The totals must be the sums of the stored and the pruned requests, and so must the buckets that usage over time is
    read from. Buckets after the timestamp of the newest pruned request are checked one by one. Those before it are
    checked as a whole, by provider; if a pruned request was dated in the future, these are all buckets up to that date.
    Rollups must match their buckets.

    The check reads one state of the database while the gateway keeps writing, and blocks no other process. While it
    runs, the write-ahead log cannot be reset: it grows by what is written, and shrinks afterwards.

    In PostgreSQL the files are not checked, since pg_amcheck does it, and --quick leaves out usage over time.

    Exit codes: 0 nothing is wrong, 1 damage or wrong totals were found, or the database cannot be checked.
    """
    tasks = tasks_of(options.load())
    report = run_long_work(
        lambda progress: tasks.check(quick=quick, on_progress=progress), if_stopped="the check was not completed"
    )
    if as_json:
        print_json(report)
    else:
        _print_report(report, tasks.wrong_totals_remedy)
    ctx.exit(0 if report.ok else 1)


def _print_report(report: CheckReport, wrong_totals_remedy: str) -> None:
    name = plain(report.database)
    if report.damage:
        click.echo(f"{name} is damaged:")
        for finding in report.damage:
            click.echo(f"  {plain(finding)}")
        click.echo("keep a copy of it, then replace it with a backup or a recovered file (sqlite3 FILE .recover)")
    if report.differences:
        wrong = wrong_numbers(report.wrong_numbers)
        click.echo(f"{name} has {wrong} in its totals; {wrong_totals_remedy}:")
        print_differences(report.differences, report.wrong_numbers, kept="stored", counted="expected")
    if report.ok:
        rows = count_text(report.rows or 0, "request", "requests")
        click.echo(
            f"{name} is intact, and its totals match {rows} and {number(report.pruned_rows or 0)} pruned ones "
            f"({duration(report.seconds * 1000)})"
        )
