"""The module through which SQLite is used: ``sqlite3``, or pysqlite3 where only that one has no WAL-reset bug.

Everything that opens the log, or handles an error of it, takes `sqlite3` from here. Two copies of SQLite in one process
must not open the same file: each would drop the other's locks.
"""

from __future__ import annotations

import importlib
import os
import sqlite3 as _of_python
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import ModuleType

MODULE_VARIABLE: Final = "CHAINLOG_SQLITE_MODULE"
"""Environment variable that names the module: ``sqlite3`` for Python's own, even if pysqlite3 is installed."""

MODULES: Final = ("sqlite3", "pysqlite3")
"""The values of `MODULE_VARIABLE`; by default Python's own is used where it has no WAL-reset bug."""

WAL_RESET_BUG_FIXED_IN: Final = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""SQLite releases without the WAL-reset bug, the newest line first; before 3.7.0 there was no WAL.

The bug can damage a database when one connection commits while another one checkpoints:
https://www.sqlite.org/wal.html#walresetbug
"""


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this release of SQLite has the bug."""
    if version >= WAL_RESET_BUG_FIXED_IN[0]:
        return False
    return not any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RESET_BUG_FIXED_IN)


def _chosen() -> ModuleType:
    wanted = os.environ.get(MODULE_VARIABLE)
    if wanted == "sqlite3" or (wanted != "pysqlite3" and not has_wal_reset_bug(_of_python.sqlite_version_info)):
        return _of_python
    try:
        other = importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return _of_python
    # One that was built from source has the SQLite of the machine.
    return _of_python if wanted is None and has_wal_reset_bug(other.sqlite_version_info) else other


if TYPE_CHECKING:
    import sqlite3 as sqlite3  # noqa: PLC0414  # exported; pysqlite3 is a copy of it without types
else:
    sqlite3 = _chosen()
