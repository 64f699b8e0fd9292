"""Space on the disk that is reserved before a file is mapped into memory.

A store into a mapped file for which the disk has no room raises nothing: the kernel ends the process with SIGBUS. So
only space that is certain to be there may be mapped. File systems that write every change to a new place (btrfs, zfs)
cannot promise that, and others accept the call without reserving anything. Everything here blocks for a moment.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk, a quota or a limit on the size of files that leaves no room."""

RESERVING_FILE_SYSTEMS = frozenset({"ext4", "xfs", "tmpfs"})
"""File systems of Linux that keep what ``fallocate`` reserved, and write to it in place."""

_MOUNTS = Path("/proc/self/mountinfo")

# From <sys/fcntl.h> of macOS; Python has F_PREALLOCATE there, but not its structure, fstore_t.
_F_PREALLOCATE = 42
_F_ALLOCATEALL = 4
_F_PEOFPOSMODE = 3


def reserving_device(folder: Path, *, trusting: bool = False) -> int | None:
    """Returns the device of the folder if space that is reserved on it stays reserved, and None otherwise.

    With `trusting`, file systems that are not known to keep their promise are believed.
    """
    try:
        device = folder.stat().st_dev
    except OSError:
        return None
    if trusting or sys.platform == "darwin" or _file_system(device) in RESERVING_FILE_SYSTEMS:
        return device
    return None


def reserve(descriptor: int, size: int) -> None:
    """Gives an empty file that size, in bytes, with space on the disk for all of it; it reads as NULs.

    Raises `OSError`: with one of the numbers in `FULL` when there is no room, and with others, such as ``ENOTSUP``,
    when the file system cannot reserve.
    """
    if sys.platform == "darwin":
        import fcntl

        fstore = struct.pack("=IiqqQ", _F_ALLOCATEALL, _F_PEOFPOSMODE, 0, size, 0)
        fcntl.fcntl(descriptor, _F_PREALLOCATE, fstore)
        os.ftruncate(descriptor, size)
    else:
        os.posix_fallocate(descriptor, 0, size)
    # Where the file system knows no fallocate, glibc writes a byte to each block instead, and zfs only says yes.
    if os.fstat(descriptor).st_blocks * 512 < size:
        raise OSError(errno.ENOTSUP, "the file system does not reserve the space that it is asked for")


def _file_system(device: int) -> str:
    """Returns the name of the file system on that device, in lower case; an empty text if it is not known."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts.splitlines():
        # 36 35 98:0 /root /mount-point options optional-fields... - type source options
        where, _, what = mount.partition(" - ")
        fields = where.split()
        if len(fields) > 2 and fields[2] == number:
            return what.partition(" ")[0].lower()
    return ""
