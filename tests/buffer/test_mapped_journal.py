"""The journal in mapped files: reserved before it is written, whole after any kill, done without where it must be."""

from __future__ import annotations

import asyncio
import os
import sys
from mmap import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async import ChainLog
from chainlog_async.admin.journals import list_journals
from chainlog_async.buffer import journal as journal_module
from chainlog_async.buffer import segment as segment_module
from chainlog_async.buffer.journal import FIRST_MAPPED_BYTES, SLOW_FILL_S, Journal
from chainlog_async.buffer.lease import Lease
from chainlog_async.buffer.paths import segment_path
from chainlog_async.buffer.recovery import DeadJournal
from chainlog_async.buffer.reservation import reserving_device
from chainlog_async.buffer.segment import remove_segments
from chainlog_async.common.database_files import journal_folder
from chainlog_async.entry.line import encode_line
from tests.support.entries import entry
from tests.support.faults import SMALL, fill, journal_files, leave_dead_journal, tmpfs
from tests.support.writing import (
    locked,
    log_all,
    names,
    settings_for,
    stored,
    until,
    warnings_of,
)

LINES = [encode_line(entry(model=model)) for model in names(0, 3)]

fork = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def mapped_journal(folder: Path, *, segment_bytes: int = 16 * 1024 * 1024) -> Journal:
    """A journal that maps its files, whatever the file system."""
    device = folder.stat().st_dev
    return Journal(folder, "writer", max_bytes=2**30, segment_bytes=segment_bytes, mapped_on=device)


def end(journal: Journal) -> None:
    """Lets go of everything."""
    journal.release_all()
    assert remove_segments(journal.take_released()) == []


def segments(folder: Path) -> list[os.stat_result]:
    """The files on the disk, in order."""
    return [path.stat() for path in sorted(folder.glob("*.jsonl"))]


def log_bytes(journal: Journal, position: int, size: int) -> int:
    """Appends long lines up to that many bytes. Returns the position behind them."""
    until_position = position + size
    while position < until_position:
        assert journal.append(position, b"x" * 4_095), journal.error
        position += 4_096
    return position


def test_files_begin_small_and_grow(tmp_path: Path) -> None:
    """An idle log takes 64 KiB; each further file is twice as large, up to the setting, with all its space reserved."""
    journal = mapped_journal(tmp_path, segment_bytes=256 * 1024)
    log_bytes(journal, 0, 1024 * 1024)
    found = segments(tmp_path)
    assert [file.st_size // 1024 for file in found] == [64, 128, 256, 256, 256, 256]
    assert all(file.st_blocks * 512 >= file.st_size for file in found)
    assert journal.write_method == "mmap"
    end(journal)


def test_the_files_of_a_slow_log_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file takes long to fill, and none waits to be committed, the next one is no larger."""
    clock = [0.0]
    monkeypatch.setattr(journal_module, "monotonic", lambda: clock[0])
    journal = mapped_journal(tmp_path)
    position = 0
    for _ in range(5):
        clock[0] += 2 * SLOW_FILL_S
        position = log_bytes(journal, position, FIRST_MAPPED_BYTES)
        journal.release(position)
    assert {file.st_size for file in segments(tmp_path)} == {FIRST_MAPPED_BYTES}
    end(journal)


def test_a_long_line_gets_a_file_for_itself(tmp_path: Path) -> None:
    """A line that is larger than a file is mapped as well."""
    journal = mapped_journal(tmp_path, segment_bytes=16 * 1024)
    line = b"x" * 100_000
    assert journal.append(0, line)
    assert journal.write_method == "mmap"
    assert journal.read(0, len(line) + 1) == line + b"\n"
    end(journal)


def left_by_a_kill(folder: Path, data: bytes) -> tuple[bytes, int]:
    """What the next start finds in a file with these bytes: the lines, and how many are truncated."""
    writer_id = "w" * 32
    segment_path(folder, writer_id, 0).write_bytes(data)
    lease = Lease(folder, writer_id, os.open(folder, os.O_RDONLY))
    dead = DeadJournal(lease, 0, max_batch_rows=100)
    parts = list(dead._read(0))
    lease.disown()
    return b"".join(part.lines for part in parts if hasattr(part, "lines")), dead.truncated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all examples."""
    return tmp_path_factory.mktemp("journal")


@given(whole=st.integers(0, 2), copied=st.sets(st.integers(0, len(LINES[2]) - 1)), reserved=st.integers(0, 9_000))
def test_a_kill_in_the_middle_of_a_store_leaves_whole_lines(
    folder: Path, whole: int, copied: set[int], reserved: int
) -> None:
    """Whichever bytes of a line were stored, it is no line without its newline, and those before it are whole."""
    before = b"".join(line + b"\n" for line in LINES[:whole])
    torn = bytes(byte if place in copied else 0 for place, byte in enumerate(LINES[2]))
    found, truncated = left_by_a_kill(folder, before + torn + bytes(reserved))
    assert found == before
    assert truncated == bool(copied)


def test_beyond_the_lines_there_are_only_nuls(tmp_path: Path) -> None:
    """A release that knows nothing of reserved space reads the whole lines, and then one without a newline."""
    journal = mapped_journal(tmp_path)
    position = 0
    for line in LINES:
        assert journal.append(position, line)
        position += len(line) + 1
    *lines, rest = next(tmp_path.glob("*.jsonl")).read_bytes().splitlines(keepends=True)
    assert lines == [line + b"\n" for line in LINES]
    assert rest == bytes(FIRST_MAPPED_BYTES - position)
    end(journal)


async def test_reserved_space_is_not_counted(tmp_path: Path) -> None:
    """`chainlog journal` and the statistics tell of the lines, and replaying a file with reserved space finds them."""
    db_path = tmp_path / "log.db"
    segment = leave_dead_journal(db_path, names(0, 20))
    written = segment.stat().st_size
    os.truncate(segment, 10 * 1024 * 1024)
    (found,) = (await list_journals(settings_for(db_path))).journals
    assert (found.bytes, found.waiting, found.problem) == (written, 20, None)
    async with ChainLog(settings_for(db_path)) as chainlog:
        await chainlog.flush()
        assert (chainlog.statistics().replayed, chainlog.statistics().truncated) == (20, 0)
    assert await stored(db_path) == names(0, 20)
    assert journal_files(db_path) == []


def test_a_disk_with_room_for_a_small_file_gets_one(tmp_path: Path) -> None:
    """Where the next file should be large and the disk has no room for it, it is as small as the first one was."""
    with tmpfs(tmp_path / "disk", size="1m") as disk:
        journal = mapped_journal(disk)
        position = log_bytes(journal, 0, 3 * FIRST_MAPPED_BYTES)
        ballast = fill(disk)
        os.truncate(ballast, ballast.stat().st_size - 2 * FIRST_MAPPED_BYTES)
        assert journal.append(position, LINES[0]), journal.error
        assert segments(disk)[-1].st_size == FIRST_MAPPED_BYTES
        position = log_bytes(journal, position + len(LINES[0]) + 1, FIRST_MAPPED_BYTES // 2)
        ballast = fill(disk)
        # What is reserved can be written on a full disk, and then no file is left of the one that cannot be made.
        position = log_bytes(journal, position, FIRST_MAPPED_BYTES // 4)
        assert not journal.append(position, b"x" * FIRST_MAPPED_BYTES)
        assert "No space left on device" in str(journal.error)
        assert remove_segments(journal.take_released()) == []
        assert len(segments(disk)) == 3
        end(journal)


def test_a_folder_on_another_disk_is_not_mapped(tmp_path: Path) -> None:
    """What was found out about one file system says nothing of another that took its place."""
    device = tmp_path.stat().st_dev + 1
    journal = Journal(tmp_path, "writer", max_bytes=2**30, segment_bytes=2**20, mapped_on=device)
    assert journal.append(0, LINES[0])
    assert journal.write_method == "pwrite"
    end(journal)


def test_macos_reserves_by_a_call_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, F_PREALLOCATE takes a structure of 32 bytes, and the file is made longer afterwards."""
    import fcntl

    asked: list[tuple[int, bytes]] = []

    def preallocate(descriptor: int, command: int, argument: bytes) -> bytes:
        asked.append((command, argument))
        os.posix_fallocate(descriptor, 0, int.from_bytes(argument[16:24], sys.byteorder))
        return argument

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "fcntl", preallocate)
    device = reserving_device(tmp_path)
    assert device is not None
    journal = Journal(tmp_path, "writer", max_bytes=2**30, segment_bytes=2**20, mapped_on=device)
    assert journal.append(0, LINES[0])
    assert journal.write_method == "mmap"
    ((command, argument),) = asked
    assert (command, len(argument)) == (42, 32)
    end(journal)


@pytest.mark.usefixtures("short_pauses")
async def test_a_mapped_file_cut_by_somebody_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A store beyond its end would end the process: within a second, lines go into a new file."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1, journal_write="mmap")) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 50))
            (segment,) = journal_folder(db_path).glob("*.jsonl")
            os.truncate(segment, 30_000)
            await until(lambda: any("deleted or cut while in use" in line for line in warnings_of(caplog)))
            log_all(chainlog, names(50, 60))
            assert len(segments(journal_folder(db_path))) == 2
        await chainlog.flush()
    assert await stored(db_path) == names(0, 60)


def populates() -> bool:
    """Whether the kernel fetches pages on request: Linux from 5.14 on."""
    if sys.platform != "linux":
        return False
    with mmap(-1, 4_096) as memory:
        try:
            memory.madvise(segment_module._POPULATE_WRITE)
        except OSError:
            return False
    return True


@pytest.mark.skipif(not populates(), reason="this kernel fetches no pages on request")
def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the next pages of a mapped file cannot be had, nothing is stored there, and another file is begun."""
    monkeypatch.setattr(segment_module, "AHEAD_BYTES", 16 * 1024)
    journal = mapped_journal(tmp_path)
    position = log_bytes(journal, 0, 8 * 1024)
    (path,) = tmp_path.glob("*.jsonl")
    # The end of the file stands for the bad place on the disk: both raise SIGBUS in whoever goes there.
    os.truncate(path, 16 * 1024)
    position = log_bytes(journal, position, 8 * 1024)
    assert not journal.append(position, b"x" * 4_095)
    assert "Bad address" in str(journal.error)
    journal.leave_segment()
    position = log_bytes(journal, position, 8 * 1024)
    assert journal.read(0, 4_096) == journal.read(position - 4_096, position) == b"x" * 4_095 + b"\n"
    end(journal)


def test_an_older_kernel_fetches_pages_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not know the request, lines are stored all the same."""
    monkeypatch.setattr(segment_module, "_POPULATE_WRITE", 9_999)
    journal = mapped_journal(tmp_path)
    log_bytes(journal, 0, 2 * FIRST_MAPPED_BYTES)
    assert journal.write_method == "mmap"
    end(journal)


class InterruptedStoreError(Exception):
    """What a signal handler raises."""


class InterruptedMap:
    """A mapped file, and a signal handler that comes between a line and its newline."""

    def __init__(self, mapped: mmap) -> None:
        self.mapped = mapped

    def __setitem__(self, place: slice | int, value: bytes | int) -> None:
        if not isinstance(place, slice):
            raise InterruptedStoreError
        assert isinstance(value, bytes)
        self.mapped[place] = value

    def close(self) -> None:
        """Lets go of the map."""
        self.mapped.close()


async def test_an_interrupted_store_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that raises after the line and before its newline leaves the file as it is; the next begins another."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, journal_write="mmap", flush_interval_ms=60_000)) as chainlog:
        await chainlog.write(entry(model="m0"))
        assert chainlog.log_request(entry(model="m1"))
        segment = chainlog.request_logger._queue.newest_segment
        assert segment is not None
        assert segment.mapped is not None
        with monkeypatch.context() as patch:
            patch.setattr(segment, "mapped", InterruptedMap(segment.mapped))
            with pytest.raises(InterruptedStoreError):
                chainlog.log_request(entry(model="never"))
        assert chainlog.log_request(entry(model="m2"))
        assert len(segments(journal_folder(db_path))) == 2
    assert await stored(db_path) == ["m0", "m1", "m2"]


@fork
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
async def test_a_forked_child_stores_nothing_into_its_parents_file(tmp_path: Path) -> None:
    """Not even one that was forked in the middle of a call, and goes on with it."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, journal_write="mmap", flush_interval_ms=60_000)) as chainlog:
        await chainlog.write(entry(model="m0"))
        log_all(chainlog, names(1, 20))
        segment = chainlog.request_logger._queue.newest_segment
        assert segment is not None
        before = segment.path.read_bytes()
        mapped = segment.mapped
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert mapped is not None
                with pytest.raises(ValueError, match="mmap closed"):
                    mapped[0] = 0
                with pytest.raises(OSError, match="Bad file descriptor"):
                    segment.write(b"x", segment.end, segment.end + 2)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, child, 0))[1]) == 0
        assert segment.path.read_bytes() == before
    assert await stored(db_path) == names(0, 20)


@pytest.mark.usefixtures("short_pauses")
async def test_a_journal_of_mapped_files_comes_to_its_bound(tmp_path: Path) -> None:
    """`journal_max_bytes` holds for what the files take on the disk, reserved space included."""
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, busy_timeout_ms=1, journal_write="mmap", **SMALL)) as chainlog:
        async with locked(db_path):
            log_all(chainlog, names(0, 6_000))
            assert "journal_max_bytes" in str(chainlog.statistics().journal_error)
            assert sum(file.st_size for file in segments(journal_folder(db_path))) <= SMALL["journal_max_bytes"]
        await chainlog.flush()
    assert await stored(db_path) == names(0, 6_000)
