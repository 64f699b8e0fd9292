"""What each error of PostgreSQL means, by its SQLSTATE, from a real server where one can be had."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from chainlog_async.entry.batch import Batch
from chainlog_async.errors import DatabaseError
from chainlog_async.storage.base import BatchStorage, StorageFault
from chainlog_async.storage.engines import open_storage
from chainlog_async.storage.postgres.errors import DRIVER_ERRORS, classify, describe
from tests.storage.random_log import batch_of
from tests.support.entries import entry
from tests.support.postgres import connected, run
from tests.support.writing import settings_for


def error_of(sqlstate: str) -> BaseException:
    """As the driver raises it for what the server sends."""
    error: BaseException = asyncpg.PostgresError.new({"C": sqlstate, "M": "was ist los", "S": "FEHLER"})
    return error


@pytest.mark.parametrize(
    ("sqlstate", "fault", "name"),
    [
        ("08006", StorageFault.STORAGE, "connection lost"),
        ("57P01", StorageFault.STORAGE, "connection lost"),
        ("57P03", StorageFault.STORAGE, "starting or stopping"),
        ("53300", StorageFault.STORAGE, "too many connections"),
        ("53100", StorageFault.STORAGE, "disk full"),
        ("25006", StorageFault.STORAGE, "read-only"),
        ("40P01", StorageFault.BUSY, "deadlock"),
        ("40001", StorageFault.BUSY, "serialization failure"),
        ("55P03", StorageFault.BUSY, "lock timeout"),
        ("57014", StorageFault.BUSY, "statement timeout"),
        ("28P01", StorageFault.STORAGE, "wrong user or password"),
        ("3D000", StorageFault.STORAGE, "no such database"),
        ("42501", StorageFault.STORAGE, "missing privileges"),
        ("42P01", StorageFault.STORAGE, "schema missing"),
        ("22P02", StorageFault.ROW, "value refused"),
        ("23514", StorageFault.ROW, "constraint violated"),
        ("XX001", StorageFault.DAMAGED, "table damaged"),
        ("XX000", StorageFault.UNKNOWN, "error of the server"),
    ],
)
def test_errors_are_told_apart_by_sqlstate_in_any_language(sqlstate: str, fault: StorageFault, name: str) -> None:
    """The text of the message plays no part; the description has the name, the text and the SQLSTATE."""
    error = error_of(sqlstate)
    assert classify(error) is fault
    assert name in describe(error)
    assert sqlstate in describe(error)
    wrapped = DatabaseError("somewhere")
    wrapped.__cause__ = error
    assert classify(wrapped) is fault


async def test_what_the_server_refuses_is_named(postgres_url: str, tmp_path: Path) -> None:
    """A wrong password, a database that is not there, a role without privileges and a port without a server."""
    await run(postgres_url, "CREATE ROLE nobody_special LOGIN")
    server, _, database = postgres_url.removeprefix("postgresql://postgres@").partition("/")
    try:
        for url, named in (
            (f"postgresql://postgres@{server}/not_there", "no such database"),
            (f"postgresql://not_there@{server}/{database}", "wrong user or password"),
            (f"postgresql://nobody_special@{server}/{database}", "missing privileges"),
        ):
            with pytest.raises(DatabaseError, match=named):
                await open_storage(settings_for(tmp_path / "o.db", db_url=url))
    finally:
        await run(postgres_url, "DROP ROLE nobody_special")


async def opened(url: str, folder: Path) -> BatchStorage:
    """A storage that has connected."""
    storage = await open_storage(settings_for(folder / "o.db", db_url=url))
    await storage.start()
    return storage


async def error_from(storage: BatchStorage, batch: Batch) -> tuple[StorageFault, str]:
    """What committing the batch leads to."""
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whichever it is, it is looked at
        await storage.commit(batch)
    return storage.classify(raised.value, batch), storage.describe(raised.value)


async def test_a_server_without_a_port_is_waited_for(tmp_path: Path) -> None:
    """A gateway starts while the database is away; what it logs waits in the journal."""
    storage = await opened("postgresql://postgres@127.0.0.1:1/log", tmp_path)
    fault, description = await error_from(storage, batch_of("w", 0, [entry()]))
    assert fault is StorageFault.STORAGE
    assert "connection lost" in description
    assert "127.0.0.1:1" in description
    await storage.aclose()


async def test_a_connection_that_was_ended_is_opened_again(postgres_url: str, tmp_path: Path) -> None:
    """The batch is not lost with it: the next try succeeds, on another connection."""
    storage = await opened(postgres_url, tmp_path)
    batch = batch_of("w", 0, [entry()])
    await storage.position("w")
    async with connected(postgres_url) as connection:
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'chainlog'"
        )
    # It may not have heard of it yet, and fails once.
    with suppress(*DRIVER_ERRORS):
        await storage.commit(batch)
    await storage.commit(batch)
    assert await storage.position("w") == batch.end
    await storage.aclose()


async def test_a_read_only_server_is_named(postgres_url: str, tmp_path: Path) -> None:
    """As a standby, or a server whose administrator said so."""
    storage = await opened(postgres_url, tmp_path)
    async with connected(postgres_url) as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await storage.recover(StorageFault.STORAGE)
    fault, description = await error_from(storage, batch_of("w", 0, [entry()]))
    assert fault is StorageFault.STORAGE
    assert description.startswith("read-only")
    await storage.aclose()


async def test_a_lock_that_is_held_too_long_is_waited_for_again(postgres_url: str, tmp_path: Path) -> None:
    """The server ends the statement after its time, and the batch is tried again."""
    storage = await opened(f"{postgres_url}?statement_timeout=100", tmp_path)
    async with connected(postgres_url) as connection, connection.transaction():
        await connection.execute("LOCK TABLE chainlog.streams IN ACCESS EXCLUSIVE MODE")
        fault, description = await error_from(storage, batch_of("w", 0, [entry()]))
    assert fault is StorageFault.BUSY
    assert description.startswith("statement timeout")
    await storage.commit(batch_of("w", 0, [entry()]))
    await storage.aclose()
