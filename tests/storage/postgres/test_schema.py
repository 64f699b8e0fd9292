"""Migrations of PostgreSQL: many starters, roles, other schemas, and what is refused."""

from __future__ import annotations

from pathlib import Path

import anyio
import asyncpg
import pytest

from chainlog_async.errors import DatabaseError, MigrationError, NewerDatabaseError
from chainlog_async.storage.base import IgnoredEvents
from chainlog_async.storage.engines import open_storage
from chainlog_async.storage.postgres.migration_steps import Migration, latest_version, migrations, script
from chainlog_async.storage.postgres.schema import migrate_url
from chainlog_async.storage.postgres.url import parse_url
from tests.storage.random_log import batch_of
from tests.support.entries import entry
from tests.support.postgres import SharedServer, connected, query, run
from tests.support.writing import settings_for


async def test_many_starters_migrate_once(postgres_server: SharedServer) -> None:
    """Each step is made by one of them, and all of them see the newest version at the end."""
    url = parse_url(postgres_server.new_database(migrated=False))
    results: list[tuple[int, int]] = []

    async def start() -> None:
        results.append(await migrate_url(url))

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(start)
    assert {after for _, after in results} == {latest_version()}


async def test_the_sql_for_an_administrator_makes_the_same_schema(postgres_server: SharedServer) -> None:
    """What `chainlog migrate --sql` prints leaves nothing to migrate."""
    database = postgres_server.new_database(migrated=False)
    await run(database, "".join(script("team_a")))
    assert await migrate_url(parse_url(f"{database}?schema=team_a")) == (latest_version(), latest_version())
    # A step that is there already is not made again, and nothing is changed by trying.
    with pytest.raises(asyncpg.PostgresError):
        await run(database, "".join(script("team_a")))
    assert await query(database, "SELECT max(version) FROM team_a.schema_version") == [(latest_version(),)]


async def test_two_logs_share_a_database(postgres_server: SharedServer, tmp_path: Path) -> None:
    """Each in a schema of its own name, with its own rows, totals and locks."""
    database = postgres_server.new_database()
    for schema, count in (("chainlog", 1), ("other", 2)):
        storage = await open_storage(settings_for(tmp_path / "o.db", db_url=f"{database}?schema={schema}"))
        await storage.start()
        await storage.commit(batch_of("w", 0, [entry()] * count))
        await storage.maintain(is_behind=False)
        await storage.aclose()
        assert await query(database, f"SELECT total_requests FROM {schema}.usage_summary") == [(count,)]


async def test_a_newer_schema_is_refused_by_name(postgres_url: str, tmp_path: Path) -> None:
    """Neither read nor written by a release that does not know it."""
    await run(postgres_url, f"INSERT INTO chainlog.schema_version (version, name) VALUES ({latest_version() + 1}, 'x')")
    with pytest.raises(NewerDatabaseError, match=f"version {latest_version() + 1}"):
        await open_storage(settings_for(tmp_path / "o.db", db_url=postgres_url))


async def test_a_step_that_fails_leaves_the_version_before(
    postgres_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is one transaction; the next start goes on from there."""
    database = postgres_server.new_database(migrated=False)
    steps = migrations()
    broken = (*steps[:2], Migration(3, "broken", "CREATE TABLE half_done (); SELECT 1 / 0"), *steps[3:])
    with monkeypatch.context() as patch:
        patch.setattr("chainlog_async.storage.postgres.schema.migrations", lambda: broken)
        with pytest.raises(MigrationError, match="from version 2"):
            await migrate_url(parse_url(database))
    assert await query(
        database, "SELECT max(version), to_regclass('chainlog.half_done') FROM chainlog.schema_version"
    ) == [(2, None)]
    assert await migrate_url(parse_url(database)) == (2, latest_version())


async def test_a_writer_and_a_reader_need_no_right_to_change_a_table(postgres_url: str, tmp_path: Path) -> None:
    """`grant_writer` and `grant_reader` give what is needed; a reader cannot write, and neither of both can drop."""
    server, _, database = postgres_url.removeprefix("postgresql://postgres@").partition("/")
    await run(postgres_url, "CREATE ROLE a_writer LOGIN; CREATE ROLE a_reader LOGIN")
    try:
        await run(postgres_url, "SELECT chainlog.grant_writer('a_writer'); SELECT chainlog.grant_reader('a_reader')")
        url = f"postgresql://a_writer@{server}/{database}"
        storage = await open_storage(settings_for(tmp_path / "o.db", db_url=url, retention_days=1))
        await storage.start()
        await storage.commit(batch_of("w", 0, [entry()]))
        await storage.reject(batch_of("v", 0, [entry()]), ValueError("odd"))
        problems: list[str | None] = []
        storage.report_to(_Problems(problems), _nothing)
        await storage.maintain(is_behind=False)
        assert problems == [None]
        await storage.forget("w")
        await storage.aclose()
        async with connected(f"postgresql://a_reader@{server}/{database}") as reader:
            assert await reader.fetchval("SELECT total_requests FROM chainlog.summary_totals") == 1
            assert await reader.fetchval("SELECT chainlog.settled_id()") == 1
            for forbidden in (
                "SELECT chainlog.write_batch('x', 0, 1, '[]')",
                "SELECT chainlog.drop_day(0)",
                "DELETE FROM chainlog.request_logs",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await reader.execute(forbidden)
        async with connected(url) as writer:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await writer.execute("DROP TABLE chainlog.request_logs")
    finally:
        await run(
            postgres_url, "DROP OWNED BY a_writer; DROP OWNED BY a_reader; DROP ROLE a_writer; DROP ROLE a_reader"
        )


async def test_whoever_may_not_make_the_schema_is_told_who_has_to(
    postgres_server: SharedServer, tmp_path: Path
) -> None:
    """The message names the command and its alternative."""
    database = postgres_server.new_database(migrated=False)
    server, _, name = database.removeprefix("postgresql://postgres@").partition("/")
    await run(database, "CREATE ROLE powerless LOGIN")
    try:
        with pytest.raises(DatabaseError, match=r"missing privileges.*chainlog migrate --sql"):
            await open_storage(settings_for(tmp_path / "o.db", db_url=f"postgresql://powerless@{server}/{name}"))
    finally:
        await run(database, "DROP ROLE powerless")


class _Problems(IgnoredEvents):
    """Collects what maintenance says."""

    def __init__(self, problems: list[str | None]) -> None:
        self._problems = problems

    def note_maintenance(self, problem: str | None) -> None:
        """See `StorageEvents`."""
        self._problems.append(problem)


async def _nothing() -> None:
    pass
