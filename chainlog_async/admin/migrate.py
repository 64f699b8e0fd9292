"""Migrating a database to this release's schema on request."""

from __future__ import annotations

import msgspec

from chainlog_async.common.progress import Progress
from chainlog_async.errors import SettingsError
from chainlog_async.settings import Settings
from chainlog_async.storage.engines import migrate_postgres, postgres_script
from chainlog_async.storage.sqlite.connection import close_connection, initialize_database
from chainlog_async.storage.sqlite.identity import read_identity
from chainlog_async.storage.sqlite.schema import migrate_schema


class MigrationReport(msgspec.Struct, frozen=True, rename="camel"):
    """The ``--json`` of ``chainlog migrate``."""

    database: str
    from_version: int
    """0 when there was no database yet."""
    to_version: int


async def migrate_database(settings: Settings, on_progress: Progress) -> MigrationReport:
    """Creates the database, or with PostgreSQL the schema, if it is missing, and applies every migration that it lacks.

    Raises `DatabaseError`; the database is then at the version of the last step that was finished.
    """
    if settings.engine == "postgres":
        return MigrationReport(settings.database, *await migrate_postgres(settings, on_progress))
    connection = await initialize_database(
        settings.db_path,
        busy_timeout_ms=settings.busy_timeout_ms,
        synchronous=settings.synchronous,
        wal_limit_bytes=settings.wal_limit_bytes,
    )
    try:
        before = (await read_identity(connection)).version
        after = await migrate_schema(connection, on_progress=on_progress)
        return MigrationReport(str(settings.db_path), before, after)
    finally:
        await close_connection(connection)


def migration_script(settings: Settings, from_version: int) -> str:
    """The SQL that leads PostgreSQL's schema from that version to the newest, for `psql`; 0 is none at all.

    Connects to nothing. Raises `SettingsError` when the settings do not name PostgreSQL.
    """
    if settings.engine != "postgres":
        raise SettingsError(
            f"only the schema of PostgreSQL can be printed, and the log is in {settings.database}; give --db-url "
            "postgresql://…"
        )
    return postgres_script(settings, from_version)
