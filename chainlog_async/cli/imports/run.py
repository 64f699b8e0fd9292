"""One run of ``chainlog import``: files in, entries and rows out, and a report."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import BinaryIO

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from chainlog_async.admin.restore import ExportedRow, RestoreCounts, require_writable
from chainlog_async.cli.signals import signals_to
from chainlog_async.entry.json_input import as_sent_in
from chainlog_async.entry.redaction import Redactor
from chainlog_async.entry.repair import encode_storable
from chainlog_async.errors import DatabaseError, InvalidEntryError, QueueFullError
from chainlog_async.settings import Settings
from chainlog_async.statistics import Statistics

from .bad_lines import BadLine
from .chunks import STDIN, ForeignColumnsError, UnreadableFileError, is_regular_file
from .destination import Destination, open_destination
from .formats import OWN_FORMAT, Format, Item
from .progress import ImportDisplay
from .reader import RecordReader, open_records
from .records import Found
from .suggestion import listed, suggested_options

# The other reasons of `Statistics.dropped` were reported line by line, or avoided by waiting.
_REFUSALS = ("rejected", "shutdown", "journal_lost")


class ImportReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an import did; the ``--json`` of ``chainlog import``."""

    database: str
    imported: int
    """Entries that are committed."""
    duplicates: int
    """Rows of exports that the log already had."""
    left_out: int | msgspec.UnsetType = msgspec.UNSET
    """Health checks of LiteLLM, which are no requests of users; `litellm_health_checks` keeps them."""
    repaired: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    """Values of entries that were cut, replaced or left out, by field; the rows name them."""
    bad: int
    """Lines that are not valid entries."""
    unread_files: int
    """Files that could not be read, or not to their end."""
    refused: int
    """Valid entries that the database rejected, or that were abandoned at shutdown."""
    unstored: int
    """Rows of exports that were read and not stored, because the import ended before."""
    waiting: int
    """Entries left in the journal because the database could not be written; the next writer commits them."""
    replayed: int
    """Entries that stopped processes left in their journals, committed by this import as well."""
    seconds: float
    rows_per_second: float
    interrupted: str | None
    """The signal that ended it early, or None."""
    stopped_after: str | None
    """The last line that was processed, as ``FILE:LINE``, when a signal or an error ended the import early."""
    error: str | None
    """Why the database could not be written, when that ended the import early."""
    bad_lines: list[BadLine]
    """The first errors in lines and files, each with the number of its lines."""

    @property
    def complete(self) -> bool:
        """Whether every line of every file is in the database."""
        return not (
            self.bad
            or self.unread_files
            or self.refused
            or self.unstored
            or self.waiting
            or self.error
            or self.interrupted
        )


class ImportRun:
    """One run of ``chainlog import``."""

    def __init__(
        self,
        paths: Sequence[str],
        settings: Settings,
        display: ImportDisplay,
        form: Format = OWN_FORMAT,
    ) -> None:
        self._paths = paths
        self._form = form
        self._settings = settings
        self._display = display
        self._spools: dict[str, BinaryIO] = {}
        self._scope = anyio.CancelScope()
        self._signal: signal.Signals | None = None
        self._last_line: str | None = None
        self._good = self._last = self._left_out = 0
        self._rows = RestoreCounts()
        self._error: str | None = None

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
        imported = (statistics.written if statistics else 0) + self._rows.stored
        return ImportReport(
            database=self._settings.database,
            imported=imported,
            duplicates=self._rows.duplicates,
            left_out=self._left_out or msgspec.UNSET,
            repaired=(dict(statistics.repaired) if statistics else {}) or msgspec.UNSET,
            bad=self._display.bad,
            unread_files=self._display.unread,
            refused=sum(statistics.dropped.get(reason, 0) for reason in _REFUSALS) if statistics else 0,
            unstored=self._rows.missing,
            waiting=statistics.pending if statistics else 0,
            replayed=statistics.replayed if statistics else 0,
            seconds=round(seconds, 3),
            rows_per_second=round(imported / seconds, 1),
            interrupted=self._signal.name if self._signal else None,
            stopped_after=self._last_line if self._signal or self._error else None,
            error=self._error,
            bad_lines=self._display.bad_lines,
        )

    def _stop(self, received: signal.Signals) -> None:
        """The first signal stops reading, the second also stops waiting for the database."""
        self._signal = received
        self._scope.cancel()

    async def _check_all(self, spools: ExitStack) -> None:
        """Checks every line, and copies what cannot be read twice to a temporary file."""
        redact = Redactor(self._settings.redact_patterns)

        async def check(item: Item) -> None:
            encode_storable(item.entry if isinstance(item, ExportedRow) else item, redact)

        self._display.begin("checking")
        for path in self._paths:
            if not await anyio.to_thread.run_sync(is_regular_file, path):
                self._spools[path] = spools.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  # the stack closes it
            await self._each_record(path, check, copy_to=self._spools.get(path))
        self._last_line = None
        self._left_out = 0

    async def _store_all(self) -> Statistics:
        """Stores everything. Raises `DatabaseError`, before anything is read, when the database cannot be used."""
        self._display.begin("importing")
        if self._settings.engine == "sqlite":
            await require_writable(self._settings.db_path, busy_timeout_ms=self._settings.busy_timeout_ms)
        async with open_destination(self._settings) as destination:
            try:
                await self._store_in(destination)
            except DatabaseError as error:
                self._error = str(error)
            self._rows = destination.counts
        return destination.statistics()

    async def _store_in(self, destination: Destination) -> None:
        for path in self._paths:
            await self._each_record(
                path, destination.take, after_block=destination.end_block, spool=self._spools.get(path)
            )
            # After a signal, what was read is still stored; a second signal ends that as well.
            with anyio.CancelScope() as self._scope:
                await destination.end_file(self._display.begin_storing, self._display.advance_storing)
        with anyio.CancelScope() as self._scope:
            await destination.flush()

    async def _each_record(
        self,
        path: str,
        take: Callable[[Item], Awaitable[None]],
        *,
        after_block: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
        copy_to: BinaryIO | None = None,
        spool: BinaryIO | None = None,
    ) -> None:
        if self._signal:
            return
        name = "stdin" if path == STDIN else path
        self._good = self._last = 0
        bad_before = self._display.bad
        is_foreign = False
        reader: RecordReader | None = None
        try:
            with (
                anyio.CancelScope() as self._scope,
                open_records(path, self._form.is_header, copy_to=copy_to, spool=spool) as reader,
            ):
                while found := await reader.block():
                    for item in found:
                        await self._one(name, item, take)
                    self._display.advance(reader, len(found))
                    # The writer runs on the same loop: unless this yields, the queue only fills.
                    await anyio.lowlevel.checkpoint()
                    await after_block()
                self._display.finish(reader)
        except UnreadableFileError as error:
            is_foreign = isinstance(error, ForeignColumnsError)
            self._display.report_bad(name, None, str(error))
        except OSError as error:
            after = f" after line {self._last}" if self._last else ""
            self._display.report_bad(name, None, f"cannot be read{after}: {error.strerror}")
        nothing_fits = not self._good and (self._display.bad > bad_before or is_foreign) and not self._signal
        self._display.report_end(name, self._advice(reader) if nothing_fits else None)

    async def _one(self, name: str, found: Found, take: Callable[[Item], Awaitable[None]]) -> None:
        try:
            if found.record is None:
                raise InvalidEntryError(found.problem)
            item = self._form.translate(found.record)
            if self._form.accepts(self._settings, item):
                await take(item)
            else:
                self._left_out += 1
            self._good += 1
        except InvalidEntryError as error:
            self._display.report_bad(name, found.line, str(as_sent_in(error, found.record)))
        except QueueFullError as error:
            self._display.report_bad(name, found.line, str(error))
        self._last = found.last
        self._last_line = f"{name}:{found.last}"

    def _advice(self, reader: RecordReader | None) -> str | None:
        """What to do about a file of which no record fits; None when it has no names."""
        names = [] if reader is None else reader.names
        if not names:
            return None
        guess = suggested_options(names)
        options = f"perhaps {guess} fits, else " if guess else ""
        advice = self._form.advice.format(names=listed(names), options=options)
        return f"nothing in it could be imported: {advice}"
