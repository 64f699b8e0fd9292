"""The contract of `tests/storage/contract.py` on a `chainlog serve` that is asked over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from chainlog_async.settings import Settings
from chainlog_async.storage.base import BatchStorage, ReadStorage
from chainlog_async.storage.engines import open_storage, reads_of
from tests.storage.contract import Engine, StorageContract
from tests.storage.sqlite.test_contract import SqliteEngine
from tests.support.service import KEY, service_settings
from tests.support.serving import server_beside


class RemoteEngine(Engine):
    """A service on a SQLite file of its own."""

    def __init__(self, url: str, own: Path, servers: Path) -> None:
        self._settings = Settings(db_url=url, db_key=KEY, db_path=own)
        self._servers = SqliteEngine(servers)

    async def open(self) -> BatchStorage:
        """Ships to it."""
        return await open_storage(self._settings)

    def reads(self) -> ReadStorage:
        """Asks it."""
        return reads_of(self._settings)

    async def refuse_rows(self, model: str) -> None:
        """The server's database does."""
        await self._servers.refuse_rows(model)

    async def rejected(self) -> int:
        """In the server's database."""
        return await self._servers.rejected()

    async def compact(self, *, thoroughly: bool) -> None:
        """In the server's database, which its own writer may be rolling up at the moment."""
        with anyio.fail_after(30):
            while True:
                try:
                    return await self._servers.compact(thoroughly=thoroughly)
                except AssertionError:
                    await anyio.sleep(0.05)


class TestRemote(StorageContract):
    """See `StorageContract`."""

    questions = 10
    """The server's engine is asked more on its own; each page here is a request."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[RemoteEngine]:
        """A server on a new file."""
        servers = service_settings(tmp_path, server={"api_keys": [KEY]})
        with server_beside(servers) as url:
            yield RemoteEngine(url, tmp_path / "gateway" / "o.db", servers.db_path)
