"""The contract on an engine that keeps everything in memory: what the contract asks can be promised without SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.memory_reads import MemoryReads
from tests.support.memory_storage import MemoryDatabase, MemoryStorage

from .contract import Engine, StorageContract


class MemoryEngine(Engine):
    """A list."""

    def __init__(self, path: Path) -> None:
        self._database = MemoryDatabase()
        self._path = path

    async def open(self) -> MemoryStorage:
        """The list."""
        return MemoryStorage(self._database, self._path)

    def reads(self) -> MemoryReads:
        """The list."""
        return MemoryReads(self._database)

    async def refuse_rows(self, model: str) -> None:
        """By a set."""
        self._database.refused_models.add(model)

    async def rejected(self) -> int:
        """By a list."""
        return len(self._database.rejected)

    async def compact(self, *, thoroughly: bool) -> None:
        """A list is compact."""


class TestMemory(StorageContract):
    """See `StorageContract`."""

    questions = 10

    @pytest.fixture
    def engine(self, tmp_path: Path) -> MemoryEngine:
        """A new one."""
        return MemoryEngine(tmp_path / "memory")
