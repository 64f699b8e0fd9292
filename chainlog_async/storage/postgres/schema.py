"""Migrates the schema of a database, one step and one transaction at a time; many may start at once."""

from __future__ import annotations

from typing import cast

import asyncpg

from chainlog_async.common.progress import LoggedProgress, Progress
from chainlog_async.errors import MigrationError, NewerDatabaseError, OlderDatabaseError

from .connection import open_connection
from .errors import DRIVER_ERRORS, database_error, describe
from .migration_steps import CREATE_SCHEMA, LOCK, NO_TIMEOUT, latest_version, migrations, statements
from .url import PostgresUrl

_VERSION = "SELECT COALESCE(max(version), 0) FROM {s}.schema_version"
# Not by `to_regclass`: in a transaction that waited for the lock it may not know yet what another one created.
_EXISTS = """
SELECT EXISTS (
  SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE nspname = '{s}' AND relname = 'schema_version'
)
"""
NO_LIMIT_S = 86_400.0
"""A migration of a large log may take long, in seconds."""


async def read_version(connection: asyncpg.Connection, url: PostgresUrl) -> int:
    """The version of the schema, 0 where there is none. Raises the driver's errors."""
    async with connection.transaction():
        if not await connection.fetchval(url.sql(_EXISTS)):
            return 0
        return cast("int", await connection.fetchval(url.sql(_VERSION)))


async def require_current(connection: asyncpg.Connection, url: PostgresUrl) -> None:
    """Raises `NewerDatabaseError` or `OlderDatabaseError` when this release does not fit the schema."""
    version = await read_version(connection, url)
    _refuse_newer(version, url)
    if version < latest_version():
        raise OlderDatabaseError(
            f"{url.shown} has version {version} of the schema {url.schema}, and this release needs {latest_version()}; "
            "run `chainlog migrate --db-url …` as the owner of the schema"
        )


async def migrate(connection: asyncpg.Connection, url: PostgresUrl, *, on_progress: Progress | None = None) -> int:
    """Migrates to the newest version and returns it. Needs no right to change anything when that is the version.

    Each step and its version are one transaction. Processes that start together wait for each other. Raises
    `NewerDatabaseError` before anything is changed, and `MigrationError` when a step fails; the database is then as it
    was before that step.
    """
    on_progress = on_progress or LoggedProgress()
    version = 0
    try:
        version = await read_version(connection, url)
        while version < latest_version():
            version = await _apply_next_step(connection, url, on_progress)
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"{url.shown} cannot be migrated from version {version} of the schema {url.schema}: {describe(error)}; "
            "run `chainlog migrate --db-url …` as a role that may create the schema, or give the output of "
            "`chainlog migrate --sql` to who may"
        ) from error
    _refuse_newer(version, url)
    return version


async def migrate_url(url: PostgresUrl, *, on_progress: Progress | None = None) -> tuple[int, int]:
    """Connects and migrates. Returns the version before and after. Raises `DatabaseError`."""
    connection = await open_connection(url, name="chainlog migrate")
    try:
        before = await read_version(connection, url)
        return before, await migrate(connection, url, on_progress=on_progress)
    except DRIVER_ERRORS as error:
        raise database_error(url.shown, error) from error
    finally:
        connection.terminate()


async def _apply_next_step(connection: asyncpg.Connection, url: PostgresUrl, on_progress: Progress) -> int:
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(NO_TIMEOUT)
        await connection.execute(url.sql(LOCK), timeout=NO_LIMIT_S)
        # Another process may have been faster: what was read before the lock may be outdated.
        version = await read_version(connection, url)
        if version == 0:
            await connection.execute(url.sql(CREATE_SCHEMA))
        if version >= latest_version():
            return version
        step = migrations()[version]
        on_progress(f"migration {step.version} ({step.name})", 0, None)
        for statement in statements(url.schema, step):
            await connection.execute(statement, timeout=NO_LIMIT_S)
        return step.version


def _refuse_newer(version: int, url: PostgresUrl) -> None:
    if version > latest_version():
        raise NewerDatabaseError(
            f"{url.shown} has version {version} of the schema {url.schema}, and this release of chainlog-async knows "
            f"{latest_version()}; install a newer release"
        )
