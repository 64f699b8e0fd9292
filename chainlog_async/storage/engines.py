"""Which engine a log uses: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiosqlite

from chainlog_async.common.extras import install_command
from chainlog_async.common.gil_yield import GilYielder
from chainlog_async.errors import MissingExtraError, SettingsError
from chainlog_async.storage.sqlite.alert_states import SqliteAlertStates
from chainlog_async.storage.sqlite.open import open_or_quarantine
from chainlog_async.storage.sqlite.read_storage import SqliteReadStorage
from chainlog_async.storage.sqlite.storage import SqliteStorage

from .base import AlertStates, BatchStorage, ReadStorage

if TYPE_CHECKING:
    from pathlib import Path

    from chainlog_async.common.progress import Progress
    from chainlog_async.settings import Settings


async def open_storage(settings: Settings) -> BatchStorage:
    """Opens the log that the settings name, and migrates its database.

    Raises `DatabaseError`, `SettingsError` or `MissingExtraError`; nothing is left open then.
    """
    match settings.engine:
        case "sqlite":
            return SqliteStorage(await open_or_quarantine(settings), settings)
        case "remote":
            from .remote.storage import RemoteStorage

            storage = RemoteStorage(settings)
            await storage.load()
            return storage
        case "postgres":
            with needs_postgres():
                from .postgres.open import open_storage as open_postgres
            return await open_postgres(settings)


def storage_of(connection: aiosqlite.Connection | BatchStorage, settings: Settings) -> BatchStorage:
    """The engine behind what `RequestLogger` is given."""
    return SqliteStorage(connection, settings) if isinstance(connection, aiosqlite.Connection) else connection


def connection_of(storage: BatchStorage) -> aiosqlite.Connection:
    """The connection of a SQLite storage. Raises `TypeError` for another engine."""
    if isinstance(storage, SqliteStorage):
        return storage.connection
    raise TypeError(f"{type(storage).__name__} has no SQLite connection; use the log's own methods instead")


def reads_of(settings: Settings, *, gil_yielder: GilYielder | None = None) -> ReadStorage:
    """The reads of the log that the settings name. Opens nothing yet. Raises `SettingsError`."""
    match settings.engine:
        case "sqlite":
            return open_reads(
                settings.db_path,
                busy_timeout_ms=settings.busy_timeout_ms,
                max_readers=settings.max_readers,
                read_timeout_ms=settings.read_timeout_ms,
                gil_yielder=gil_yielder,
            )
        case "remote":
            from .remote.read_storage import RemoteReadStorage

            return RemoteReadStorage(settings)
        case "postgres":
            with needs_postgres():
                from .postgres.read_storage import open_reads as open_postgres_reads
            return open_postgres_reads(settings)


async def migrate_postgres(settings: Settings, on_progress: Progress) -> tuple[int, int]:
    """Migrates the schema that the settings name. Returns its version before and after. Raises `DatabaseError`."""
    with needs_postgres():
        from .postgres.schema import migrate_url
        from .postgres.url import parse_url
    return await migrate_url(parse_url(_url_of(settings)), on_progress=on_progress)


def postgres_script(settings: Settings, from_version: int) -> str:
    """The SQL of the migrations after that version, for `psql`. Connects to nothing."""
    from .postgres.migration_steps import script
    from .postgres.url import parse_url

    return "".join(script(parse_url(_url_of(settings)).schema, from_version))


def _url_of(settings: Settings) -> str:
    return "" if settings.db_url is None else settings.db_url.get_secret_value()


def alert_states_of(settings: Settings) -> AlertStates:
    """Where the log that the settings name keeps the state of alerts. Opens nothing yet. Raises `SettingsError`."""
    match settings.engine:
        case "sqlite":
            return SqliteAlertStates(settings)
        case "remote":
            raise SettingsError(
                f"alerts are evaluated where the log is kept, and that is {settings.database}: give alerts and "
                "alert_targets to the `chainlog serve` there"
            )
        case "postgres":
            with needs_postgres():
                from .postgres.alert_states import PostgresAlertStates
            return PostgresAlertStates(settings)


def open_reads(
    db_path: str | Path,
    *,
    busy_timeout_ms: int = 5_000,
    max_readers: int = 4,
    read_timeout_ms: int = 30_000,
    gil_yielder: GilYielder | None = None,
) -> ReadStorage:
    """The reads of a SQLite file. Opens nothing yet; see `UsageAggregator`."""
    return SqliteReadStorage(
        db_path,
        busy_timeout_ms=busy_timeout_ms,
        max_readers=max_readers,
        read_timeout_ms=read_timeout_ms,
        gil_yielder=gil_yielder,
    )


@contextmanager
def needs_postgres() -> Iterator[None]:
    """For an import that needs an extra. Raises `MissingExtraError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise MissingExtraError(f"PostgreSQL needs the extra postgres; {install_command('postgres')}") from error
