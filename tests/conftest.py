"""What holds for every test: nothing blocks the event loop, and no thread of a connection is left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from chainlog_async import initialize_database, migrate_schema
from chainlog_async.common.sqlite import MODULE_VARIABLE
from chainlog_async.settings import Settings
from chainlog_async.storage.sqlite.connection import close_connection
from examples.postgres.server import PostgresServer
from tests.support.postgres import FAST, SharedServer, in_memory
from tests.support.rolling_up import without_rollups
from tests.support.threads import lasting_workers, workers

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def _guard() -> BlockBuster:
    # Only what the package does: a test may well look at a file while its event loop waits.
    buster = BlockBuster("chainlog_async")
    # The one pause that is meant: docs/explanation/performance.md.
    buster.functions["time.sleep"].can_block_in("chainlog_async/common/gil_yield.py", {"_check"})
    # The driver looks for certificates and passwords in the home folder whenever it connects, which takes microseconds.
    for name in ("os.path.abspath", "os.readlink", "os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
        buster.functions[name].can_block_in("asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args"})
    return buster


@pytest.fixture(autouse=True)
def guard(_guard: BlockBuster) -> Iterator[BlockBuster]:
    """Makes a blocking call on an event loop, from anywhere in the package, an error; a test may deactivate it."""
    _guard.activate()
    yield _guard
    _guard.deactivate()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Fails a test that leaves a connection's thread running: it would keep the interpreter from ending."""
    before = workers()
    yield
    assert not lasting_workers(workers() - before), "a connection was left open"


SHORT_S = {
    "storage.sqlite.maintenance.rounds.MAINTENANCE_INTERVAL_S": 0.02,
    "buffer.journal_manager.FOLDER_CHECK_INTERVAL_S": 0.02,
    "storage.sqlite.write_connection.REPLACED_FILE_POLL_S": 0.02,
    "buffer.journal.JOURNAL_RETRY_S": 0.02,
    "writer.committer.MIN_RETRY_PAUSE_S": 0.005,
    "writer.committer.MAX_RETRY_PAUSE_S": 0.05,
    "writer.writer.MIN_RETRY_PAUSE_S": 0.005,
    "writer.writer.MAX_RETRY_PAUSE_S": 0.05,
}


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of faults: the writer checks and tries again within milliseconds, so nobody has to wait."""
    for name, seconds in SHORT_S.items():
        monkeypatch.setattr(f"chainlog_async.{name}", seconds)


@pytest.fixture(params=["mmap", "pwrite"])
def journal_write(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice: with the journal mapped into memory, on any file system, and with a system call for a line."""
    write = str(request.param)
    monkeypatch.setenv("CHAINLOG_JOURNAL_WRITE", write)
    return write


@pytest.fixture
def no_rollups() -> Iterator[None]:
    """Rolling up writes too, and would disturb a test that counts or waits for what is written."""
    with without_rollups():
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[SharedServer]:
    """A real PostgreSQL, for every test of this process."""
    folder = Path(tempfile.mkdtemp(prefix="chainlog-postgres-", dir=in_memory()))
    try:
        server = PostgresServer(folder)
        server.create(FAST)
        server.start()
        try:
            testing = SharedServer(server)
            testing.make_template()
            yield testing
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: SharedServer) -> Iterator[str]:
    """The URL of an empty database of the newest version."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real traces and databases; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip("there is no ../shared/data beside the repository")
    return SHARED_DATA


@pytest.fixture
def copy_of_original(shared_data: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Gives a writable copy of the database that 429chain wrote at version 1 or 2."""

    def copy(version: int) -> Path:
        path = tmp_path / f"429chain-v{version}.db"
        shutil.copyfile(shared_data / path.name, path)
        return path

    return copy


@pytest.fixture
def make_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Gives settings with a database of the test's own, whatever the environment says."""
    for name in os.environ:
        if name.upper().startswith("CHAINLOG_") and name != MODULE_VARIABLE:
            monkeypatch.delenv(name)

    def make(**overrides: object) -> Settings:
        return Settings(**{"db_path": tmp_path / "observability.db", **overrides})

    return make


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of the newest version, to be copied and left as it is."""
    path = tmp_path_factory.mktemp("empty") / "observability.db"

    async def make() -> None:
        connection = await initialize_database(path)
        try:
            await migrate_schema(connection)
        finally:
            await close_connection(connection)

    asyncio.run(make())
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Iterator[Path]:
    """The path of an empty database of the newest version, which nobody has open."""
    path = tmp_path / "observability.db"
    shutil.copy(empty_database, path)
    yield path
    with closing(sqlite3.connect(path)) as checking:
        assert checking.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
