"""Read-only SQL on the file, for people and agents: `query_database`.

The connection cannot write (``mode=ro``, ``query_only``), and an authorizer lets a statement do nothing but read the
log: it cannot attach another file, load an extension or change a setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiosqlite
import anyio
import msgspec

from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import QueryError, QueryTimeoutError

from .session import open_for_reading

MAX_ROWS = 1_000
"""How many rows are returned unless told otherwise."""

Value = int | float | str | bytes | None

_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_READING_PRAGMAS = frozenset(
    {
        "application_id",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "page_count",
        "page_size",
        "table_info",
        "table_list",
        "table_xinfo",
        "user_version",
    }
)
_UNSAFE_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})


class QueryResult(msgspec.Struct, frozen=True, rename="camel"):
    """What a statement returned."""

    columns: Sequence[str]
    """The names of the columns."""
    rows: Sequence[Sequence[Value]]
    """The rows, each with one value for each column."""
    is_complete: bool
    """Whether these are all rows."""


async def query_database(
    path: str | Path, sql: str, *, max_rows: int = MAX_ROWS, timeout_ms: int = 30_000, busy_timeout_ms: int = 5_000
) -> QueryResult:
    """Runs one statement that reads.

    Args:
        path: The database file.
        sql: One statement of SQLite's SQL.
        max_rows: How many rows are returned at most.
        timeout_ms: After how long the statement is interrupted, in ms.
        busy_timeout_ms: How long to wait for another process's lock, in ms.

    Raises:
        QueryError: SQLite refuses the statement, or it would do something else than read.
        QueryTimeoutError: It took longer than `timeout_ms`.
        DatabaseError: The file cannot be opened, as in `open_for_reading`.
    """
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        await connection.set_authorizer(_authorize)
        try:
            with anyio.fail_after(timeout_ms / 1_000):
                return await _fetch(connection, sql, max_rows)
        except TimeoutError:
            raise QueryTimeoutError(
                f"the statement took longer than {timeout_ms / 1_000:g} s; ask for less, or raise the time limit"
            ) from None


async def _fetch(connection: aiosqlite.Connection, sql: str, max_rows: int) -> QueryResult:
    try:
        cursor = await connection.execute(sql)
        # One more than is returned tells whether there are more.
        rows = [tuple(row) for row in await cursor.fetchmany(max_rows + 1)]
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise QueryError(_reason(error)) from error
    columns = [column[0] for column in cursor.description or ()]
    return QueryResult(columns, rows[:max_rows], len(rows) <= max_rows)


def _reason(error: Exception) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_AUTH", "SQLITE_READONLY")):
        return f"the statement may only read the log ({error}); use SELECT"
    return f"SQLite refuses the statement: {error}"


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second not in _UNSAFE_FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first in _READING_PRAGMAS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
