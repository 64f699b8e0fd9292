"""What holds for every fault: the writer looks around and tries again within milliseconds, so nobody has to wait."""

from __future__ import annotations

import pytest

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


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in SHORT_S.items():
        monkeypatch.setattr(f"chainlog_async.{name}", seconds)
