"""What holds for every fault: the writer looks around and tries again within milliseconds, so nobody has to wait."""

from __future__ import annotations

import pytest

SHORT_S = {
    "maintenance.TICK_S": 0.02,
    "stream.LOOK_S": 0.02,
    "store.LOOK_S": 0.02,
    "journal.RETRY_S": 0.02,
    "committer.FIRST_PAUSE_S": 0.005,
    "committer.LONGEST_PAUSE_S": 0.05,
    "writer.FIRST_PAUSE_S": 0.005,
    "writer.LONGEST_PAUSE_S": 0.05,
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in SHORT_S.items():
        monkeypatch.setattr(f"chainlog_async.{name}", seconds)
