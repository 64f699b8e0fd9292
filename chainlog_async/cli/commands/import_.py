"""``chainlog import``: entries from files; bad lines are reported, good ones are kept."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import BinaryIO

import anyio
import anyio.lowlevel
import anyio.to_thread
import click
import msgspec

from chainlog_async.chainlog import ChainLog
from chainlog_async.cli.imports.formats import Decoder, EntryDecoder, decoder_options
from chainlog_async.cli.imports.lines import MAX_LINE_BYTES, STDIN, Line, NotTextError, is_regular_file, open_lines
from chainlog_async.cli.imports.progress import BadLine, ImportDisplay
from chainlog_async.cli.options.settings import SettingsOptions, examples, json_option, settings_options
from chainlog_async.cli.output.render import count_text, duration, number, plain, print_json
from chainlog_async.cli.signals import signals_to
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.entry.redaction import Redactor
from chainlog_async.entry.repair import encode_storable
from chainlog_async.errors import InvalidEntryError, QueueFullError
from chainlog_async.settings import Settings
from chainlog_async.statistics import Statistics

MAX_PENDING_ENTRIES = 20_000
"""How many entries may wait for the database before reading pauses."""

# The other reasons of `Statistics.dropped` were reported line by line, or avoided by waiting.
_REFUSALS = ("rejected", "shutdown", "journal_lost")


class ImportReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an import did; the ``--json`` of ``chainlog import``."""

    database: str
    imported: int
    """Entries that are committed."""
    bad: int
    """Lines that are not valid entries."""
    unread_files: int
    """Files that could not be read, or not to their end."""
    refused: int
    """Valid entries that the database rejected, or that were abandoned at shutdown."""
    waiting: int
    """Entries left in the journal because the database could not be written; the next writer commits them."""
    replayed: int
    """Entries that stopped processes left in their journals, committed by this import as well."""
    seconds: float
    rows_per_second: float
    interrupted: str | None
    """The signal that ended it early, or None."""
    stopped_after: str | None
    """The last line that was processed, as ``FILE:LINE``, when a signal ended the import early."""
    bad_lines: list[BadLine]
    """The first of the bad lines and unread files."""

    @property
    def complete(self) -> bool:
        """Whether every line of every file is in the database."""
        return not (self.bad or self.unread_files or self.refused or self.waiting or self.interrupted)


class ImportRun:
    """One run of ``chainlog import``."""

    def __init__(
        self,
        paths: Sequence[str],
        settings: Settings,
        display: ImportDisplay,
        make_decoder: Callable[[], Decoder] = EntryDecoder,
    ) -> None:
        self._paths = paths
        self._make_decoder = make_decoder
        self._settings = settings
        self._display = display
        self._spools: dict[str, BinaryIO] = {}
        self._scope = anyio.CancelScope()
        self._signal: signal.Signals | None = None
        self._last_line: str | None = None

    async def run(self, *, strict: bool) -> ImportReport:
        """Imports everything; with `strict`, nothing when any line is bad. Raises `ChainlogError`."""
        began = time.monotonic()
        statistics: Statistics | None = None
        with self._display, ExitStack() as spools:
            async with signals_to(self._stop):
                if strict:
                    await self._check_all(spools)
                if not (strict and (self._display.bad or self._display.unread or self._signal)):
                    statistics = await self._store_all()
        seconds = time.monotonic() - began
        imported = statistics.written if statistics else 0
        return ImportReport(
            database=str(self._settings.db_path),
            imported=imported,
            bad=self._display.bad,
            unread_files=self._display.unread,
            refused=sum(statistics.dropped.get(reason, 0) for reason in _REFUSALS) if statistics else 0,
            waiting=statistics.pending if statistics else 0,
            replayed=statistics.replayed if statistics else 0,
            seconds=round(seconds, 3),
            rows_per_second=round(imported / seconds, 1),
            interrupted=self._signal.name if self._signal else None,
            stopped_after=self._last_line if self._signal else None,
            bad_lines=self._display.bad_lines,
        )

    def _stop(self, received: signal.Signals) -> None:
        """The first signal stops reading, the second also stops waiting for the database."""
        self._signal = received
        self._scope.cancel()

    async def _check_all(self, spools: ExitStack) -> None:
        """Checks every line, and copies what cannot be read twice to a temporary file."""
        redact = Redactor()

        async def check(entry: RequestLogEntry) -> None:
            encode_storable(entry, redact)

        self._display.begin("checking")
        for path in self._paths:
            if not await anyio.to_thread.run_sync(is_regular_file, path):
                self._spools[path] = spools.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  # the stack closes it
            await self._each_line(path, check, copy_to=self._spools.get(path))
        self._last_line = None

    async def _store_all(self) -> Statistics:
        self._display.begin("importing")
        async with ChainLog(self._settings) as chainlog:

            async def store(entry: RequestLogEntry) -> None:
                try:
                    chainlog.submit(entry)
                except QueueFullError:
                    await chainlog.flush()
                    chainlog.submit(entry)

            async def make_room() -> None:
                if chainlog.statistics().pending >= MAX_PENDING_ENTRIES:
                    await chainlog.flush()

            for path in self._paths:
                await self._each_line(path, store, after_block=make_room, spool=self._spools.get(path))
            with anyio.CancelScope() as self._scope:
                await chainlog.flush()
        return chainlog.statistics()

    async def _each_line(
        self,
        path: str,
        take: Callable[[RequestLogEntry], Awaitable[None]],
        *,
        after_block: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
        copy_to: BinaryIO | None = None,
        spool: BinaryIO | None = None,
    ) -> None:
        if self._signal:
            return
        number = 0
        name = "stdin" if path == STDIN else path
        decoder = self._make_decoder()
        try:
            with anyio.CancelScope() as self._scope, open_lines(path, copy_to=copy_to, spool=spool) as reader:
                while lines := await reader.block():
                    for line in lines:
                        number = line.number
                        await self._one_line(name, line, decoder, take)
                        self._last_line = f"{name}:{number}"
                    self._display.advance(reader, len(lines))
                    # The writer runs on the same loop: unless this yields, the queue only fills.
                    await anyio.lowlevel.checkpoint()
                    await after_block()
                decoder.finish()
                self._display.finish(reader)
        except InvalidEntryError as error:
            self._display.report_bad(name, number, str(error))
        except NotTextError as error:
            self._display.report_bad(name, None, str(error))
        except OSError as error:
            after = f" after line {number}" if number else ""
            self._display.report_bad(name, None, f"cannot be read{after}: {error.strerror}")

    async def _one_line(
        self, name: str, line: Line, decoder: Decoder, take: Callable[[RequestLogEntry], Awaitable[None]]
    ) -> None:
        if line.data is None:
            self._display.report_bad(name, line.number, f"the line is longer than {MAX_LINE_BYTES:,} bytes")
            return
        try:
            entry = decoder.read(line.data)
            if entry is not None:
                await take(entry)
        except (InvalidEntryError, QueueFullError) as error:
            hint = "; each line must be one entry, so split the array: jq -c '.[]'" if line.data[:1] == b"[" else ""
            self._display.report_bad(name, line.number, f"{error}{hint}")


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
@decoder_options
@click.option("--strict", is_flag=True, help="Check every line first; import nothing if any is bad.")
@click.option(
    "--show-bad",
    default=20,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=0),
    help="Report at most N bad lines.",
)
@json_option("one object with the counts and the first bad lines")
@settings_options
@click.pass_context
def import_command(
    ctx: click.Context,
    options: SettingsOptions,
    files: tuple[str, ...],
    make_decoder: Callable[[], Decoder],
    strict: bool,
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

    For records of another shape, JSON lines or CSV with a header, use --map and --set, or --format with the program
    that wrote them. Times are ms since the epoch (or seconds, with *1000) or ISO 8601. A missing error code means
    success.

    A bad line is reported with its file, number and reason, and skipped; the good ones are kept. The exit code is 1 if
    any line was bad. Importing the same file again adds its entries again.
    """  # noqa: D301  # the backspace is click's mark for lines that it must not wrap
    if files.count(STDIN) > 1:
        raise click.UsageError("- (stdin) can be given only once.")
    if STDIN in files and sys.stdin is None:
        raise click.UsageError("- is given, but stdin is closed.")
    # Fixed limits, whatever the settings say: the import waits for room in the queue, so load never drops an entry.
    settings = options.load(on_full="drop_newest", max_queue_size=100_000, max_queue_bytes=64 * 1024 * 1024)
    report = anyio.run(_import, files, settings, ImportDisplay(files, show_bad=show_bad), make_decoder, strict)
    if as_json:
        print_json(report)
    else:
        _print_report(report, strict=strict)
    if report.interrupted:
        ctx.exit(128 + signal.Signals[report.interrupted])
    ctx.exit(0 if report.complete else 1)


async def _import(
    files: Sequence[str], settings: Settings, display: ImportDisplay, make_decoder: Callable[[], Decoder], strict: bool
) -> ImportReport:
    return await ImportRun(files, settings, display, make_decoder).run(strict=strict)


def _print_report(report: ImportReport, *, strict: bool) -> None:
    entries = count_text(report.imported, "entry", "entries")
    rate = f"{duration(report.seconds * 1000)}, {number(round(report.rows_per_second))} rows/s"
    click.echo(f"imported {entries} into {plain(report.database)} ({rate})")
    if report.bad:
        click.echo(f"skipped {count_text(report.bad, 'bad line', 'bad lines')}", err=True)
    if report.unread_files:
        click.echo(f"{count_text(report.unread_files, 'file', 'files')} could not be read to the end", err=True)
    if report.refused:
        entries = count_text(report.refused, "entry", "entries")
        click.echo(f"error: could not store {entries}; the lines above say why", err=True)
    if report.waiting:
        entries = count_text(report.waiting, "entry", "entries")
        click.echo(
            f"error: could not write {entries} yet; the next writer will commit what is in the journal", err=True
        )
    if report.replayed:
        entries = count_text(report.replayed, "entry", "entries")
        click.echo(f"also wrote {entries} that an earlier process had left in its journal", err=True)
    if strict and not (report.complete or report.imported or report.waiting):
        click.echo("nothing was imported (--strict)", err=True)
    if report.interrupted:
        place = f"after {plain(report.stopped_after)}" if report.stopped_after else "before the first line"
        click.echo(f"stopped by {report.interrupted} {place}; good lines up to there were imported", err=True)
