"""What every storage engine promises. A new engine subclasses `StorageContract` and names itself in one fixture."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
import pytest

from chainlog_async import Attempt, RequestFilter, RequestLogEntry, RequestLogger, UsageFilter, UsageQuery, Window
from chainlog_async.common.clock import DAY_MS, HOUR_MS
from chainlog_async.common.name_sets import NameSet
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import encode_line
from chainlog_async.requests.sessions import Session, SessionFilter
from chainlog_async.storage.base import BatchStorage, ReadStorage, StorageFault
from chainlog_async.usage.time_window import STEPS
from tests.support.entries import entry
from tests.support.memory_reads import MemoryReads
from tests.support.memory_storage import MemoryDatabase, MemoryStorage
from tests.support.writing import check_law, settings_for

START = int(datetime(2026, 3, 28, tzinfo=UTC).timestamp()) * 1_000
"""The day before the clocks of Europe go forward."""
END = START + 3 * DAY_MS


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


def batch_of(writer_id: str, start: int, entries: list[RequestLogEntry]) -> Batch:
    """The entries as the writer hands them over."""
    lines = b"".join(encode_line(one) + b"\n" for one in entries)
    return Batch(writer_id, start, lines, len(entries))


def random_entries(count: int, seed: int) -> list[RequestLogEntry]:
    """Requests of three days with every field, and without."""
    rng = random.Random(seed)
    entries = []
    for number in range(count):
        latency = rng.lognormvariate(6, 1.5) if rng.random() < 0.9 else float(rng.randrange(12))
        status = rng.choice([200, 200, 200, 429, 499, 500, 400])
        trail = [
            Attempt(
                provider_id=f"p{rng.randrange(3)}",
                model=f"m{rng.randrange(2)}",
                http_status=rng.choice([200, 429, 500, None]),
                latency_ms=rng.random() * 100,
                error_message=rng.choice([None, f"try of {number}"]),
                prompt_tokens=rng.choice([None, rng.randrange(2_000)]),
                reasoning_tokens=rng.choice([None, rng.randrange(50)]),
                cost_usd=rng.choice([None, rng.random()]),
            )
            for _ in range(rng.randrange(3))
        ]
        entries.append(
            entry(
                # No two in one millisecond: of two errors at the same time either may be the last.
                timestamp=START + int((END - START - count) * rng.random()) // count * count + number,
                chain_name=f"c{rng.randrange(2)}",
                provider_id=f"p{rng.randrange(3)}",
                model=rng.choice(["m0", "m1", "große/modell:日本 🙈"]),
                prompt_tokens=rng.randrange(2_000),
                completion_tokens=rng.randrange(500),
                total_tokens=rng.choice([None, 7]),
                latency_ms=latency,
                http_status=status,
                attempts=rng.randrange(3),
                # An answer that broke off has a status below 400 and an error.
                error_message=None if status < 400 and number % 7 else f'{status}: "slow\ndown" {number}',
                request_id=rng.choice([None, f"r{number}"]),
                caller=rng.choice([None, "team-0", "team-1"]),
                ttft_ms=rng.choice([None, latency / 3]),
                cost_usd=rng.choice([None, rng.random(), 0.1, 1e-10]),
                streamed=rng.choice([None, True, False]),
                cached_tokens=rng.choice([None, rng.randrange(100)]),
                metadata=rng.choice([None, {"team": {"name": "ü", "ids": [1, 2.5, None]}}]),
                attempt_trail=rng.choice([None, trail]) if trail else None,
                **_later_fields(rng, number),
            )
        )
    return entries


def _later_fields(rng: random.Random, number: int) -> dict[str, object]:
    """Half of the entries have none of these, and so a shorter line."""
    given: dict[str, object] = {
        "cache_write_tokens": rng.randrange(900),
        "cache_write_1h_tokens": rng.randrange(90),
        "reasoning_tokens": rng.randrange(300),
        "prompt_audio_tokens": rng.randrange(50),
        "completion_audio_tokens": rng.randrange(50),
        "finish_reason": rng.choice(["stop", "length"]),
        "service_tier": "flex",
        "response_id": f"resp-{number}",
        "session_id": f"s{rng.randrange(5)}",
        "tags": rng.choice([["team:search", f"run:{number}:ü"], ["team:ads", "team:search"], ["env:é", "env:é"]]),
    }
    return {name: value for name, value in given.items() if rng.random() < 0.7} if rng.random() < 0.5 else {}


def random_usage_query(rng: random.Random) -> UsageQuery:
    """A question about usage or latency that has an answer."""
    start = rng.randrange(START - DAY_MS, END)
    length = rng.choice([HOUR_MS // 2, 7 * HOUR_MS, DAY_MS, 4 * DAY_MS])

    def name(*names: str | None) -> str | None:
        return rng.choice([None, None, None, *names])

    return UsageQuery(
        window=Window(
            start=start,
            end=start + length,
            step=rng.choice([None, *STEPS]),
            zone=rng.choice(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
        ),
        by=rng.choice([None, "chain", "provider", "model", "caller"]),
        where=UsageFilter(
            chain=name("c0"),
            provider=name("p1", "nobody"),
            model=name("m0"),
            caller=name("team-0", ""),
            names=random_names(rng),
        ),
        max_groups=rng.choice([1, 2, 20]),
        durations_of=rng.choice(["answered", "unanswered", "all"]),
        fill=rng.random() < 0.3,
    )


def random_tag_query(rng: random.Random) -> UsageQuery:
    """A question about usage by tag, or of one, that has an answer."""
    query = random_usage_query(rng)
    steps = [step for step in STEPS if step not in {"15m", "30m"}]
    window = msgspec.structs.replace(query.window, step=rng.choice([None, *steps]))
    by = rng.choice(["tag:team", "tag:run", "tag:nobody's", query.by])
    own: dict[str, list[str | None]] = {"tag:team": [None, "team:ads"], "tag:run": [None], "tag:nobody's": [None]}
    where = msgspec.structs.replace(query.where, tag=rng.choice(own.get(str(by), ["team:search", "env:é", "x:y"])))
    return msgspec.structs.replace(query, window=window, by=by, where=where)


def random_names(rng: random.Random) -> tuple[NameSet, ...]:
    """Seldom several names at once, or names to leave out."""
    chosen = [
        NameSet(dimension="provider", names=("p1", "p2", "nobody")),
        NameSet(dimension="model", names=("m0",), excluded=True),
        NameSet(dimension="caller", names=("", "team-0")),
        NameSet(dimension="caller", names=("", "team-1"), excluded=True),
        NameSet(dimension="chain", names=("c0", "c1")),
    ]
    return tuple(one for one in chosen if rng.random() < 0.1)


def random_filter(rng: random.Random) -> RequestFilter:
    """A question about single requests."""

    def name(*names: str | None) -> str | None:
        return rng.choice([None, None, None, *names])

    return RequestFilter(
        start=rng.choice([None, START + DAY_MS]),
        end=rng.choice([None, START + 2 * DAY_MS]),
        chain=name("c1"),
        provider=name("p2"),
        model=name("große/modell:日本 🙈", "nothing"),
        caller=name("team-1"),
        status=name("429", "5xx", "errors", "200"),
        min_latency_ms=rng.choice([None, None, 300.0]),
        max_latency_ms=rng.choice([None, None, 700.5]),
        min_tokens=rng.choice([None, None, None, 40.0]),
        max_tokens=rng.choice([None, None, None, 900.0]),
        min_cost_usd=rng.choice([None, None, None, 0.2]),
        max_cost_usd=rng.choice([None, None, None, 0.5]),
        min_attempts=rng.choice([None, None, None, 2.0]),
        max_attempts=rng.choice([None, None, None, 2.0]),
        search=name("TEAM-1", "große", "r1", ":"),
        names=random_names(rng),
        error_text=name("SLOW", "try"),
        request_id=name("r7"),
        session_id=name("s1"),
        tag=name("team:search"),
    )


class StorageContract:
    """Tests that each engine runs with a fixture `engine`."""

    questions = 100
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
        entries = random_entries(1_000, seed=2)
        await _store(engine, entries)
        if compacted != "not at all":
            await engine.compact(thoroughly=compacted == "thoroughly")
        expected = await _in_memory(entries)
        async with aclosing(engine.reads()) as reads:
            await compare_all(reads, expected, random.Random(3), questions=self.questions)

    @pytest.mark.parametrize("rows", [1, 40, 300])
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


async def compare_all(reads: ReadStorage, expected: ReadStorage, rng: random.Random, *, questions: int) -> None:
    """Asks both every question, and so many about usage, latency, health and pages, and compares the answers."""
    assert same(await reads.get_all_provider_usage(), await expected.get_all_provider_usage())
    assert same(await reads.get_all_chain_usage(), await expected.get_all_chain_usage())
    assert await reads.get_provider_usage("p1") == await expected.get_provider_usage("p1")
    assert await reads.get_chain_usage("nobody") is None
    assert await reads.get_summary_stats() == await expected.get_summary_stats()
    assert await reads.get_recent_requests(50) == await expected.get_recent_requests(50)
    for prefix in ("r", "r1", "nothing", ""):
        assert await reads.find_request_ids(prefix, limit=5) == await expected.find_request_ids(prefix, limit=5)
    assert await reads.get_newest_id() == await expected.get_newest_id()
    assert await reads.get_oldest_timestamp() == await expected.get_oldest_timestamp()
    assert await reads.get_request(3) == await expected.get_request(3)
    assert await reads.get_names() == await expected.get_names()
    for session, caller in (("s1", None), ("s1", "team-0"), ("nothing", None)):
        assert same(await reads.get_session(session, caller=caller), await expected.get_session(session, caller=caller))
    metrics, expected_metrics = await reads.get_metric_totals(1_000), await expected.get_metric_totals(1_000)
    assert same(_sorted(metrics.usage), _sorted(expected_metrics.usage))
    assert same(_sorted(metrics.attempts), _sorted(expected_metrics.attempts))
    for number in range(questions):
        query = random_tag_query(rng)
        assert same(await reads.get_usage(query), await expected.get_usage(query)), query
        query = random_usage_query(rng)
        assert same(await reads.get_usage(query), await expected.get_usage(query)), query
        assert same(await reads.get_latency(query), await expected.get_latency(query)), query
        window = query.window
        assert same(await reads.get_provider_health(window), await expected.get_provider_health(window)), window
        where, limit = random_filter(rng), rng.choice([1, 7, 100])
        assert await _pages(reads, where, limit) == await _pages(expected, where, limit), where
        if number % 5 == 0:
            of_sessions = SessionFilter(start=where.start, end=where.end, caller=where.caller)
            assert same(await _sessions(reads, of_sessions), await _sessions(expected, of_sessions)), of_sessions


def _sorted(totals: tuple[msgspec.Struct, ...]) -> list[msgspec.Struct]:
    return sorted(
        totals, key=lambda one: tuple(value for value in msgspec.structs.astuple(one) if isinstance(value, str))
    )


async def _pages(reads: ReadStorage, where: RequestFilter, limit: int) -> list[int]:
    ids: list[int] = []
    cursor: str | None = None
    while True:
        page = await reads.find_requests(where, limit=limit, cursor=cursor)
        ids += [row.id for row in page.requests]
        cursor = page.next_cursor
        if cursor is None:
            return ids


async def _sessions(reads: ReadStorage, where: SessionFilter) -> list[Session]:
    found: list[Session] = []
    cursor: str | None = None
    while True:
        page = await reads.find_sessions(where, limit=2, cursor=cursor)
        found += page.sessions
        cursor = page.next_cursor
        if cursor is None:
            return found


def same(found: object, expected: object) -> bool:
    """Equal, but for the order in which an engine adds fractions up."""
    return _alike(msgspec.to_builtins(found), msgspec.to_builtins(expected))


def _alike(found: object, expected: object) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(_alike(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(found) == len(expected) and all(map(_alike, found, expected))
    if isinstance(expected, float) or isinstance(found, float):
        return found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    return found == expected
