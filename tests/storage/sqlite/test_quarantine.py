"""Moving a damaged database away while somebody else is about to do so: nobody waits, and it is moved once."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.common.database_files import journal_folder
from chainlog_async.errors import EntryAbandonedError
from tests.support.faults import beside, log_and_store, overwrite_pages
from tests.support.writing import REPLAY_COMMIT_TIMEOUT_S, log_all, names, settings_for, stored, until

pytestmark = pytest.mark.usefixtures("short_pauses")


@contextmanager
def quarantine_held(db_path: Path) -> Iterator[threading.Event]:
    """Somebody else moves the database away, until the end of the block; gives what says that this took too long."""
    descriptor = os.open(journal_folder(db_path) / "quarantine", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    gave_up = threading.Event()

    def give_up() -> None:
        gave_up.set()
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    timer = threading.Timer(REPLAY_COMMIT_TIMEOUT_S, give_up)
    timer.start()
    try:
        yield gave_up
    finally:
        timer.cancel()
        timer.join()
        os.close(descriptor)


async def test_nobody_waits_for_another_quarantine(tmp_path: Path) -> None:
    """While another process holds the lock for it, the log can be closed; the next start does what was left to do."""
    db_path = tmp_path / "log.db"
    settings = settings_for(db_path, on_corrupt="quarantine", shutdown_timeout_ms=100)
    async with ChainLog(settings) as chainlog:
        await log_and_store(chainlog, 0, 200)
        with quarantine_held(db_path) as gave_up:
            await asyncio.to_thread(overwrite_pages, db_path)
            log_all(chainlog, names(200, 300))
            await until(lambda: "SQLITE_CORRUPT" in str(chainlog.statistics().last_error) or gave_up.is_set())
            await until(lambda: "BlockingIOError" in str(chainlog.statistics().last_error) or gave_up.is_set())
            await _stop(chainlog)
            assert not gave_up.is_set()
            assert chainlog.statistics().pending == 100
            assert beside(db_path, "corrupt") == []
    async with ChainLog(settings) as chainlog:
        await until(lambda: chainlog.statistics().replayed >= 100)
    assert (await stored(db_path))[-100:] == names(200, 300)
    assert len(beside(db_path, "corrupt")) in (1, 3)


async def _stop(chainlog: ChainLog) -> None:
    chainlog.request_logger.stop()
    with pytest.raises(EntryAbandonedError):
        await chainlog.flush()
