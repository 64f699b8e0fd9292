"""What is promised about reading a database that cannot be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import SummaryStats, UsageAggregator, initialize_database, migrate_schema
from chainlog_async.errors import (
    ClosedError,
    DatabaseError,
    DatabaseMissingError,
    ForeignDatabaseError,
    NotADatabaseError,
    OlderDatabaseError,
)
from chainlog_async.storage.sqlite.connection import close_connection
from tests.support.schemas import make_original
from tests.support.threads import lasting_workers, workers


def is_empty(folder: Path) -> bool:
    """Tell whether nothing is in a folder."""
    return not list(folder.iterdir())


async def test_a_missing_database_is_named_and_not_made(tmp_path: Path) -> None:
    """Where there is no file a read says so, makes none, and answers as soon as there is one."""
    path = tmp_path / "o.db"
    async with UsageAggregator(path) as usage:
        with pytest.raises(DatabaseMissingError, match=r"o\.db does not exist"):
            await usage.get_summary_stats()
        assert is_empty(tmp_path)
        connection = await initialize_database(path)
        with pytest.raises(OlderDatabaseError, match="has schema version 0"):
            await usage.get_summary_stats()
        await migrate_schema(connection)
        assert await usage.get_summary_stats() == SummaryStats(0, 0, 0)
        await close_connection(connection)


def text_file(path: Path) -> None:
    """Make what is no database."""
    path.write_text("no database\n" * 500)


def foreign_file(path: Path) -> None:
    """Make somebody else's database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cats (name)")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: make_original(path, 1), OlderDatabaseError),
        (lambda path: make_original(path, 2), OlderDatabaseError),
        (Path.touch, OlderDatabaseError),
        (text_file, NotADatabaseError),
        (foreign_file, ForeignDatabaseError),
        (Path.mkdir, DatabaseError),
    ],
)
async def test_a_database_that_cannot_be_read_is_named(
    make: Callable[[Path], object], error: type[DatabaseError], tmp_path: Path
) -> None:
    """What is not migrated, not ours or no database is an error of ours that names it, for every question."""
    path = tmp_path / "o.db"
    make(path)
    async with UsageAggregator(path) as usage:
        for ask in (usage.get_summary_stats, usage.get_all_provider_usage, usage.get_recent_requests):
            with pytest.raises(error, match=r"o\.db"):
                await ask()
    assert not lasting_workers(workers())


async def test_a_database_that_breaks_later_is_named(database: Path) -> None:
    """A database that is damaged while it is open gives an error of ours, and answers again once it is mended."""
    async with UsageAggregator(database) as usage:
        assert (await usage.get_summary_stats()).total_requests == 0
        with closing(sqlite3.connect(database)) as other:
            other.execute("ALTER TABLE usage_summary RENAME TO lost")
        with pytest.raises(DatabaseError, match=r"observability\.db cannot be read: no such table"):
            await usage.get_summary_stats()
        with closing(sqlite3.connect(database)) as other:
            other.execute("ALTER TABLE lost RENAME TO usage_summary")
        assert (await usage.get_summary_stats()).total_requests == 0


async def test_a_closed_aggregator_says_so(database: Path) -> None:
    """After it is closed, a question is an error rather than a connection that nobody closes."""
    async with UsageAggregator(database) as usage:
        await usage.get_summary_stats()
    with pytest.raises(ClosedError, match="closed"):
        await usage.get_summary_stats()
    assert not lasting_workers(workers())
