"""Which engine's work an operator does: the one place that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainlog_async.errors import SettingsError
from chainlog_async.storage.engines import needs_postgres

from .sqlite_tasks import SqliteTasks
from .tasks import AdminTasks

if TYPE_CHECKING:
    from chainlog_async.settings import Settings


def tasks_of(settings: Settings) -> AdminTasks:
    """The work on the log that the settings name. Opens nothing yet. Raises `SettingsError` or `MissingExtraError`."""
    match settings.engine:
        case "sqlite":
            return SqliteTasks(settings)
        case "remote":
            raise SettingsError(
                f"this command works on the database itself, and the log is kept by {settings.database}: run it on "
                "that host, or name a file with --db"
            )
        case "postgres":
            with needs_postgres():
                from .postgres.tasks import PostgresTasks
            return PostgresTasks(settings)
