"""How often each provider answers, refuses or fails, from every attempt of every chain."""

from __future__ import annotations

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import dimension_of
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.rollup_plan import plan_rollups
from chainlog_async.usage.time_window import Window

from .rolled_up import ROLLED_UP

# The only MAX, so the error is taken from the row with the largest time (https://sqlite.org/quirks.html). `:plan` comes
# from `plan_rollups`: rolled-up days, and buckets for the rest.
PROVIDER_HEALTH = """
WITH plan (width, since, until) AS MATERIALIZED (
  SELECT value ->> 1, value ->> 2, value ->> 3 FROM json_each(:plan)
)
SELECT
  provider_id, model, SUM(tries), SUM(successes), SUM(rate_limited), SUM(failures),
  last_error, last_error_status, MAX(last_error_at)
FROM (
  SELECT attempt_rollups.* FROM plan CROSS JOIN attempt_rollups WHERE width > 0 AND start >= since AND start < until
  UNION ALL
  SELECT attempt_buckets.* FROM plan CROSS JOIN attempt_buckets WHERE width = 0 AND start >= since AND start < until
)
GROUP BY provider_id, model
ORDER BY SUM(tries) DESC, provider_id, model
"""


class _Tries(msgspec.Struct, array_like=True):
    provider_id: str
    model: str
    attempts: int
    successes: int
    rate_limited: int
    failures: int
    last_error: str | None
    last_error_status: int | None
    last_error_at: int | None


async def provider_health(readers: ReaderPool, window: Window) -> list[ProviderHealth]:
    """Every provider and model with attempts in the window, most attempts first. The window's `step` is ignored."""
    edges = await run_in_thread(window.edges)
    whole = (edges[0], edges[-1])
    where = {"since": whole[0], "until": whole[1], "edges": "[]", "dimension": dimension_of(("provider", "model"))}
    rolled_up = await readers.fetch(ROLLED_UP, where)
    days = {(DAY_MS, int(str(start))) for width, start in rolled_up if width == DAY_MS}
    plan = msgspec.json.encode(plan_rollups(whole, days)).decode()
    rows = await readers.fetch(PROVIDER_HEALTH, {"plan": plan})
    return [
        ProviderHealth(
            **msgspec.structs.asdict(tries),
            cancelled=tries.attempts - tries.successes - tries.rate_limited - tries.failures,
            refusal_rate=tries.rate_limited / tries.attempts,
            failure_rate=tries.failures / tries.attempts,
        )
        for tries in (msgspec.convert(row, _Tries, strict=False) for row in rows)
    ]
