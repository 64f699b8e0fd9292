"""Which copy of SQLite is used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from chainlog_async.common import sqlite
from chainlog_async.common.sqlite import has_wal_reset_bug
from chainlog_async.errors import SettingsError
from chainlog_async.settings import Settings

FIXED, BUGGY = (3, 53, 4), (3, 51, 1)


@pytest.mark.parametrize(
    ("version", "has_bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 9), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_versions_of_sqlite_with_the_wal_reset_bug_are_known(version: tuple[int, int, int], has_bug: bool) -> None:
    """3.7.0 to 3.51.2 have it, but for the lines in which it was mended."""
    assert has_wal_reset_bug(version) is has_bug


def choose(monkeypatch: pytest.MonkeyPatch, *, python: tuple[int, int, int], other: tuple[int, int, int] | None) -> str:
    """The name of the module that is chosen where Python has one version of SQLite, and pysqlite3 another or none."""
    of_python = SimpleNamespace(__name__="sqlite3", sqlite_version_info=python)
    module = None if other is None else SimpleNamespace(__name__="pysqlite3.dbapi2", sqlite_version_info=other)
    monkeypatch.setattr(sqlite, "_of_python", of_python)
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", module)
    return sqlite._chosen().__name__


@pytest.mark.parametrize(
    ("python", "other", "chosen"),
    [
        (BUGGY, FIXED, "pysqlite3.dbapi2"),
        (BUGGY, BUGGY, "sqlite3"),
        (BUGGY, None, "sqlite3"),
        (FIXED, FIXED, "sqlite3"),
        (FIXED, BUGGY, "sqlite3"),
    ],
)
def test_pysqlite3_is_used_only_where_it_alone_has_no_wal_reset_bug(
    monkeypatch: pytest.MonkeyPatch,
    python: tuple[int, int, int],
    other: tuple[int, int, int] | None,
    chosen: str,
) -> None:
    """Python's own SQLite is used unless it has the bug and an installed pysqlite3 has not."""
    monkeypatch.delenv(sqlite.MODULE_VARIABLE)
    assert choose(monkeypatch, python=python, other=other) == chosen


def test_a_gateway_may_keep_the_sqlite_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable names either module, whatever its version."""
    monkeypatch.setenv(sqlite.MODULE_VARIABLE, "sqlite3")
    assert choose(monkeypatch, python=BUGGY, other=FIXED) == "sqlite3"
    monkeypatch.setenv(sqlite.MODULE_VARIABLE, "pysqlite3")
    assert choose(monkeypatch, python=FIXED, other=BUGGY) == "pysqlite3.dbapi2"


def test_a_module_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name is an error, like that of a setting."""
    monkeypatch.setenv(sqlite.MODULE_VARIABLE, "sqlite")
    with pytest.raises(SettingsError, match="CHAINLOG_SQLITE_MODULE is not one of sqlite3 and pysqlite3"):
        Settings.load()


LOG = """
import asyncio, sys
from chainlog_async import ChainLog, RequestLogEntry, Settings
from chainlog_async.common.sqlite import sqlite3

async def main():
    async with ChainLog(Settings(db_path=sys.argv[1])) as chainlog:
        for number in range(500):
            chainlog.log_request(RequestLogEntry(
                chain_name="c", provider_id="p", model="m", latency_ms=number, http_status=200))
        await chainlog.flush()
        summary = await chainlog.usage.get_summary_stats()
        print(sqlite3.__name__, summary.total_requests, chainlog.health().status, *chainlog.health().notes)

asyncio.run(main())
"""


@pytest.mark.skipif(not has_wal_reset_bug(sqlite3.sqlite_version_info), reason="Python's own SQLite has no bug")
def test_a_log_is_written_and_read_with_an_installed_pysqlite3(database: Path) -> None:
    """With the real package installed a log works as ever, the note is gone, and any SQLite reads the file."""
    pytest.importorskip("pysqlite3.dbapi2", reason="pysqlite3 is not installed; pip install pysqlite3")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHAINLOG_")}
    done = subprocess.run(
        [sys.executable, "-c", LOG, database], env=environ, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("pysqlite3.dbapi2 500 ok\n", "", 0)
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("SELECT count(*) FROM request_logs").fetchone() == (500,)
    finally:
        connection.close()
