"""``chainlog rebuild``."""

from __future__ import annotations

import click

from chainlog_async.admin.rebuild import RebuildReport, rebuild_totals
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.differences import print_differences, wrong_numbers
from chainlog_async.cli.output.render import count_text, duration, plain, print_json

IN_POSTGRES = (
    "buckets and totals are changed in one transaction with the rows' ledger, and rollups are made anew by themselves"
)
"""What to do instead where the log is in PostgreSQL."""


@click.command(
    short_help="Recompute the totals.",
    epilog=examples(
        "chainlog check || chainlog rebuild        when check finds wrong totals",
        "chainlog rebuild --json | jq .mended",
    ),
)
@json_option("one object with what was corrected")
@settings_options
@click.pass_context
def rebuild(ctx: click.Context, options: SettingsOptions, as_json: bool) -> None:
    """Recompute the totals from the stored requests and from what was pruned, which stays in them.

    The buckets that usage over time is read from are recomputed as well, except those from before the newest pruned
    request, which stay unchanged. It is one transaction, verified before it is committed: a kill leaves everything
    unchanged. No other process can write meanwhile; a gateway keeps its entries in its journal.

    Exit codes: 0 the totals are correct now, 1 they could not be corrected and are unchanged, or buckets of pruned
    requests are wrong, which can no longer be counted.
    """
    settings = options.load_file(IN_POSTGRES)
    report = run_long_work(
        lambda progress: rebuild_totals(
            settings.db_path, busy_timeout_ms=settings.busy_timeout_ms, on_progress=progress
        ),
        if_stopped="the totals are unchanged",
    )
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    ctx.exit(1 if report.left else 0)


def _print_report(report: RebuildReport) -> None:
    name = plain(report.database)
    if report.mended:
        click.echo(f"corrected {wrong_numbers(report.mended_numbers)} in the totals of {name}:")
        print_differences(report.mended, report.mended_numbers, kept="before", counted="now")
    elif not report.left and not report.forgotten_rollups:
        click.echo(f"the totals of {name} were already correct ({duration(report.seconds * 1000)})")
    if report.forgotten_rollups:
        spans = count_text(report.forgotten_rollups, "span", "spans")
        click.echo(f"the next writer will roll up {spans} again; until then queries read the buckets")
    if report.left:
        click.echo("left unchanged, because the requests that were counted are pruned:")
        print_differences(report.left, len(report.left), kept="stored", counted="expected")
