"""What holds for every fault: the writer looks around and tries again within milliseconds, so nobody has to wait."""

from __future__ import annotations

import pytest

SHORT_S = {
    "storage.sqlite.maintenance.rounds.TICK_S": 0.02,
    "buffer.journal_manager.LOOK_S": 0.02,
    "storage.sqlite.storage.LOOK_S": 0.02,
    "buffer.journal.RETRY_S": 0.02,
    "writer.committer.FIRST_PAUSE_S": 0.005,
    "writer.committer.LONGEST_PAUSE_S": 0.05,
    "writer.writer.FIRST_PAUSE_S": 0.005,
    "writer.writer.LONGEST_PAUSE_S": 0.05,
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in SHORT_S.items():
        monkeypatch.setattr(f"chainlog_async.{name}", seconds)
