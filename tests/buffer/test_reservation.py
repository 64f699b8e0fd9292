"""Where the journal is mapped into memory: where the file system reserves space and keeps its promise."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.buffer import reservation
from chainlog_async.buffer.reservation import reserving_device
from chainlog_async.common.database_files import journal_folder
from tests.support.entries import entry
from tests.support.writing import log_all, names, settings_for, stored


def refuse_to_reserve(*_: int) -> None:
    """A file system without fallocate, under a C library that says so."""
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def pretend_to_reserve(descriptor: int, offset: int, size: int) -> None:
    """A file system that says yes and keeps no room."""
    os.ftruncate(descriptor, offset + size)


@pytest.mark.parametrize("fallocate", [refuse_to_reserve, pretend_to_reserve])
@pytest.mark.parametrize("write", ["auto", "mmap"])
async def test_where_no_space_can_be_reserved_each_line_is_a_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fallocate: Callable[..., None], write: str
) -> None:
    """Statistics and health say so, and to whoever asked for a mapped journal, why."""
    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    db_path = tmp_path / "log.db"
    async with ChainLog(settings_for(db_path, journal_write=write, flush_interval_ms=60_000)) as chainlog:
        await chainlog.write(entry(model="m0"))
        log_all(chainlog, names(1, 50))
        assert chainlog.statistics().journal_write == chainlog.health().journal_write == "pwrite"
        assert [path.stat().st_size for path in journal_folder(db_path).glob("*.jsonl")] == [
            chainlog.statistics().journal_bytes
        ]
        notes = [note for note in chainlog.health().notes if "journal_write" in note]
        assert len(notes) == (1 if write == "mmap" else 0)
    assert await stored(db_path) == names(0, 50)


@pytest.mark.parametrize(
    ("journal", "write", "found"), [(True, "mmap", "mmap"), (True, "pwrite", "pwrite"), (False, "mmap", None)]
)
async def test_the_way_in_use_is_told(tmp_path: Path, journal: bool, write: str, found: str | None) -> None:
    """The setting decides, and without a journal there is nothing to tell."""
    settings = settings_for(tmp_path / "log.db", journal=journal, journal_write=write)
    async with ChainLog(settings) as chainlog:
        await chainlog.write(entry())
        assert chainlog.statistics().journal_write == chainlog.health().journal_write == found
        assert not [note for note in chainlog.health().notes if "journal_write" in note]


MOUNT = "36 35 {number} / /mnt rw,noatime shared:1 - {name} /dev/root rw,errors=continue\n"


@pytest.mark.parametrize(
    ("name", "is_trusted"),
    [
        ("ext4", True),
        ("xfs", True),
        ("tmpfs", True),
        ("btrfs", False),
        ("zfs", False),
        ("overlay", False),
        ("nfs4", False),
    ],
)
def test_only_file_systems_that_keep_their_promise_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_trusted: bool
) -> None:
    """With `auto`, copy-on-write, layered and network file systems are not; with `mmap`, whoever runs it says so."""
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts.write_text(MOUNT.format(number="0:99999", name="proc") + MOUNT.format(number=number, name=name))
    monkeypatch.setattr(reservation, "_MOUNTS", mounts)
    assert reserving_device(tmp_path) == (device if is_trusted else None)
    assert reserving_device(tmp_path, trusting=True) == device


@pytest.mark.parametrize("mounts", ["", "no mount at all\n"])
def test_an_unknown_file_system_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str) -> None:
    """Nor is one where the system does not say."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(reservation, "_MOUNTS", path)
    assert reserving_device(tmp_path) is None
    path.write_text(mounts)
    assert reserving_device(tmp_path) is None
    assert reserving_device(tmp_path / "nowhere") is None
