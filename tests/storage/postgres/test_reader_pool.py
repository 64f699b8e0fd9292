"""Connections for reading: how many, for how long, and what is said when there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from chainlog_async.errors import ClosedError, DatabaseError, OlderDatabaseError, QueryTimeoutError
from chainlog_async.storage.engines import reads_of
from chainlog_async.storage.postgres.reader_pool import ReaderPool
from chainlog_async.storage.postgres.url import parse_url
from tests.support.postgres import SharedServer, query
from tests.support.writing import settings_for

COUNT_OURS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE $1"


@pytest.fixture
async def readers(postgres_url: str) -> AsyncIterator[ReaderPool]:
    """At most two connections."""
    async with aclosing(ReaderPool(parse_url(postgres_url), max_readers=2, read_timeout_ms=30_000)) as pool:
        yield pool


async def test_no_more_connections_than_readers(readers: ReaderPool, postgres_url: str) -> None:
    """However many ask at once, two connections are opened; the others wait, and all get their answers."""
    answers: list[object] = []

    async def ask(number: int) -> None:
        answers.extend(
            row[0] for row in await readers.fetch("SELECT :number::text, pg_sleep(0.01)", {"number": str(number)})
        )

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(ask, number)
    assert sorted(map(str, answers)) == [str(number) for number in range(10)]
    assert await query(postgres_url, COUNT_OURS, "chainlog reads%") == [(2,)]


async def test_a_query_that_takes_too_long_is_ended(postgres_url: str) -> None:
    """The server ends it, the remedy is named, and the next question is answered."""
    async with aclosing(ReaderPool(parse_url(postgres_url), max_readers=1, read_timeout_ms=100)) as readers:
        with pytest.raises(QueryTimeoutError, match=r"longer than 0\.1 s; ask for less, or raise read_timeout_ms"):
            await readers.fetch("SELECT pg_sleep(60)")
        assert await readers.fetch("SELECT 1") == [(1,)]
    assert await query(postgres_url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60%'") == [(1,)]


async def test_a_connection_that_was_closed_meanwhile_is_replaced(readers: ReaderPool, postgres_url: str) -> None:
    """A server that restarted, or a pooler that closes idle connections, costs no question."""
    assert await readers.fetch("SELECT 1") == [(1,)]
    ours = "application_name LIKE 'chainlog reads%' AND datname = current_database()"
    await query(postgres_url, f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {ours}")
    assert await readers.fetch("SELECT 1") == [(1,)]


async def test_a_cancelled_question_costs_its_connection_only(readers: ReaderPool) -> None:
    """Who stops waiting leaves nothing behind for the next one."""
    with anyio.move_on_after(0.05):
        await readers.fetch("SELECT pg_sleep(60)")
    assert await readers.fetch("SELECT 1") == [(1,)]


async def test_a_snapshot_is_of_one_moment(readers: ReaderPool, postgres_url: str) -> None:
    """What is committed between two queries of one question is seen by neither, and nothing can be changed."""
    count = "SELECT count(*) FROM streams"
    async with readers.snapshot() as snapshot:
        assert await snapshot.fetch(count) == [(0,)]
        await query(postgres_url, "INSERT INTO chainlog.streams (writer_id, position) VALUES ('w', 1)")
        assert await snapshot.fetch(count) == [(0,)]
    assert await readers.fetch(count) == [(1,)]
    with pytest.raises(DatabaseError, match="read-only"):
        await readers.fetch("DELETE FROM streams")


async def test_after_the_end_nobody_reads(readers: ReaderPool) -> None:
    """Closed readers say so."""
    await readers.aclose()
    with pytest.raises(ClosedError, match="the readers are closed"):
        await readers.fetch("SELECT 1")


async def test_what_cannot_be_read_is_named(postgres_server: SharedServer, postgres_url: str, tmp_path: Path) -> None:
    """A server that is not there, a database that is not, and one that is not migrated, each with a remedy."""
    for url, error, message in (
        ("postgresql://nobody@127.0.0.1:1/log", DatabaseError, "127.0.0.1:1/log: connection lost"),
        (postgres_url + "_gone", DatabaseError, "no such database.*create it, or correct its name"),
        (postgres_server.new_database(migrated=False), OlderDatabaseError, "run `chainlog migrate --db-url"),
    ):
        async with aclosing(reads_of(settings_for(tmp_path / "o.db", db_url=url))) as reads:
            with pytest.raises(error, match=message):
                await reads.get_summary_stats()


async def test_a_replica_is_read_instead(postgres_server: SharedServer, postgres_url: str, tmp_path: Path) -> None:
    """With `read_url` the database of `db_url` is never asked."""
    replica = postgres_server.new_database()
    await query(replica, "UPDATE chainlog.usage_summary SET total_requests = 7")
    log = settings_for(tmp_path / "o.db", db_url=postgres_url, read_url=replica)
    async with aclosing(reads_of(log)) as reads:
        assert (await reads.get_summary_stats()).total_requests == 7
    assert await query(postgres_url, COUNT_OURS, "chainlog reads%") == [(0,)]
