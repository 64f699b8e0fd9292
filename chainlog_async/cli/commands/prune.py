"""``chainlog prune``."""

from __future__ import annotations

import anyio
import click

from chainlog_async.admin.engines import tasks_of
from chainlog_async.admin.prune import PruneLimits, PruneReport
from chainlog_async.cli.confirmation import confirm, yes_option
from chainlog_async.cli.long_task import run_long_work
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.options.value_types import read_by
from chainlog_async.cli.output.render import count_text, number, plain, print_json, utc_text
from chainlog_async.common.clock import DAY_MS, now_ms
from chainlog_async.common.units import parse_bytes, parse_duration, size_text
from chainlog_async.settings import Settings


@click.command(
    short_help="Delete the oldest requests; totals are kept.",
    epilog=examples(
        "chainlog prune --older-than 30d                      says what will go, and asks",
        "chainlog prune --keep-rows 1000000 --dry-run         only says what would go",
        "chainlog prune --max-bytes 2GB --yes --json | jq .deleted",
        "chainlog prune --yes                                 apply retention_days, _rows and _bytes",
    ),
)
@click.option(
    "--older-than",
    callback=read_by(parse_duration),
    metavar="AGE",
    help="Delete older requests; an age in min, h, d, w (7 days) or mo (30 days), such as 12h, 30d or 8w.",
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
@click.option("--dry-run", is_flag=True, help="Only report what would be deleted; for --max-bytes an estimate.")
@yes_option("needed where there is no terminal.")
@json_option("one object with deleted, oldest, newest, deletedBytes, rows, bytesBefore and bytesAfter")
@settings_options
def prune(
    options: SettingsOptions,
    older_than: int | None,
    keep_rows: int | None,
    max_bytes: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the oldest requests now; their totals are kept.

    First it says on stderr how many will be deleted, when they were logged and about how much space they take, and asks
    for confirmation. Without a terminal to ask on, it needs --yes.

    All limits that are given apply; without any, those of the settings do. Requests are deleted in transactions of a
    tenth of a second, between which a gateway keeps writing. The space returns to the file system where the file allows
    it: a file that 429chain created keeps it for new requests until chainlog vacuum has run once.

    In PostgreSQL, days (UTC) of which nothing is to stay are dropped, which returns their space at once; the space of
    other requests is for new ones. --max-bytes drops whole days only.

    Exit codes: 0 done, 1 the answer was not yes, or it failed (what was deleted up to then stays deleted), 2 there is
    no terminal to ask on, and no --yes.
    """
    settings = options.load()
    tasks = tasks_of(settings)
    limits = PruneLimits(older_than or 0, keep_rows or 0, max_bytes or 0) or _limits_of(settings)
    if not limits:
        raise click.UsageError("No limit is set: give --older-than, --keep-rows or --max-bytes.")
    now = now_ms()
    if older_than is not None and older_than >= now:
        raise click.BadParameter("that long ago is before 1970, so no request is older.", param_hint="'--older-than'")
    report = anyio.run(lambda: tasks.plan_pruning(limits, now))
    if not dry_run:
        # With the time of the plan: while the question waits for its answer, more requests become too old.
        question = f"Delete {_count(report)}?" if report.deleted else None
        confirm(f"deletes {_what_goes(report)}", question, yes=yes)
        report = run_long_work(
            lambda progress: tasks.prune(limits, now, progress),
            if_stopped="what was deleted up to then stays deleted, and the totals are correct",
        )
    if as_json:
        print_json(report)
    else:
        _print_report(report)


def _limits_of(settings: Settings) -> PruneLimits:
    return PruneLimits(settings.retention_days * DAY_MS, settings.retention_rows, settings.retention_bytes)


def _count(report: PruneReport) -> str:
    return count_text(report.deleted, "request", "requests")


def _what_goes(report: PruneReport) -> str:
    if not report.deleted:
        return f"no request from {plain(report.database)}; {number(report.rows)} stay"
    times = f"{utc_text(report.oldest)} to {utc_text(report.newest)} UTC"
    size = f"about {size_text(report.deleted_bytes)}"
    left = f"{number(report.rows)} stay, and so do all totals"
    return f"{_count(report)} from {plain(report.database)}: {times}, {size}; {left}"


def _print_report(report: PruneReport) -> None:
    if report.dry_run:
        click.echo(f"would delete {_what_goes(report)}")
    else:
        click.echo(f"deleted {_count(report)} from {plain(report.database)}; {number(report.rows)} are left")
    if report.too_large:
        click.echo(plain(report.too_large))
    if report.dry_run:
        return
    click.echo(f"size: {size_text(report.bytes_before)} before, {size_text(report.bytes_after)} now")
    if report.free_bytes and not report.can_shrink:
        click.echo(f"{size_text(report.free_bytes)} of it is free for new requests; chainlog vacuum shrinks the file")
