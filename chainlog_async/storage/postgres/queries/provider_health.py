"""How often each provider answers, refuses or fails, from every attempt of every chain."""

from __future__ import annotations

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import DAY_MS
from chainlog_async.storage.postgres.reader_pool import ReaderPool
from chainlog_async.usage.dimensions import dimension_of
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.rollup_plan import plan_rollups
from chainlog_async.usage.time_window import Window

from .rolled_up import rolled_up_spans
from .unfolded import unfolded_bounds

# Rolled-up days, buckets for the rest, and what is not folded yet. Of two errors at one time the later one counts.
PROVIDER_HEALTH = """
WITH plan (width, since, until) AS MATERIALIZED (
  SELECT * FROM unnest(:widths::bigint[], :since::bigint[], :until::bigint[])
),
parts AS (
  SELECT parts.*
  FROM plan CROSS JOIN LATERAL (SELECT * FROM attempt_rollups WHERE start >= since AND start < until OFFSET 0) AS parts
  WHERE width > 0
  UNION ALL
  SELECT parts.*
  FROM plan CROSS JOIN LATERAL (SELECT * FROM attempt_buckets WHERE start >= since AND start < until OFFSET 0) AS parts
  WHERE width = 0
  UNION ALL
  SELECT * FROM unfolded_attempts_between(:first_ms, :last_ms) WHERE start >= :first AND start < :last
),
sums AS (
  SELECT
    provider_id, model, sum(tries) AS tries, sum(successes) AS successes, sum(rate_limited) AS rate_limited,
    sum(failures) AS failures
  FROM parts GROUP BY provider_id, model
),
last_errors AS (
  SELECT DISTINCT ON (provider_id, model) provider_id, model, last_error, last_error_status, last_error_at
  FROM parts WHERE last_error_at IS NOT NULL
  ORDER BY provider_id, model, last_error_at DESC, last_error_id DESC
)
SELECT
  provider_id, model, tries, successes, rate_limited, failures, last_error, last_error_status, last_error_at
FROM sums LEFT JOIN last_errors USING (provider_id, model)
ORDER BY tries DESC, provider_id COLLATE "C", model COLLATE "C"
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
    async with readers.snapshot() as snapshot:
        rolled_up = await rolled_up_spans(snapshot, whole, dimension_of(("provider", "model")))
        plan = plan_rollups(whole, {span for span in rolled_up if span[0] == DAY_MS})
        _, widths, since, until = zip(*plan, strict=True)
        rows = await snapshot.fetch(
            PROVIDER_HEALTH,
            {
                "widths": widths,
                "since": since,
                "until": until,
                "first": whole[0],
                "last": whole[1],
                **await unfolded_bounds(snapshot, *whole),
            },
        )
    return [
        ProviderHealth(
            **msgspec.structs.asdict(tries),
            cancelled=tries.attempts - tries.successes - tries.rate_limited - tries.failures,
            refusal_rate=tries.rate_limited / tries.attempts,
            failure_rate=tries.failures / tries.attempts,
        )
        for tries in msgspec.convert(rows, list[_Tries])
    ]
