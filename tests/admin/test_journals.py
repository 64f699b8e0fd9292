"""Journals seen from outside: what waits in them, and writing by hand what dead writers left."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.admin.journals import JournalInfo, ReplayReport, list_journals, replay_journals
from chainlog_async.buffer.lease import take_dead_leases
from chainlog_async.errors import DatabaseError, DatabaseMissingError, OlderDatabaseError
from tests.support.entries import entry
from tests.support.interrupting import How, cancel_at_every_step
from tests.support.operator import HARDEST, change, clean, files_in, leave_journal, rows_of
from tests.support.writing import locked, log_settings, models, refuse_rows

DEAD, OTHER = "d" * 32, "e" * 32


def folder_of(path: Path) -> Path:
    """Where the journals are."""
    return Path(f"{path}.journal")


async def test_a_living_writer_s_journal_is_shown_and_left_alone(tmp_path: Path) -> None:
    """What waits while the database is locked is counted, with the time of its first entry; a replay passes it over."""
    path = tmp_path / "o.db"
    async with ChainLog(log_settings(path)) as chainlog:
        await chainlog.write(entry(model="committed"))
        async with locked(path):
            for number in range(7):
                chainlog.log_request(entry(model=f"waits {number}", timestamp=1_700_000_000_000 + number))
            (journal,) = (await list_journals(log_settings(path))).journals
        assert journal.alive
        assert (journal.waiting, journal.oldest_waiting) == (7, 1_700_000_000_000)
        assert journal.bytes == chainlog.statistics().journal_bytes
        assert journal.segments == 1
        report = await replay_journals(log_settings(path))
        assert (report.journals, report.written, report.living) == (0, 0, 1)
        await chainlog.flush()
        (journal,) = (await list_journals(log_settings(path))).journals
        assert (journal.waiting, journal.oldest_waiting) == (0, None)
    assert len(models(path)) == 8
    assert (await list_journals(log_settings(path))).journals == ()


async def test_only_what_lies_beyond_the_position_waits(database: Path) -> None:
    """Entries that the database has already are in the file, but do not wait; an unfinished line does neither."""
    entries = [entry(model=f"{number}", timestamp=1_000 + number) for number in range(5)]
    segment = leave_journal(database, DEAD, entries, truncated=b'[1,"truncated')
    size = segment.stat().st_size
    first_two = sum(len(line) for line in segment.read_bytes().splitlines(keepends=True)[:2])
    change(database, f"INSERT INTO writer_positions VALUES ('{DEAD}', {first_two})")
    report = await list_journals(log_settings(database))
    assert report.folder == str(folder_of(database))
    assert report.journals == (
        JournalInfo(writer_id=DEAD, alive=False, segments=1, bytes=size, waiting=3, oldest_waiting=1_002),
    )


async def test_what_two_segments_hold_counts_once(database: Path) -> None:
    """A line that a failed write left behind, and that the next segment has again, is one entry."""
    first = leave_journal(database, DEAD, [entry(model="a"), entry(model="b")])
    content = first.read_bytes()
    half = len(content) // 2
    first.with_name(f"{DEAD}.{half:020d}.jsonl").write_bytes(content[half:] * 2)
    (journal,) = (await list_journals(log_settings(database))).journals
    assert (journal.segments, journal.waiting) == (2, 3)
    assert (await replay_journals(log_settings(database))).written == 3
    assert models(database) == ["a", "b", "b"]


async def test_the_dead_are_replayed_once_and_are_gone(database: Path) -> None:
    """Everything that waits is in the log in order, with its totals; doing it again finds nothing."""
    leave_journal(database, DEAD, [entry(model=f"dead {number}") for number in range(2_500)], truncated=b"[1")
    leave_journal(database, OTHER, [entry(model=f"other {number}") for number in range(3)])
    told: list[tuple[str, int, int | None]] = []
    report = await replay_journals(log_settings(database), on_progress=lambda *now: told.append(now))
    assert report == ReplayReport(
        database=str(database), journals=2, written=2_503, rejected=0, truncated=1, living=0, problems=()
    )
    assert told[0] == ("replaying", 0, 2_503)
    assert told[-1] == ("replaying", 2_503, 2_503)
    stored = models(database)
    assert [model for model in stored if model.startswith("dead")] == [f"dead {number}" for number in range(2_500)]
    assert files_in(folder_of(database)) == []
    again = await replay_journals(log_settings(database))
    assert (again.journals, again.written) == (0, 0)
    assert (await clean(database)).rows == 2_503


async def test_a_writer_that_died_before_its_first_entry_holds_nobody_up(database: Path) -> None:
    """Of it there is a lock and no journal; by hand and at a start, the others are replayed and the lock goes."""
    for name in (DEAD, OTHER):
        leave_journal(database, DEAD, []).unlink()
        leave_journal(database, OTHER, [entry(model=name)])
        if name == DEAD:
            report = await replay_journals(log_settings(database))
            assert (report.journals, report.written, report.problems) == (2, 1, ())
        else:
            async with ChainLog(log_settings(database)) as chainlog:
                await chainlog.write(entry(model="new"))
        assert files_in(folder_of(database)) == []
    assert models(database) == [DEAD, OTHER, "new"]


async def test_what_the_database_refuses_is_put_aside(database: Path) -> None:
    """A row that a trigger refuses, and a line that is none, cost the others nothing."""
    segment = leave_journal(database, DEAD, [entry(model=name) for name in ("a", "refused", "b")])
    with segment.open("ab") as file:
        file.write(b'{"no": "line"}\n')
    await refuse_rows(database)
    report = await replay_journals(log_settings(database))
    assert (report.written, report.rejected) == (2, 2)
    assert models(database) == ["a", "b"]


async def test_without_a_database_the_journals_are_shown_all_the_same(database: Path, tmp_path: Path) -> None:
    """Then all of it waits; and where there is neither, that is an error and nothing is made."""
    leave_journal(database, DEAD, [entry()] * 4)
    moved = tmp_path / "moved.db"
    shutil.move(database, moved)
    report = await list_journals(log_settings(database))
    assert report.journals[0].waiting == 4
    assert report.database_error is not None
    assert "does not exist" in report.database_error
    with pytest.raises(DatabaseMissingError):
        await replay_journals(log_settings(database))
    assert database.name not in files_in(tmp_path)
    shutil.move(moved, database)
    with pytest.raises(DatabaseMissingError):
        await list_journals(log_settings(tmp_path / "nowhere.db"))
    assert not folder_of(tmp_path / "nowhere.db").exists()


async def test_an_older_database_has_no_journal_to_replay(copy_of_original: Callable[[int], Path]) -> None:
    """429chain's own file is not migrated behind anybody's back."""
    path = copy_of_original(2)
    assert (await list_journals(log_settings(path))).journals == ()
    with pytest.raises(OlderDatabaseError, match="chainlog migrate"):
        await replay_journals(log_settings(path))


async def test_the_journals_of_a_linked_database_are_found(database: Path, tmp_path: Path) -> None:
    """Through a symbolic link the journals are those beside the file itself, where its writers put them."""
    leave_journal(database, DEAD, [entry()])
    link = tmp_path / "folder" / "link.db"
    link.parent.mkdir()
    link.symlink_to(database)
    assert (await list_journals(log_settings(link))).journals[0].waiting == 1
    assert (await replay_journals(log_settings(link))).written == 1
    assert not folder_of(link).exists()


async def test_a_look_takes_no_lock_that_lasts(database: Path) -> None:
    """Whoever takes over a dead writer right after the look gets it."""
    leave_journal(database, DEAD, [entry()])
    await list_journals(log_settings(database))
    (lease,) = await asyncio.to_thread(lambda: list(take_dead_leases(folder_of(database))))
    report = await list_journals(log_settings(database))
    assert report.journals[0].alive, "somebody has it"
    assert (await replay_journals(log_settings(database))).living == 1
    await asyncio.to_thread(lease.release, remove=False)
    assert (await replay_journals(log_settings(database))).written == 1


async def test_a_journal_that_cannot_be_read_does_not_hold_up_the_others(database: Path) -> None:
    """It is told and stays; the others are written."""
    leave_journal(database, DEAD, [entry(model="readable")])
    broken = leave_journal(database, OTHER, [entry(model="unreadable")])
    content = broken.read_bytes()
    broken.unlink()
    broken.mkdir()
    shown = (await list_journals(log_settings(database))).journals
    assert [one.problem is None for one in shown] == [True, False]
    report = await replay_journals(log_settings(database))
    assert report.written == 1
    (problem,) = report.problems
    assert OTHER in problem
    broken.rmdir()
    broken.write_bytes(content)
    assert (await replay_journals(log_settings(database))).written == 1
    assert models(database) == ["readable", "unreadable"]


async def test_its_patience_with_a_lock_ends(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the write lock it goes on trying, then says why, and everything waits as before."""
    monkeypatch.setattr("chainlog_async.admin.journals.REPLAY_COMMIT_TIMEOUT_S", 0.3)
    leave_journal(database, DEAD, [entry()] * 2)
    async with locked(database):
        with pytest.raises(DatabaseError, match=r"within 0\.3 s: .*SQLITE_BUSY.*stays in the journal"):
            await replay_journals(log_settings(database, busy_timeout_ms=0))
    assert (await list_journals(log_settings(database))).journals[0].waiting == 2
    assert (await replay_journals(log_settings(database))).written == 2


@pytest.mark.parametrize("how", HARDEST)
async def test_cancelled_anywhere_nothing_is_lost_or_doubled(how: How, database: Path) -> None:
    """Wherever it is cancelled, a second try writes exactly what is missing, and nobody's lock is left."""
    expected = 0

    async def work(_: int) -> ReplayReport:
        leave_journal(database, DEAD, [entry()] * 3)
        return await replay_journals(log_settings(database, max_batch_size=2))

    async for _ in cancel_at_every_step(work, how):
        expected += 3
        await replay_journals(log_settings(database))
        assert rows_of(database) == expected
        assert files_in(folder_of(database)) == []
    await clean(database)
