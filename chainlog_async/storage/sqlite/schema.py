"""Bringing a database to the newest schema, a step at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

import aiosqlite

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.common.progress import LoggedProgress, Progress
from chainlog_async.errors import MigrationError

from .errors import describe
from .identity import APPLICATION_ID, ORIGINAL_VERSION, Identity, check_identity, read_identity
from .migration_steps import Migration, Statement, latest_version, migrations

SLICE_ROWS = 200_000
"""How many rows of the log one statement of a migration looks at, where it has the parameters for it."""


async def migrate_schema(connection: aiosqlite.Connection, *, on_progress: Progress | None = None) -> int:
    """Brings the database to the newest schema and returns its version. Does nothing when it is there already.

    A large file takes minutes; `on_progress` is told how far it is, without it the log.

    Each step and its number are one transaction, so a kill leaves the version before or the one after. Processes
    that start together wait for each other, as long as the connection's busy timeout allows.

    Raises `ForeignDatabaseError` or `NewerDatabaseError` before anything is touched, and `MigrationError` when a
    step fails, be it for want of the lock; the database is then as it was before that step.
    """
    on_progress = on_progress or LoggedProgress()
    try:
        identity = await read_identity(connection)
        check_identity(identity)
        while identity.version < latest_version():
            # Left in the middle, the transaction would stay open.
            await run_shielded(_take_one_step(connection, on_progress))
            identity = await read_identity(connection)
    except sqlite3.Error as error:
        raise MigrationError(
            f"the schema cannot be brought up to date: {describe(error)}; the database is as it was "
            "before the step that failed: free the cause and start again"
        ) from error
    return identity.version


async def _take_one_step(connection: aiosqlite.Connection, on_progress: Progress) -> None:
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    try:
        # Another process may have got here first: what was read before the lock is worth nothing now.
        identity = await read_identity(connection)
        check_identity(identity)
        if identity.version < latest_version():
            await _apply(connection, migrations()[identity.version], identity, on_progress)
        await connection.execute_fetchall("COMMIT")
    finally:
        # Some errors, SQLITE_FULL among them, end the transaction by themselves; a second ROLLBACK would hide them.
        if connection.in_transaction:
            await connection.execute_fetchall("ROLLBACK")


async def _apply(connection: aiosqlite.Connection, step: Migration, identity: Identity, on_progress: Progress) -> None:
    # 429chain adds the column and then sets the version, without a transaction: a kill in between left it half done.
    half_done = step.skip_if_column in identity.columns
    try:
        for statement in () if half_done else step.statements:
            on_progress(f"migration {step.version} ({step.name})", 0, None)
            await _run(connection, statement, partial(on_progress, f"migration {step.version} ({step.name})"))
        await connection.execute_fetchall(f"PRAGMA user_version = {step.version:d}")
        if step.version > ORIGINAL_VERSION:
            await connection.execute_fetchall(f"PRAGMA application_id = {APPLICATION_ID:d}")
    except sqlite3.Error as error:
        raise MigrationError(
            f"migration {step.version} ({step.name}) failed: {describe(error)}; "
            f"the database is still at version {identity.version}: free the cause and start again"
        ) from error


async def _run(connection: aiosqlite.Connection, statement: Statement, on_progress: Callable[[int, int], None]) -> None:
    if not statement.in_slices:
        await connection.execute_fetchall(statement.sql)
        return
    # The whole of a large log in one statement could not say how far it is.
    ((first, last),) = await connection.execute_fetchall("SELECT MIN(id), MAX(id) FROM request_logs")
    for after in range(first - 1, last, SLICE_ROWS) if last is not None else ():
        await connection.execute_fetchall(statement.sql, {"after": after, "until": after + SLICE_ROWS})
        on_progress(after + SLICE_ROWS - first, last - first)
