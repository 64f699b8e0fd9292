"""A segment that the journal has left, because its file was deleted or cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.common.database_files import journal_folder
from tests.support.writing import log_all, names, settings_for, stored

pytestmark = pytest.mark.usefixtures("short_pauses", "journal_write")


@pytest.mark.parametrize("how", ["another segment", "no journal"])
async def test_a_segment_that_is_left_takes_no_more_lines(tmp_path: Path, how: str) -> None:
    """Not even the very next one: in a deleted file it would not survive a kill."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path)) as chainlog:
        queue = chainlog.request_logger._queue
        log_all(chainlog, names(0, 5))
        (left,) = journal_folder(db_path).glob("*.jsonl")
        before = left.read_bytes().rstrip(b"\0")
        if how == "another segment":
            queue.begin_segment(None)
        else:
            queue.note_no_journal("for a test")
        log_all(chainlog, names(5, 9))
        assert left.read_bytes().rstrip(b"\0") == before
        assert (max(left.parent.glob("*.jsonl")) == left) is (how == "no journal")
        await chainlog.flush()
        assert await stored(db_path) == names(0, 9)
