"""``chainlog import``: entries from files; bad lines are reported, good ones are kept."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import anyio
import click

from chainlog_async.cli.confirmation import confirm_new_folder, yes_option
from chainlog_async.cli.imports.chunks import STDIN
from chainlog_async.cli.imports.formats import Format, format_options
from chainlog_async.cli.imports.progress import ImportDisplay
from chainlog_async.cli.imports.run import ImportReport, ImportRun
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import count_text, duration, number, plain, print_json
from chainlog_async.settings import Settings


@click.command(
    "import",
    short_help="Import entries from files.",
    epilog=examples(
        "chainlog import requests.jsonl",
        "chainlog import --strict --db ./data/observability.db *.jsonl",
        "zcat old.jsonl.gz | chainlog import --json - | jq .imported",
        "chainlog import --format litellm-spend-logs spend.csv",
        "chainlog import --map vendor=provider_id --map 'seconds=latency_ms*1000' --set chain_name=old trace.csv",
    ),
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@format_options
@click.option("--strict", is_flag=True, help="Check every line first; import nothing if any is bad.")
@click.option(
    "--show-bad",
    default=20,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=0),
    help="Report at most N errors in lines.",
)
@yes_option("make the folders of --db if they are missing.")
@json_option("one object with the counts and the first bad lines")
@settings_options
@click.pass_context
def import_command(
    ctx: click.Context,
    options: SettingsOptions,
    files: tuple[str, ...],
    form: Format,
    strict: bool,
    yes: bool,
    show_bad: int,
    as_json: bool,
) -> None:
    """Import entries from files; - is stdin.

    Each line is one entry, a JSON object such as

    \b
      {"chain_name": "default", "provider_id": "groq", "model": "llama-3.1-8b-instant",
       "prompt_tokens": 12, "completion_tokens": 30, "latency_ms": 410.5, "http_status": 200}

    on one line; chainName and so on work too. It may also have timestamp (ms since the epoch, UTC; default now),
    total_tokens (default the sum), attempts (default 1), error_message and the other fields of an entry. The tokens
    default to 0. Blank lines are skipped.

    CSV with these names as its header is understood too, and so is every file that chainlog export wrote: CSV, JSON
    lines or Parquet (extra parquet). Such rows keep their ids in an empty log, and a row that the log already has is
    left out, so an export can be imported twice. Other entries have no id: importing their file again adds them again.

    For records of another shape, JSON lines, CSV or Parquet, use --map and --set, or --format with the program that
    wrote them. Times are ms since the epoch (or seconds, with *1000) or ISO 8601. A missing error code means success,
    and a missing latency 0; without --map and --set, both are required. Values of CSV may be separated by commas,
    semicolons, tabs or |.

    A bad line is reported with its file, number and reason, and skipped; the good ones are kept. Lines with the same
    error are reported once, with their number. The exit code is 1 if any line was bad, or if the database cannot be
    written; a database that is only locked is waited for.
    """  # noqa: D301  # the backspace is click's mark for lines that it must not wrap
    if files.count(STDIN) > 1:
        raise click.UsageError("- (stdin) can be given only once.")
    if STDIN in files and sys.stdin is None:
        raise click.UsageError("- is given, but stdin is closed.")
    if options.db is not None:
        confirm_new_folder(options.db, yes=yes, can_ask=STDIN not in files)
    # Fixed limits, whatever the settings say: the import waits for room in the queue, so load never drops an entry.
    settings = options.load(on_full="drop_newest", max_queue_size=100_000, max_queue_bytes=64 * 1024 * 1024)
    report = anyio.run(_import, files, settings, ImportDisplay(files, show_bad=show_bad), form, strict)
    if as_json:
        print_json(report)
    else:
        _print_report(report, strict=strict)
    if report.interrupted:
        ctx.exit(128 + signal.Signals[report.interrupted])
    ctx.exit(0 if report.complete else 1)


async def _import(
    files: Sequence[str], settings: Settings, display: ImportDisplay, form: Format, strict: bool
) -> ImportReport:
    return await ImportRun(files, settings, display, form).run(strict=strict)


def _print_report(report: ImportReport, *, strict: bool) -> None:
    entries = count_text(report.imported, "entry", "entries")
    rate = f"{duration(report.seconds * 1000)}, {number(round(report.rows_per_second))} rows/s"
    click.echo(f"imported {entries} into {plain(report.database)} ({rate})")
    if report.duplicates:
        click.echo(
            f"left out {count_text(report.duplicates, 'row of an export', 'rows of exports')} that it already had"
        )
    if report.left_out:
        checks = count_text(report.left_out, "health check", "health checks")
        click.echo(f"left out {checks} of LiteLLM; CHAINLOG_LITELLM_HEALTH_CHECKS=true keeps them")
    if report.repaired:
        fields = ", ".join(f"{name} ({number(count)})" for name, count in report.repaired.items())
        click.echo(f"values that cannot be stored as they are were cut, replaced or left out: {fields}")
    _print_problems(report)
    if report.replayed:
        entries = count_text(report.replayed, "entry", "entries")
        click.echo(f"also wrote {entries} that an earlier process had left in its journal", err=True)
    if strict and not (report.complete or report.imported or report.waiting):
        click.echo("nothing was imported (--strict)", err=True)
    if report.interrupted:
        place = f"after {plain(report.stopped_after)}" if report.stopped_after else "before the first line"
        click.echo(f"stopped by {report.interrupted} {place}; good lines up to there were imported", err=True)


def _print_problems(report: ImportReport) -> None:
    if report.bad:
        click.echo(f"skipped {count_text(report.bad, 'bad line', 'bad lines')}", err=True)
    if report.unread_files:
        click.echo(f"{count_text(report.unread_files, 'file', 'files')} could not be read to the end", err=True)
    if report.refused:
        entries = count_text(report.refused, "entry", "entries")
        click.echo(f"error: could not store {entries}; the lines above say why", err=True)
    if report.error:
        place = f"after {plain(report.stopped_after)}" if report.stopped_after else "before the first line"
        click.echo(f"error: the import ended {place}: {plain(report.error)}", err=True)
    if report.unstored:
        rows = count_text(report.unstored, "row of an export was", "rows of exports were")
        click.echo(f"error: {rows} not stored; import the file again, which adds only what is missing", err=True)
    if report.waiting:
        entries = count_text(report.waiting, "entry", "entries")
        click.echo(
            f"error: could not write {entries} yet; the next writer will commit what is in the journal", err=True
        )
