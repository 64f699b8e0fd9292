"""``chainlog rebuild``."""

from __future__ import annotations

import click

from chainlog_async.admin.rebuild import RebuildReport, rebuild_totals
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.differences import print_differences, wrong_numbers
from chainlog_async.cli.output.render import count_text, duration, plain, print_json


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
def rebuild(ctx: click.Context, options: SettingsOptions, as_json: bool) -> None:
    """Make the totals anew from the rows and from what was pruned, which stays in them.

    The same goes for the buckets that usage over time is read from, but for those from before the newest pruned
    request, which stay as they are. It is one transaction, looked over before it is committed: a kill leaves
    everything as it was. Nobody else can write meanwhile; a gateway keeps its entries in its journal.

    Exit codes: 0 the totals are right now, 1 they could not be put right and are as they were, or old buckets are
    wrong, which cannot be counted any more.
    """
    settings = options.load()
    report = run_long_work(
        lambda progress: rebuild_totals(
            settings.db_path, busy_timeout_ms=settings.busy_timeout_ms, on_progress=progress
        ),
        if_stopped="the totals are as they were",
    )
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    ctx.exit(1 if report.left else 0)


def _print_report(report: RebuildReport) -> None:
    name = plain(report.database)
    if report.mended:
        click.echo(f"put {wrong_numbers(report.mended_numbers)} right in the totals of {name}:")
        print_differences(report.mended, report.mended_numbers, kept="said", counted="says now")
    elif not report.left and not report.forgotten_rollups:
        click.echo(f"the totals of {name} were right already ({duration(report.seconds * 1000)})")
    if report.forgotten_rollups:
        spans = count_text(report.forgotten_rollups, "span", "spans")
        click.echo(f"{spans} will be rolled up anew by the next gateway; until then its buckets answer")
    if report.left:
        click.echo("left as it is, because the requests that it was counted from are pruned:")
        print_differences(report.left, len(report.left), kept="says", counted="should say")
