"""The rows of an export are stored beside a gateway that writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async.admin import restore as restore_module
from chainlog_async.admin.restore import ExportedRow, open_restore
from tests.support.entries import entry
from tests.support.locks import free_locks_at_pauses
from tests.support.operator import migrate


async def test_the_lock_is_free_after_each_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long export must not keep a gateway from writing until it is stored."""
    path = tmp_path / "log.db"
    await migrate(path)
    monkeypatch.setattr(restore_module, "SLICE_ROWS", 7)
    pauses = free_locks_at_pauses(monkeypatch, path)
    async with open_restore(path, str) as restore:
        for number in range(30):
            restore.take(ExportedRow(number + 1, entry()))
        await restore.store(lambda _done: None)
    assert restore.counts.stored == 30
    assert pauses == [True] * 5
