"""``chainlog prune``."""

from __future__ import annotations

import anyio
import click

from chainlog_async.admin.prune import PruneLimits, PruneReport, plan_pruning, prune_database
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.value_types import read_by
from chainlog_async.cli.output.render import count_text, number, plain, print_json
from chainlog_async.common.clock import DAY_MS
from chainlog_async.common.units import parse_bytes, parse_duration, size_text
from chainlog_async.settings import Settings


@click.command(
    short_help="Delete the oldest requests; totals are kept.",
    epilog=examples(
        "chainlog prune --older-than 30d",
        "chainlog prune --keep-rows 1000000 --dry-run         how many would be deleted",
        "chainlog prune --max-bytes 2GB --json | jq .deleted",
        "chainlog prune                                       apply retention_days, _rows and _bytes",
    ),
)
@click.option(
    "--older-than",
    callback=read_by(parse_duration),
    metavar="AGE",
    help="Delete older requests; an age such as 12h, 30d or 8w.",
)
@click.option(
    "--keep-rows", type=click.IntRange(min=1), metavar="N", help="Delete the oldest until N requests are left."
)
@click.option(
    "--max-bytes",
    callback=read_by(parse_bytes),
    metavar="SIZE",
    help="Delete the oldest until the database fits this size, such as 500MB, 2GB or 1.5GiB.",
)
@click.option("--dry-run", is_flag=True, help="Only report how many would be deleted; for --max-bytes an estimate.")
@json_option("one object with deleted, rows, bytesBefore and bytesAfter")
@settings_options
def prune(
    options: SettingsOptions,
    older_than: int | None,
    keep_rows: int | None,
    max_bytes: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete the oldest requests now; their totals are kept.

    All limits that are given apply; without any, those of the settings do. Requests are deleted in transactions of a
    tenth of a second, between which a gateway keeps writing. The space returns to the file system where the file allows
    it: a file that 429chain created keeps it for new requests until chainlog vacuum has run once.

    Exit codes: 0 done, 1 failed; what was deleted up to then stays deleted.
    """
    settings = options.load()
    limits = PruneLimits(older_than or 0, keep_rows or 0, max_bytes or 0) or _limits_of(settings)
    if not limits:
        raise click.UsageError("No limit is set: give --older-than, --keep-rows or --max-bytes.")
    if dry_run:
        report = anyio.run(lambda: plan_pruning(settings.db_path, limits, busy_timeout_ms=settings.busy_timeout_ms))
    else:
        report = run_long_work(
            lambda progress: prune_database(
                settings.db_path, limits, busy_timeout_ms=settings.busy_timeout_ms, on_progress=progress
            ),
            if_stopped="what was deleted up to then stays deleted, and the totals are correct",
        )
    if as_json:
        print_json(report)
    else:
        _print_report(report)


def _limits_of(settings: Settings) -> PruneLimits:
    return PruneLimits(settings.retention_days * DAY_MS, settings.retention_rows, settings.retention_bytes)


def _print_report(report: PruneReport) -> None:
    deleted = count_text(report.deleted, "request", "requests")
    left = f"{number(report.rows)} {'would be' if report.dry_run else 'are'} left"
    click.echo(f"{'would delete' if report.dry_run else 'deleted'} {deleted} from {plain(report.database)}; {left}")
    if report.too_large:
        click.echo(plain(report.too_large))
    if report.dry_run:
        return
    click.echo(f"size: {size_text(report.bytes_before)} before, {size_text(report.bytes_after)} now")
    if report.free_bytes and not report.can_shrink:
        click.echo(f"{size_text(report.free_bytes)} of it is free for new requests; chainlog vacuum shrinks the file")
