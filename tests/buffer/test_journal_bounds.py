"""The journal and the memory at their bounds: what is refused, what makes room, and what must not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer.journal import Journal
from chainlog_async.buffer.queue import EntryQueue
from chainlog_async.buffer.segment import remove_segments
from chainlog_async.common.database_files import journal_folder
from tests.support.entries import entry
from tests.support.faults import SMALL, immutable, open_descriptors, until_health
from tests.support.writing import check_law, locked, log_all, names, settings_for, stored, until

pytestmark = pytest.mark.usefixtures("short_pauses", "journal_write")

DROPPING = {"busy_timeout_ms": 1, "max_queue_size": 10, "max_batch_size": 10, "on_full": "drop_oldest", **SMALL}


def bytes_in(folder: Path) -> int:
    """Size of the segments that are on the disk; some may be deleted while they are looked at."""
    size = 0
    for path in folder.glob("*.jsonl"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


async def test_a_journal_at_its_bound_spills_into_memory(tmp_path: Path) -> None:
    """At `journal_max_bytes` entries wait in memory, at its bounds they are refused, and all of it passes by itself."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1, max_queue_size=200, **SMALL)) as chainlog:
        async with locked(db_path):
            accepted = log_all(chainlog, names(0, 6_000))
            statistics = chainlog.statistics()
            assert statistics.journal_bytes <= SMALL["journal_max_bytes"]
            assert "journal_max_bytes" in str(statistics.journal_error)
            assert accepted == [True] * statistics.pending + [False] * (6_000 - statistics.pending)
            assert len(open_descriptors(journal_folder(db_path))) <= 3 + 256 // 16
            check_law(statistics)
        await chainlog.flush()
        await until(lambda: chainlog.statistics().journal == "on")
        assert await stored(db_path) == names(0, accepted.count(True))
        assert await until_health(chainlog, "ok") == ""
        assert chainlog.log_request(entry())
        assert chainlog.statistics().journal == "on"


async def test_the_oldest_make_room_in_the_journal_too(tmp_path: Path) -> None:
    """With `drop_oldest` what makes room is a part of the journal, not all of it; the batch in hand is kept on disk."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, **DROPPING)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 10))
            await until(lambda: chainlog.statistics().retries >= 1)
            assert all(log_all(chainlog, names(10, 8_000)))
            statistics = chainlog.statistics()
            check_law(statistics)
            assert statistics.pending > 1_000
            await until(lambda: bytes_in(journal_folder(db_path)) <= SMALL["journal_max_bytes"])
            oldest = min(journal_folder(db_path).glob("*.jsonl"))
            assert b'"m0"' in oldest.read_bytes()
        await chainlog.flush()
        found = await stored(db_path)
        assert found == names(0, 10) + names(8_000 - (statistics.pending - 10), 8_000)


async def test_a_journal_in_trouble_gives_up_nothing_for_newer_entries(tmp_path: Path) -> None:
    """With `drop_oldest`, while the folder takes no new file, what is safe stays: letting it go would make no room."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, **DROPPING)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 5))
            await until(lambda: chainlog.statistics().retries >= 1)
            with immutable(journal_folder(db_path)):
                accepted = log_all(chainlog, names(5, 1_000))
                statistics = chainlog.statistics()
                check_law(statistics)
                assert accepted == sorted(accepted, reverse=True)
                assert accepted[100]
                assert statistics.dropped == {"queue_full": accepted.count(False)}
        await chainlog.flush()
        assert await stored(db_path) == names(0, 5 + accepted.count(True))


async def test_a_full_journal_whose_folder_goes_gives_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal at its bound keeps what waits when its folder is lost."""
    monkeypatch.setattr("chainlog_async.buffer.journal_manager.FOLDER_CHECK_INTERVAL_S", 3_600)
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, **DROPPING)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 5))
            await until(lambda: chainlog.statistics().retries >= 1)
            while "journal_max_bytes" not in str(chainlog.statistics().journal_error):
                assert chainlog.log_request(entry())
            queue = chainlog.request_logger._queue
            queue.note_no_journal("the folder is gone")
            before = chainlog.statistics()
            log_all(chainlog, names(5, 50))
            after = chainlog.statistics()
            check_law(after)
            assert after.pending >= before.pending
            queue.begin_segment(None)
        await chainlog.flush()
        assert len(await stored(db_path)) == after.pending


class _LetGo:
    """A lock that somebody else has waited for: he does something as soon as it is let go."""

    def __init__(self, lock: threading.RLock, action: Callable[[], object]) -> None:
        self.lock = lock
        self.actions = [action]

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()
        while self.actions:
            self.actions.pop()()


def test_what_cannot_be_read_is_given_up_alone(tmp_path: Path) -> None:
    """An entry that makes room for itself just when a block turns out to be unreadable costs no readable one."""
    lines = [f"{number:099d}".encode() for number in range(6)]
    queue = EntryQueue(max_rows=1, max_bytes=1_000, max_batch_rows=1, drop_oldest=True)
    queue.set_writer_id("writer")
    queue.begin_segment(lambda: Journal(tmp_path, "writer", max_bytes=400, segment_bytes=100))
    for line in lines[:5]:
        queue.put(line)
    segments = sorted(tmp_path.iterdir())
    assert len(segments) == 4
    os.truncate(segments[0], 50)
    queue._lock = _LetGo(queue._lock, lambda: queue.put(lines[5]))  # type: ignore[assignment]  # it is one
    taken = []
    while batch := queue.take():
        taken.append(batch.lines)
        queue.mark_committed(batch)
    assert taken == [line + b"\n" for line in lines[1:]]
    statistics = queue.counts()
    check_law(statistics)
    assert statistics.dropped == {"journal_lost": 1}
    queue.end_journal()
    remove_segments(queue.take_released())


@pytest.mark.parametrize("is_left", [False, True], ids=["too long for it", "after the lock was deleted"])
def test_a_file_that_was_only_begun_is_gone_on_with(tmp_path: Path, is_left: bool) -> None:
    """After a failure the journal begins a file to see whether it can; the next line goes into it, however long."""
    journal = Journal(tmp_path, "writer", max_bytes=10**6, segment_bytes=16 * 1024)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chainlog_async.buffer.journal.JOURNAL_RETRY_S", 0)
        patch.setattr(os, "pwrite", lambda *_: 0)
        assert not journal.append(0, b"first")
    remove_segments(journal.take_released())
    journal.try_again(0)
    if is_left:
        journal.leave_segment()
    line = b"x" * 30_000
    assert journal.append(0, line), journal.error
    assert journal.read(0, len(line) + 1) == line + b"\n"
    journal.release_all()
    remove_segments(journal.take_released())
