"""What every storage engine promises. A new engine subclasses `StorageContract` and names itself in one fixture."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from chainlog_async import RequestFilter, RequestLogEntry, RequestLogger, UsageQuery, Window
from chainlog_async.storage.base import BatchStorage, ReadStorage, StorageFault
from tests.support.effort import tries
from tests.support.entries import entry
from tests.support.memory_reads import MemoryReads
from tests.support.memory_storage import MemoryDatabase, MemoryStorage
from tests.support.writing import check_law, settings_for

from .questions import compare_all
from .random_log import END, START, batch_of, random_entries


class Engine(ABC):
    """One database of an engine, for one test."""

    @abstractmethod
    async def open(self) -> BatchStorage:
        """Opens it for a writer; may be called again, also while another writer has it open."""

    @abstractmethod
    def reads(self) -> ReadStorage:
        """Opens it for reading."""

    @abstractmethod
    async def refuse_rows(self, model: str) -> None:
        """From now on the engine refuses every row of that model, as a constraint would."""

    @abstractmethod
    async def rejected(self) -> int:
        """How many rows are kept as rejected."""

    @abstractmethod
    async def compact(self, *, thoroughly: bool) -> None:
        """Does at once what maintenance does to older data in the background, such as rolling it up.

        `thoroughly` means everything, also what would not be worth it in use because there is so little of it.
        """


class StorageContract:
    """Tests that each engine runs with a fixture `engine`."""

    questions = tries(40)
    """How many random questions are asked of every kind; fewer where each takes long."""

    async def test_a_batch_is_read_back_field_for_field(self, engine: Engine) -> None:
        """Every value of an entry comes back, rounded as documented, in the order in which rows were stored."""
        entries = random_entries(200, seed=1)
        await _store(engine, entries)
        expected = await _in_memory(entries)
        async with aclosing(engine.reads()) as reads:
            assert await reads.get_requests_after(0, limit=500) == await expected.get_requests_after(0, limit=500)

    async def test_a_batch_that_comes_twice_counts_once(self, engine: Engine) -> None:
        """After an error the writer sends the same batch again, or the rest of it; what is stored is skipped."""
        async with aclosing(await engine.open()) as storage:
            await storage.start()
            batch = batch_of("w", 0, [entry(model="a"), entry(model="b")])
            first, second = batch.split()
            await storage.commit(first)
            await storage.commit(first)
            await storage.commit(second)
            await storage.commit(batch)
            assert await storage.position("w") == batch.end
        assert await _models(engine) == ["a", "b"]

    async def test_writers_do_not_share_a_position(self, engine: Engine) -> None:
        """Each writer's stream has its own position, which is 0 before its first batch and after it is forgotten."""
        async with aclosing(await engine.open()) as storage:
            await storage.start()
            assert await storage.position("one") == 0
            batch = batch_of("one", 0, [entry()])
            await storage.commit(batch)
            assert (await storage.position("one"), await storage.position("other")) == (batch.end, 0)
            assert await storage.interrupt(batch) == batch.end
            await storage.forget("one")
            assert await storage.position("one") == 0

    async def test_the_position_outlives_the_connection(self, engine: Engine) -> None:
        """A writer that starts after a kill finds how far the one before it came."""
        batch = batch_of("w", 0, [entry()])
        async with aclosing(await engine.open()) as storage:
            await storage.start()
            await storage.commit(batch)
        async with aclosing(await engine.open()) as storage:
            await storage.start()
            assert await storage.position("w") == batch.end

    async def test_a_refused_row_costs_the_whole_batch_and_is_named(self, engine: Engine) -> None:
        """Nothing of a batch with a refused row is stored, and the error is classified as a row's."""
        async with aclosing(await engine.open()) as storage:
            await storage.start()
            await engine.refuse_rows("bad")
            batch = batch_of("w", 0, [entry(model="good"), entry(model="bad")])
            with pytest.raises(Exception) as raised:  # noqa: PT011  # each engine has errors of its own
                await storage.commit(batch)
            assert storage.classify(raised.value, batch) is StorageFault.ROW
            assert storage.describe(raised.value)
            assert await storage.position("w") == 0
            assert await _models(engine) == []

    async def test_a_rejected_row_moves_the_position(self, engine: Engine) -> None:
        """It is kept apart with its error, and its batch does not come again."""
        async with aclosing(await engine.open()) as storage:
            await storage.start()
            row = batch_of("w", 0, [entry(model="bad")])
            await storage.reject(row, ValueError("refused"))
            assert await storage.position("w") == row.end
        assert await engine.rejected() == 1
        assert await _models(engine) == []

    async def test_an_error_of_somebody_else_is_not_the_engines(self, engine: Engine) -> None:
        """A bug in Python is told from an error of the database."""
        async with aclosing(await engine.open()) as storage:
            assert storage.classify(RuntimeError("bug")) is StorageFault.OTHER

    async def test_an_idle_engine_says_so_and_maintains_itself(self, engine: Engine) -> None:
        """Maintenance says when it wants to run again; a check of a sound database finds nothing and never raises."""
        async with aclosing(await engine.open()) as storage:
            await storage.start()
            assert await storage.maintain(is_behind=False) >= 0
            await storage.check_after_crash()
            assert await storage.wait_until_idle()
            assert not storage.is_stuck

    async def test_the_writer_writes_to_it_and_rejects_what_it_refuses(self, engine: Engine, tmp_path: Path) -> None:
        """Behind a `RequestLogger`, good entries are stored in order, bad ones rejected, and every entry is counted."""
        await engine.refuse_rows("bad")
        async with aclosing(await engine.open()) as storage:
            logger = RequestLogger(storage, settings_for(tmp_path / "o.db", max_batch_size=10))
            models = [f"m{number}" if number % 7 else "bad" for number in range(100)]
            async with anyio.create_task_group() as tasks:
                await tasks.start(logger.run)
                for model in models:
                    assert logger.log_request(entry(model=model))
                await logger.flush()
                logger.stop()
            check_law(logger.statistics())
            assert logger.statistics().dropped == {"rejected": models.count("bad")}
        assert await _models(engine) == [model for model in models if model != "bad"]
        assert await engine.rejected() == models.count("bad")

    async def test_an_empty_database_answers_every_question(self, engine: Engine) -> None:
        """Before the first request there are no totals, no names and no requests, and no question fails."""
        async with aclosing(await engine.open()) as storage:
            await storage.start()
        expected = await _in_memory([])
        async with aclosing(engine.reads()) as reads:
            await compare_all(reads, expected, random.Random(1), questions=10)

    @pytest.mark.parametrize("compacted", ["not at all", "as far as it pays", "thoroughly"])
    async def test_every_question_is_answered_as_from_the_rows(self, engine: Engine, compacted: str) -> None:
        """Many random questions with zones, filters, groups and pages equal a computation from the rows alone."""
        entries = random_entries(600, seed=2)
        await _store(engine, entries)
        if compacted != "not at all":
            await engine.compact(thoroughly=compacted == "thoroughly")
        expected = await _in_memory(entries)
        async with aclosing(engine.reads()) as reads:
            await compare_all(reads, expected, random.Random(3), questions=self.questions)

    @pytest.mark.parametrize("rows", [1, 40, tries(100)])
    async def test_names_are_those_of_all_rows_whenever_these_came(self, engine: Engine, rows: int) -> None:
        """Neither few rows nor late ones cost a name: not before, not between and not after compactions."""
        written: list[RequestLogEntry] = []
        for late in (0, 1, 2):
            entries = [
                entry(
                    timestamp=START + (END - START) * number // rows + late,
                    model=f"{late}-{number % 10}",
                    caller=f"{late}-{number}" if number % 3 else None,
                )
                for number in range(rows)
            ]
            written += entries
            await _store(engine, entries, writer_id=f"w{late}")
            expected = await (await _in_memory(written)).get_names()
            async with aclosing(engine.reads()) as reads:
                assert await reads.get_names() == expected
                await engine.compact(thoroughly=late == 1)
                assert await reads.get_names() == expected

    async def test_a_question_that_makes_no_sense_is_refused(self, engine: Engine) -> None:
        """An empty window, an unknown zone, a page of nothing and a cursor that is none raise `ValueError`."""
        async with aclosing(await engine.open()) as storage:
            await storage.start()
        async with aclosing(engine.reads()) as reads:
            for window in (Window(start=END, end=START), Window(start=START, end=END, step="1d", zone="Nowhere/Else")):
                with pytest.raises(ValueError, match=r"window|zone"):
                    await reads.get_usage(UsageQuery(window=window))
            with pytest.raises(ValueError, match="limit"):
                await reads.find_requests(RequestFilter(), limit=0, cursor=None)
            with pytest.raises(ValueError, match="cursor"):
                await reads.find_requests(RequestFilter(), limit=1, cursor="x")


async def _store(engine: Engine, entries: list[RequestLogEntry], writer_id: str = "w") -> None:
    async with aclosing(await engine.open()) as storage:
        await storage.start()
        start = 0
        for first in range(0, len(entries), 50):
            batch = batch_of(writer_id, start, entries[first : first + 50])
            await storage.commit(batch)
            start = batch.end


async def _in_memory(entries: list[RequestLogEntry]) -> MemoryReads:
    database = MemoryDatabase()
    await MemoryStorage(database, Path()).commit(batch_of("w", 0, entries))
    return MemoryReads(database)


async def _models(engine: Engine) -> list[str]:
    async with aclosing(engine.reads()) as reads:
        return [row.model for row in await reads.get_requests_after(0, limit=500)]
