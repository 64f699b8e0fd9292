"""What is promised when a database loses what it had committed: a standby that was behind takes over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from chainlog_async import RequestLogger
from chainlog_async.entry.batch import Batch
from chainlog_async.storage.base import PositionBehindError, StorageFault
from tests.support.entries import entry
from tests.support.memory_storage import MemoryDatabase, MemoryStorage, RefusedRowError
from tests.support.writing import check_law, settings_for, until

pytestmark = pytest.mark.usefixtures("short_pauses")


class ForgetfulStorage(MemoryStorage):
    """Goes back to what it was, when it is told, and says so as PostgreSQL's engine does."""

    def __init__(self, database: MemoryDatabase, path: Path) -> None:
        super().__init__(database, path)
        self._known: dict[str, int] = {}
        self._positions_after: list[tuple[str, int]] = []

    def lose(self, rows: int) -> None:
        """The newest rows were never there."""
        for _ in range(rows):
            self.database.rows.pop()
            writer_id, before = self._positions_after.pop()
            self.database.positions[writer_id] = before

    def _look(self, writer_id: str) -> None:
        found, known = self.database.positions.get(writer_id, 0), self._known.get(writer_id, 0)
        self._known[writer_id] = found
        if found < known:
            raise PositionBehindError(writer_id, found, known)

    async def commit(self, batch: Batch) -> None:
        """Row by row, so that any number of them can be lost."""
        self._look(batch.writer_id)
        for line in batch.lines.splitlines(keepends=True):
            before = self.database.positions.get(batch.writer_id, 0)
            if f'"{REFUSED}"'.encode() in line:
                raise RefusedRowError("a row is refused")
            if batch.end > before:
                await super().commit(Batch(batch.writer_id, before, line, 1))
                self._positions_after.append((batch.writer_id, before))
            self._known[batch.writer_id] = self.database.positions[batch.writer_id]

    async def position(self, writer_id: str) -> int:
        """As it is."""
        self._known[writer_id] = position = await super().position(writer_id)
        return position

    async def maintain(self, *, is_behind: bool) -> float:
        """A writer with nothing to write has to notice, too."""
        for writer_id in list(self._known):
            self._look(writer_id)
        return 0.01

    def classify(self, error: BaseException, batch: Batch | None = None) -> StorageFault:
        """With one error more."""
        return StorageFault.BEHIND if isinstance(error, PositionBehindError) else super().classify(error, batch)


REFUSED = "refused"


@asynccontextmanager
async def writing(folder: Path, **settings: object) -> AsyncIterator[tuple[RequestLogger, ForgetfulStorage]]:
    """A writer on a storage that may lose what it has."""
    storage = ForgetfulStorage(MemoryDatabase(), folder / "o.db")
    # The engine whose files are kept; the storage is the one given.
    small = {"max_batch_size": 10, "journal_segment_bytes": 16_384, "journal_max_bytes": 1_048_576}
    named = {"db_url": "postgresql://nowhere/log", **small, **settings}
    logger = RequestLogger(storage, settings_for(folder / "o.db", **named))
    async with anyio.create_task_group() as tasks:
        await tasks.start(logger.run)
        try:
            yield logger, storage
        finally:
            logger.stop()


def log(logger: RequestLogger, *models: str) -> None:
    """One entry of each model, large enough to fill several segments."""
    for model in models:
        assert logger.log_request(entry(model=model, error_message="x" * 400))


def models(storage: ForgetfulStorage) -> list[str]:
    """What is stored, in its order."""
    return [row.model for row in storage.database.rows]


@pytest.mark.parametrize("lost", [1, 15, 200])
@pytest.mark.parametrize("more", [True, False])
async def test_what_was_lost_is_sent_again_in_order_and_counted_once(tmp_path: Path, lost: int, more: bool) -> None:
    """Whether the writer has something to write then or not: the journal still has it."""
    names = [f"m{number}" for number in range(200)]
    async with writing(tmp_path) as (logger, storage):
        log(logger, *names)
        await logger.flush()
        storage.lose(lost)
        if more:
            names.append("later")
            log(logger, "later")
        await until(lambda: models(storage) == names)
        await logger.flush()
        check_law(logger.statistics())
        assert logger.statistics().written == len(names)
        assert logger.health().status == "ok"


async def test_a_database_that_goes_back_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """Also while it is being caught up."""
    names = [f"m{number}" for number in range(100)]
    async with writing(tmp_path) as (logger, storage):
        log(logger, *names)
        await logger.flush()
        for lost in (60, 10, 30, 1):
            storage.lose(min(lost, len(storage.database.rows)))
            await until(lambda: len(storage.database.rows) > 50)
        await until(lambda: models(storage) == names)
        check_law(logger.statistics())


async def test_a_refused_row_is_rejected_again_and_costs_nobody_else(tmp_path: Path) -> None:
    """It stands in the journal among the others."""
    async with writing(tmp_path) as (logger, storage):
        log(logger, "a", REFUSED, "b")
        await logger.flush()
        storage.lose(1)
        await until(lambda: models(storage) == ["a", "b"])
        check_law(logger.statistics())
        assert logger.statistics().dropped == {"rejected": 1}


async def test_what_is_in_no_journal_any_more_is_named(tmp_path: Path) -> None:
    """Without a window the files are gone; new entries are written all the same, and health says what is missing."""
    async with writing(tmp_path, journal_keep_s=0) as (logger, storage):
        log(logger, *(f"m{number}" for number in range(200)))
        await logger.flush()
        await until(lambda: len(list((tmp_path / "o.db.journal").glob("*.jsonl"))) == 1)
        storage.lose(200)
        log(logger, "later")
        await until(lambda: models(storage)[-1:] == ["later"])
        await until(lambda: logger.health().status == "failed")
        (reason,) = logger.health().reasons
        assert "has lost" in reason
        assert "journal_keep_s" in reason


async def test_kept_files_are_replayed_and_deleted_by_the_next_start(tmp_path: Path) -> None:
    """A shutdown leaves them in place, for the failover may come after it."""
    async with writing(tmp_path) as (logger, storage):
        log(logger, *(f"m{number}" for number in range(200)))
    journal = tmp_path / "o.db.journal"
    assert len(list(journal.glob("*.jsonl"))) > 1
    first = storage.database
    async with writing(tmp_path) as (logger, storage):
        # The next writer finds another database: the one that was behind.
        await logger.flush()
        assert models(storage) == [row.model for row in first.rows]
    assert not list(journal.glob("*.jsonl"))


async def test_a_file_of_sqlite_needs_no_window(tmp_path: Path) -> None:
    """There, a segment is deleted once it is committed."""
    async with writing(tmp_path, db_url=None) as (logger, _):
        log(logger, *(f"m{number}" for number in range(200)))
        await logger.flush()
        await until(lambda: len(list((tmp_path / "o.db.journal").glob("*.jsonl"))) == 1)
