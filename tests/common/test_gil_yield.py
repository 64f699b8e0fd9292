"""A loop that never idles lets the writer's thread go on; one that idles is left alone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import anyio
import pytest
from blockbuster import BlockBuster

from chainlog_async import ChainLog
from chainlog_async.buffer.journal_manager import JournalManager
from chainlog_async.common import gil_yield as gil_yielder
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.storage.sqlite.maintenance.rounds import MaintenanceRounds
from chainlog_async.storage.sqlite.storage import SqliteStorage
from chainlog_async.writer import writer
from tests.support.entries import entry
from tests.support.operator import migrate
from tests.support.writing import refuse_rows, settings_for, until


async def _compute_until(done: asyncio.Event, limit_s: float) -> None:
    """Keeps the loop busy, as a saturated gateway does: many short callbacks, and no wait."""
    end = time.monotonic() + limit_s
    while not done.is_set() and time.monotonic() < end:
        slice_end = time.perf_counter() + 20e-6
        while time.perf_counter() < slice_end:
            pass
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _pauses_are_allowed(guard: BlockBuster) -> None:
    """The pause is a blocking call on the loop, by design."""
    guard.deactivate()


async def test_a_busy_loop_pauses_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody waits for a thread, a busy loop pauses; once that was its share of a second, no more."""
    pauses: list[float] = []
    pause = time.sleep

    def measured_pause(seconds: float) -> None:
        began = time.perf_counter()
        pause(seconds)
        pauses.append(time.perf_counter() - began)

    monkeypatch.setattr("chainlog_async.common.gil_yield.time.sleep", measured_pause)
    way = GilYielder(enabled=True)
    began = time.perf_counter()
    with way:
        await _compute_until(asyncio.Event(), 0.3)
    seconds = int(time.perf_counter() - began) + 1
    assert 0 < sum(pauses) <= way.spent_s
    # The last pause of each second may be of any length: the machine decides when it ends.
    assert sum(sorted(pauses)[:-seconds]) < seconds * gil_yielder.MAX_SHARE


async def test_an_idle_loop_never_pauses() -> None:
    """A loop that waits for something has nothing to give."""
    way = GilYielder(enabled=True)
    with way:
        await asyncio.to_thread(time.sleep, 0.1)
    assert way.spent_s == 0


async def test_nobody_waits_nothing_happens() -> None:
    """Outside the context, a busy loop is left alone."""
    way = GilYielder(enabled=True)
    with way:
        pass
    await _compute_until(asyncio.Event(), 0.05)
    assert way.spent_s == 0


async def test_within_itself_it_goes_on_until_the_outermost_end() -> None:
    """An inner context neither ends the pauses of the outer one nor leaves any behind."""
    way = GilYielder(enabled=True)
    with way:
        with way:
            pass
        await _compute_until(asyncio.Event(), 0.1)
        within = way.spent_s
    assert within > 0
    await _compute_until(asyncio.Event(), 0.05)
    assert way.spent_s == within


async def test_it_can_be_switched_off() -> None:
    """With ``yield_gil: false`` a busy loop is left alone always."""
    way = GilYielder(enabled=False)
    with way:
        await _compute_until(asyncio.Event(), 0.05)
    assert way.spent_s == 0


async def test_a_saturated_gateway_gets_its_batch_written(tmp_path: Path) -> None:
    """Beside a loop that is never idle, an entry is committed, and the cost of that is in the statistics."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        done = asyncio.Event()
        busy = asyncio.create_task(_compute_until(done, 50))
        writes = 0
        # A machine that is busy with other things interrupts this loop, which then does not look busy.
        while writes < 5 or not chainlog.statistics().gil_yield_ms:
            await chainlog.write(entry())
            writes += 1
        done.set()
        await busy
        assert chainlog.statistics().written == writes


async def test_a_saturated_gateway_answers_questions(tmp_path: Path) -> None:
    """Beside a loop that is never idle, a read comes back while the load goes on, many times over."""
    async with ChainLog(settings_for(tmp_path / "log.db", flush_interval_ms=60_000)) as chainlog:
        await chainlog.write(entry())
        yielder = chainlog.request_logger._gil_yielder
        done = asyncio.Event()
        busy = asyncio.create_task(_compute_until(done, 50))
        answers = 0
        while answers < 5 or not yielder.spent_s:
            assert (await chainlog.usage.get_summary_stats()).total_requests == 1
            answers += 1
        assert not busy.done()
        done.set()
        await busy


WAITS = [
    (writer, "replay_dead_writers"),
    (SqliteStorage, "commit"),
    (SqliteStorage, "reject"),
    (SqliteStorage, "recover"),
    (JournalManager, "remove_committed"),
    (MaintenanceRounds, "run_if_due"),
]


@pytest.mark.parametrize(("owner", "name"), WAITS, ids=[name for _, name in WAITS])
async def test_whatever_the_writer_waits_for_gets_its_turn(
    owner: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its first look at the journals on, and after a fault, a busy loop pauses while the writer needs a thread."""
    original = getattr(owner, name)
    spent: list[float] = []

    async def beside_a_busy_loop(*args: object, **kwargs: object) -> object:
        before = chainlog.statistics().gil_yield_ms
        await _compute_until(asyncio.Event(), 0.05)
        spent.append(chainlog.statistics().gil_yield_ms - before)
        return await original(*args, **kwargs)

    async def fail(*_: object) -> None:
        raise OSError("for a moment")

    await refuse_rows(await migrate(tmp_path / "log.db"))
    monkeypatch.setattr(owner, name, beside_a_busy_loop)
    # It is not the writer's, and would call some of these as well.
    monkeypatch.setattr(JournalManager, "look_after", lambda _: anyio.sleep_forever())
    chainlog = ChainLog(settings_for(tmp_path / "log.db"))
    async with chainlog:
        await chainlog.write(entry())
        if name == "recover":
            with monkeypatch.context() as patch:
                patch.setattr(SqliteStorage, "commit", fail)
                chainlog.log_request(entry())
                await until(lambda: bool(spent))
        else:
            chainlog.log_request(entry(model="refused"))
            await chainlog.flush()
    assert spent[0] > 0
