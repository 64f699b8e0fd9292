"""The journals beside a database: listing the entries that wait in them, and replaying those of dead writers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec
from anyio import CancelScope

from chainlog_async.buffer.backlog import MAX_BLOCK_BYTES
from chainlog_async.buffer.lease import Lease, is_held, take_dead_leases, writers_in
from chainlog_async.buffer.paths import segments_of
from chainlog_async.buffer.recovery import kept_batches
from chainlog_async.buffer.segment import written_size
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.database_files import journal_folder
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.common.progress import Progress, no_progress
from chainlog_async.entry.batch import Batch
from chainlog_async.errors import DatabaseError, DatabaseMissingError, OlderDatabaseError
from chainlog_async.storage.base import BatchStorage
from chainlog_async.storage.engines import open_storage
from chainlog_async.storage.sqlite.errors import named_errors
from chainlog_async.writer.committer import BatchOutcome, Committer
from chainlog_async.writer.health import HealthState
from chainlog_async.writer.replay import Replayed, release_all, replay

from .session import open_for_reading

if TYPE_CHECKING:
    from chainlog_async.settings import Settings

REPLAY_COMMIT_TIMEOUT_S = 30.0
"""How long one batch may take to be committed, in seconds; a gateway would retry indefinitely."""


class JournalInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The journal of one writer."""

    writer_id: str
    alive: bool
    """Whether its writer runs, or another process is replaying it."""
    segments: int
    """Files of the journal."""
    bytes: int
    """Size of these files together, without the space that is only reserved in them."""
    waiting: int
    """Entries in it that are not in the database yet."""
    oldest_waiting: int | None
    """Timestamp of the first of these entries, in ms since the epoch, UTC; None when none waits."""
    problem: str | None = None
    """Why part of it cannot be read; entries in that part are not counted."""


class JournalReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `list_journals` found."""

    folder: str
    journals: tuple[JournalInfo, ...]
    database_error: str | None
    """Why the committed positions could not be read, in which case everything in the journals counts as waiting."""


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `replay_journals` did."""

    database: str
    journals: int
    """Journals of dead writers that were replayed and deleted."""
    written: int
    """Entries from them that are in the database now."""
    rejected: int
    """Entries that the database refused, now in ``rejected_entries``."""
    truncated: int
    """Truncated lines: entries whose `log_request` never returned."""
    living: int
    """Journals that were left alone because their writers run."""
    problems: tuple[str, ...]
    """Why journals could not be read or deleted; they stay unchanged."""


async def list_journals(settings: Settings) -> JournalReport:
    """Lists the journals of this machine; changes nothing, and works while the database cannot be reached.

    Raises `DatabaseMissingError` when there is neither a database file nor a journal, and `OSError`.
    """
    folder = await run_in_thread(_folder_of, settings)
    positions: dict[str, int] = {}
    problem: DatabaseError | None = None
    try:
        positions = await _positions(settings, folder)
    except DatabaseError as error:
        problem = error
    # Positions are read first, so that an entry committed in between counts as waiting and none is missed.
    journals = await run_in_thread(_inspect_all, folder, positions)
    if journals is None:
        if isinstance(problem, DatabaseMissingError):
            raise problem
        journals = []
    known = isinstance(problem, OlderDatabaseError | None)
    return JournalReport(folder=str(folder), journals=tuple(journals), database_error=None if known else str(problem))


async def replay_journals(settings: Settings, *, on_progress: Progress = no_progress) -> ReplayReport:
    """Takes over the journals of dead writers and commits their entries exactly once, as the next start would.

    Journals of living writers are left alone. After an error, a cancellation or a kill the remaining entries stay in
    the journals.

    Raises `DatabaseError` (`DatabaseMissingError`, `OlderDatabaseError`, or a batch could not be committed within
    `REPLAY_COMMIT_TIMEOUT_S` seconds) and `OSError`.
    """
    before = await list_journals(settings)
    if settings.engine == "sqlite":
        async with open_for_reading(settings.db_path, busy_timeout_ms=settings.busy_timeout_ms):
            # Only checks that it exists and is current; opening it for writing would create or migrate it.
            pass
    manual_replay = _ManualReplay(sum(journal.waiting for journal in before.journals if not journal.alive), on_progress)
    storage = await open_storage(settings)
    try:
        with named_errors(settings.database):
            folder = await run_in_thread(journal_folder, await storage.start(), settings.journal_path)
            await manual_replay.run(storage, folder, settings.max_batch_size)
    finally:
        await storage.aclose()
    total = manual_replay.total
    return ReplayReport(
        database=settings.database,
        journals=total.journals,
        written=total.rows,
        rejected=total.rejected,
        truncated=total.truncated,
        living=sum(journal.alive for journal in before.journals),
        problems=tuple(manual_replay.problems),
    )


class _ManualReplay:
    """A replay whose commits time out."""

    def __init__(self, expected: int, on_progress: Progress) -> None:
        self._expected = expected
        self._on_progress = on_progress
        self._rows = 0
        self._health = HealthState()
        self.total = Replayed()
        self.problems: list[str] = []

    async def run(self, storage: BatchStorage, folder: Path, max_batch_rows: int) -> None:
        committer = Committer(
            storage,
            self._health,
            GilYielder(enabled=False),
            partial(kept_batches, folder, max_batch_rows=max_batch_rows),
        )
        self.note_replayed(0)
        leases: list[Lease] = []
        try:
            await run_in_thread(lambda: leases.extend(take_dead_leases(folder, self.problems.append)))
            while leases:
                lease = leases.pop()
                try:
                    commit = partial(self._commit, committer)
                    self.total += await replay([lease], storage, commit, self, max_batch_rows=max_batch_rows)
                except OSError as error:
                    self.problems.append(f"the journal of {lease.writer_id} stays unchanged: {error}")
        finally:
            await release_all(leases)

    def note_replayed(self, rows: int, truncated: int = 0) -> None:
        """Reports the progress."""
        self._rows += rows
        self._on_progress("replaying", self._rows, max(self._expected, self._rows))

    async def _commit(self, committer: Committer, batch: Batch, outcome: BatchOutcome) -> None:
        with CancelScope(deadline=anyio.current_time() + REPLAY_COMMIT_TIMEOUT_S) as deadline:
            await committer.commit(batch, outcome)
        if deadline.cancelled_caught:
            raise DatabaseError(
                f"a batch could not be committed within {REPLAY_COMMIT_TIMEOUT_S:g} s: "
                f"{self._health.last_error or 'no answer'}; the rest stays in the journal: "
                "fix the cause, then replay again or start the gateway"
            )


async def _positions(settings: Settings, folder: Path) -> dict[str, int]:
    if settings.engine == "sqlite":
        # Read-only: it may be of another release, or damaged.
        async with open_for_reading(settings.db_path, busy_timeout_ms=settings.busy_timeout_ms) as connection:
            rows = await connection.execute_fetchall("SELECT writer_id, position FROM writer_positions")
            return {str(writer_id): int(position) for writer_id, position in rows}
    writers = await run_in_thread(lambda: writers_in(folder) if folder.is_dir() else [])
    if not writers:
        return {}
    storage = await open_storage(settings)
    try:
        return {writer_id: await storage.position(writer_id) for writer_id in writers}
    finally:
        await storage.aclose()


def _folder_of(settings: Settings) -> Path:
    # SQLite follows symbolic links, and writers put their journals beside the file it finds.
    path = settings.db_path.resolve() if settings.engine == "sqlite" else settings.db_path
    return journal_folder(path, settings.journal_path)


def _inspect_all(folder: Path, positions: Mapping[str, int]) -> list[JournalInfo] | None:
    if not folder.is_dir():
        return None
    return [_inspect(folder, writer_id, positions.get(writer_id, 0)) for writer_id in writers_in(folder)]


def _inspect(folder: Path, writer_id: str, position: int) -> JournalInfo:
    alive = is_held(folder, writer_id)
    found = segments_of(folder, writer_id)
    ends = [*(start for start, _ in found[1:]), None]
    segments = size = waiting = 0
    oldest: int | None = None
    problem: str | None = None
    for (start, path), end in zip(found, ends, strict=False):
        try:
            lines, first, written = _count_lines(path, max(position - start, 0), None if end is None else end - start)
            size += written
        except FileNotFoundError:
            # Committed and deleted since the folder was listed.
            continue
        except OSError as error:
            problem = str(error)
            continue
        segments += 1
        if lines and not waiting:
            oldest = _timestamp(first)
        waiting += lines
    return JournalInfo(
        writer_id=writer_id,
        alive=alive,
        segments=segments,
        bytes=size,
        waiting=waiting,
        oldest_waiting=oldest,
        problem=problem,
    )


def _count_lines(path: Path, start: int, end: int | None) -> tuple[int, bytes, int]:
    """Returns the number of complete lines between two offsets of the file, the first of them, and the file's size."""
    with path.open("rb") as file:
        written = written_size(file)
        left = (written if end is None else min(end, written)) - start
        file.seek(start)
        first = file.readline(max(left, 0))
        file.seek(start)
        lines = 0
        while left > 0 and (block := file.read(min(left, MAX_BLOCK_BYTES))):
            lines += block.count(b"\n")
            left -= len(block)
    return lines, first, written


def _timestamp(line: bytes) -> int | None:
    """Returns the timestamp of the entry in that line; None when the line is not an entry."""
    try:
        values = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, int) else None
