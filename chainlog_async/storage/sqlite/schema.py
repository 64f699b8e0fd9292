"""Migrates a database to the newest schema, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import aiosqlite

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.common.progress import LoggedProgress, Progress
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import MigrationError

from .errors import describe
from .identity import APPLICATION_ID, ORIGINAL_VERSION, Identity, check_identity, read_identity
from .migration_steps import Migration, Statement, latest_version, migrations, new_schema

SLICE_ROWS = 200_000
"""How many ids a statement that runs in slices covers at a time."""


async def migrate_schema(connection: aiosqlite.Connection, *, on_progress: Progress | None = None) -> int:
    """Migrates the database to the newest schema and returns its version. Does nothing if it is up to date.

    A large file takes minutes; progress is reported to `on_progress`, or to the log without it.

    Each step and its version are one transaction, so a kill leaves the version before or after it. An empty file gets
    the newest schema in one step. Processes that start together wait for each other, within the connection's busy
    timeout.

    Raises `ForeignDatabaseError` or `NewerDatabaseError` before anything is changed, and `MigrationError` when a step
    fails, for example because another process holds the lock; the database is then as it was before that step.
    """
    on_progress = on_progress or LoggedProgress()
    try:
        identity = await read_identity(connection)
        check_identity(identity)
        while identity.version < latest_version():
            # Shielded: if cancelled in the middle, the transaction would stay open.
            await run_shielded(_apply_next_step(connection, on_progress))
            identity = await read_identity(connection)
    except sqlite3.Error as error:
        raise MigrationError(
            f"the schema cannot be migrated: {describe(error)}; the database is as it was "
            "before the step that failed: fix the cause and start again"
        ) from error
    return identity.version


async def _apply_next_step(connection: aiosqlite.Connection, on_progress: Progress) -> None:
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster: what was read before the lock may be outdated.
        identity = await read_identity(connection)
        check_identity(identity)
        if identity.is_empty:
            await _create(connection)
        elif identity.version < latest_version():
            await _apply(connection, migrations()[identity.version], identity, on_progress)
        await connection.execute_fetchall("COMMIT")
    finally:
        # Some errors, such as SQLITE_FULL, roll back by themselves; another ROLLBACK would fail and hide them.
        if connection.in_transaction:
            await connection.execute_fetchall("ROLLBACK")


async def _create(connection: aiosqlite.Connection) -> None:
    try:
        for statement in new_schema():
            await connection.execute_fetchall(statement.sql)
        await _mark(connection, latest_version())
    except sqlite3.Error as error:
        raise MigrationError(
            f"the schema of a new database cannot be created: {describe(error)}; "
            "the file is still empty: fix the cause and start again"
        ) from error


async def _mark(connection: aiosqlite.Connection, version: int) -> None:
    await connection.execute_fetchall(f"PRAGMA user_version = {version:d}")
    if version > ORIGINAL_VERSION:
        await connection.execute_fetchall(f"PRAGMA application_id = {APPLICATION_ID:d}")


async def _apply(connection: aiosqlite.Connection, step: Migration, identity: Identity, on_progress: Progress) -> None:
    half_done = step.skip_if_column in identity.columns
    try:
        for statement in () if half_done else step.statements:
            on_progress(f"migration {step.version} ({step.name})", 0, None)
            await _run(connection, statement, partial(on_progress, f"migration {step.version} ({step.name})"))
        await _mark(connection, step.version)
    except sqlite3.Error as error:
        raise MigrationError(
            f"migration {step.version} ({step.name}) failed: {describe(error)}; "
            f"the database is still at version {identity.version}: fix the cause and start again"
        ) from error


async def _run(connection: aiosqlite.Connection, statement: Statement, on_progress: Callable[[int, int], None]) -> None:
    if not statement.in_slices:
        await connection.execute_fetchall(statement.sql)
        return
    # In slices, so that progress on a large log can be reported.
    ((first, last),) = await connection.execute_fetchall("SELECT MIN(id), MAX(id) FROM request_logs")
    for after in range(first - 1, last, SLICE_ROWS) if last is not None else ():
        await connection.execute_fetchall(statement.sql, {"after": after, "until": after + SLICE_ROWS})
        on_progress(after + SLICE_ROWS - first, last - first)
