"""Batches of other machines, while the writer cannot take them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from chainlog_async.errors import DatabaseError
from chainlog_async.writer import guests
from chainlog_async.writer.health import HealthState
from tests.storage.random_log import batch_of
from tests.support.entries import entry


async def test_a_batch_whose_sender_was_answered_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the writer is stuck, batches that are sent again and again would fill the memory."""
    monkeypatch.setattr(guests, "ANSWER_TIMEOUT_S", 0.01)
    nobody = cast(Any, None)
    stuck = guests.GuestWriters(nobody, nobody, HealthState(), wake_writer=lambda: None)
    stuck.open()
    for _ in range(3):
        with pytest.raises(DatabaseError, match=r"did not store it within 0\.01 s: it is busy with earlier entries"):
            await stuck.commit(batch_of("w", 0, [entry()]))
        assert not stuck.is_waiting
