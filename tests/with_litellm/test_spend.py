"""Spend by user, team, end user and tag is what LiteLLM's own daily tables would hold."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from chainlog_async import UsageAggregator, UsageQuery, Window

from .support import Logged, only_litellm_may_warn

pytestmark = only_litellm_may_warn

Spend = dict[tuple[str, str], float]
"""Dollars by name and day."""


class DailyTables(CustomLogger):  # type: ignore[misc]  # LiteLLM has no types here
    """LiteLLM's own accounting: what its proxy would add to its tables by day, but for the tables."""

    def __init__(self) -> None:
        super().__init__()
        # At the top of the file, the warnings of these modules would be errors.
        from litellm.proxy.db.db_spend_update_writer import DBSpendUpdateWriter
        from litellm.proxy.spend_tracking.spend_tracking_utils import get_logging_payload

        self._writer = DBSpendUpdateWriter()
        self._payload_of = get_logging_payload
        self._client: Any = SimpleNamespace(get_request_status=lambda _payload: "success")

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> None:
        """Counts one request as the proxy does."""
        payload = self._payload_of(kwargs, response_obj, start_time, end_time)
        writer, client = self._writer, self._client
        await writer.add_spend_log_transaction_to_daily_user_transaction(payload, client)
        await writer.add_spend_log_transaction_to_daily_team_transaction(payload, client)
        await writer.add_spend_log_transaction_to_daily_end_user_transaction(payload, client)
        await writer.add_spend_log_transaction_to_daily_tag_transaction(payload, client)

    async def spend(self, kind: str) -> Spend:
        """The sums of one of the tables."""
        queue, key = {
            "user": (self._writer.daily_spend_update_queue, "user_id"),
            "team": (self._writer.daily_team_spend_update_queue, "team_id"),
            "end_user": (self._writer.daily_end_user_spend_update_queue, "end_user_id"),
            "tag": (self._writer.daily_tag_spend_update_queue, "tag"),
        }[kind]
        found: Spend = defaultdict(float)
        updates = await queue.flush_and_get_aggregated_daily_spend_update_transactions()
        for update in updates.values():
            found[update[key], update["date"]] += update["spend"]
        return found


async def test_spend_by_day_is_litellms_own(logged: Logged) -> None:
    """By user, team, end user and request tag, to the billionth of a dollar."""
    theirs = DailyTables()
    litellm.callbacks.append(theirs)
    for number in range(24):
        named = {
            "user_api_key": "hash",
            "user_api_key_user_id": f"user-{number % 3}",
            "user_api_key_team_id": f"team-{number % 2}",
            "user_api_key_end_user_id": f"customer-{number % 5}",
            "tags": ["feature:search", f"env:{number % 4}"] if number % 2 else ["feature:chat"],
        }
        await litellm.acompletion(
            "gpt-4o-mini" if number % 3 else "gpt-4o",
            messages=[{"role": "user", "content": "words " * (1 + number)}],
            user=f"customer-{number % 5}",
            metadata=named,
            mock_response="an answer of some words " * (1 + number % 7),
        )
    await logged.rows(answered=24)
    expected = {kind: await theirs.spend(kind) for kind in ("user", "team", "end_user", "tag")}
    features = {key: spent for key, spent in expected["tag"].items() if key[0].startswith("feature:")}
    assert len(features) >= 2
    async with UsageAggregator(logged.database) as usage:
        for kind in ("user", "team", "end_user"):
            assert await _spend(usage, f"tag:{kind}") == pytest.approx(expected[kind], abs=1e-9), kind
        ours = {(f"feature:{name}", day): spent for (name, day), spent in (await _spend(usage, "tag:feature")).items()}
        assert ours == pytest.approx(features, abs=1e-9)


async def _spend(usage: UsageAggregator, by: str) -> Spend:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since, until = (today + timedelta(days=days) for days in (-1, 1))
    window = Window(start=int(since.timestamp() * 1_000), end=int(until.timestamp() * 1_000), step="1d")
    points = await usage.get_usage(UsageQuery(window=window, by=by))
    return {
        (point.name or "", datetime.fromtimestamp(point.start / 1_000, UTC).date().isoformat()): point.cost_usd
        for point in points
        if point.requests
    }
