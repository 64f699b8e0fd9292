"""What the statistics say beyond the law: how long the oldest entry waits, and how batches and commits are spread."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async import ChainLog
from chainlog_async.buffer import backlog
from chainlog_async.buffer.backlog import Backlog
from chainlog_async.buffer.journal import Journal
from chainlog_async.common.histogram import Tally
from tests.support.writing import locked, log_all, names, settings_for, until

BOUNDS = (1, 2.5, 10)


@given(st.lists(st.floats(0, 20)))
def test_a_histogram_counts_every_value_once_and_where_it_belongs(values: list[float]) -> None:
    """A value counts at the lowest bound that is not below it, or above all of them; the sum is of all."""
    tally = Tally(BOUNDS)
    for value in values:
        tally.add(value)
    histogram = tally.histogram()
    edges = (-1.0, *BOUNDS, float("inf"))
    expected = [sum(low < value <= high for value in values) for low, high in pairwise(edges)]
    assert list(histogram.counts) == expected
    assert histogram.bounds == BOUNDS
    assert histogram.sum == pytest.approx(sum(values))


@pytest.mark.parametrize("journaled", [True, False])
def test_the_age_is_that_of_the_oldest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journaled: bool) -> None:
    """In hand, behind it, in a file or in memory: the oldest line says how old the backlog is, and none says 0."""
    clock = [100.0]
    monkeypatch.setattr(backlog, "monotonic", lambda: clock[0])
    waiting = Backlog(max_rows=9, max_bytes=999, max_batch_rows=256, drop_oldest=False, on_ready=lambda: None)
    if journaled:
        waiting.journal = Journal(tmp_path, "w", max_bytes=65_536, segment_bytes=16_384)
    assert waiting.oldest_age_s == 0
    waiting.append(b"[1]")
    clock[0] += 5
    in_hand = waiting.take()
    assert in_hand is not None
    waiting.append(b"[2]")
    clock[0] += 2
    assert waiting.oldest_age_s == 7
    waiting.mark_committed(in_hand)
    assert waiting.oldest_age_s == 2
    (second, _) = (waiting.take(), waiting.append(b"[3]"))
    assert second is not None
    waiting.mark_committed(second)
    assert waiting.oldest_age_s == 0
    if waiting.journal is not None:
        waiting.journal.release_all()
        waiting.journal.close()


async def test_the_books_tell_of_a_database_that_takes_nothing(tmp_path: Path) -> None:
    """While the database is locked the oldest entry grows older; then nothing waits, and each batch is counted."""
    settings = settings_for(tmp_path / "log.db", busy_timeout_ms=1, max_batch_size=10)
    async with ChainLog(settings) as chainlog:
        async with locked(settings.db_path):
            log_all(chainlog, names(0, 25))
            await until(lambda: chainlog.statistics().retries >= 1)
            first = chainlog.statistics().oldest_pending_ms
            await until(lambda: chainlog.statistics().oldest_pending_ms > first + 20)
        await chainlog.flush()
        statistics = chainlog.statistics()
        assert statistics.oldest_pending_ms == 0
        assert (statistics.batch_entries.sum, sum(statistics.batch_entries.counts)) == (25, 3)
        assert sum(statistics.commit_ms.counts) == 3
        assert statistics.commit_ms.sum > 0


async def test_the_size_of_the_database_is_known(tmp_path: Path) -> None:
    """The file's size in the statistics is the one on disk."""
    settings = settings_for(tmp_path / "log.db")
    async with ChainLog(settings) as chainlog:
        await until(lambda: chainlog.statistics().database_bytes > 0)
        on_disk = (await asyncio.to_thread(settings.db_path.stat)).st_size
        assert chainlog.statistics().database_bytes == on_disk
