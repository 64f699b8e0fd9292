"""Compares the stored buckets with the rows, and corrects them, a day at a time and inside SQLite.

A long log has millions of buckets, so Python holds none but the wrong ones. Buckets outlive their rows: those from the
time of the newest pruned row and before can only be compared as a whole, and only be left unchanged.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

import aiosqlite

from chainlog_async.common.clock import DAY_MS, END_OF_TIME, HOUR_MS, QUARTER_MS
from chainlog_async.common.progress import Progress
from chainlog_async.entry.model import TOKEN_CLASSES
from chainlog_async.usage.sums import USAGE_SUMS
from chainlog_async.usage.tags import OTHER_VALUES

from .differences import MAX_LISTED_DIFFERENCES, Difference, Findings, compare_lines, time_text
from .totals import compare, read_totals

START_OF_TIME = -(2**63)

_QUARTER = f"CAST(timestamp AS INTEGER) / {QUARTER_MS} * {QUARTER_MS}"
_HOUR = f"CAST(timestamp AS INTEGER) / {HOUR_MS} * {HOUR_MS}"
_BIN = "(SELECT upper_ms FROM duration_bins WHERE upper_ms >= ROUND({}) ORDER BY upper_ms LIMIT 1)"
_ROWS = "FROM request_logs WHERE timestamp >= :since AND timestamp < :until"

_CLASSES = ", ".join(f"SUM(COALESCE({name}, 0)) AS {name}" for name in TOKEN_CLASSES)
_UNANSWERED_COST = """CASE WHEN attempt_trail IS NULL THEN 0 ELSE (
    SELECT COALESCE(SUM(CAST(ROUND(MIN((value ->> 'cost_usd') * 1e9, 1e18)) AS INTEGER)), 0)
    FROM json_each(attempt_trail)
    WHERE COALESCE(value ->> 'http_status', 599) >= 400 OR value ->> 'error_message' IS NOT NULL
  ) END"""

_SUMS = f"""
  COUNT(*) AS requests, SUM(outcome = 'failed') AS errors, SUM(outcome = 'cancelled') AS cancelled,
  SUM(http_status = 429) AS rate_limited,
  SUM(attempts > 1) AS waterfalls, SUM(prompt_tokens) AS prompt_tokens, SUM(completion_tokens) AS completion_tokens,
  {_CLASSES}, SUM(total_tokens) AS total_tokens,
  COALESCE(SUM(cost_nano), 0) AS cost_nano, SUM({_UNANSWERED_COST}) AS unanswered_cost_nano,
  SUM(IIF(outcome = 'answered', latency_ms, 0)) AS latency_ms,
  SUM(IIF(outcome = 'answered', COALESCE(ttft_ms, 0), 0)) AS ttft_ms,
  SUM(outcome = 'answered' AND ttft_ms IS NOT NULL) AS ttft_requests
"""  # put together from constants of this file

# What the triggers of migrations 0010, 0011 and 0015 compute from the same rows.
_COUNTED_USAGE = f"""
SELECT
  {_QUARTER} AS start, chain_name, provider_id, model, COALESCE(caller, '') AS caller,
  {_BIN.format("latency_ms")} AS upper_ms, {_SUMS}
{_ROWS}
GROUP BY 1, 2, 3, 4, 5, 6
"""  # put together from constants of this file
# As the view `counted_tags`, of the rows of some time. A tag that a row has twice counts once.
_COUNTED_TAGS = f"""
SELECT
  {_HOUR} AS start, tag_key, tag_value, chain_name, provider_id, model, COALESCE(caller, '') AS caller, {_SUMS}
FROM (
  SELECT DISTINCT
    given.id AS id, tag_key, IIF(EXISTS (
      SELECT 1 FROM tag_values AS known WHERE known.tag_key = given_key AND known.tag_value = given_value
    ), given_value, '{OTHER_VALUES}') AS tag_value
  FROM (
    SELECT
      request_logs.id AS id, SUBSTR(value, 1, INSTR(value, ':') - 1) AS given_key,
      SUBSTR(value, INSTR(value, ':') + 1) AS given_value
    FROM request_logs CROSS JOIN json_each(tags) WHERE timestamp >= :since AND timestamp < :until AND tags IS NOT NULL
  ) AS given CROSS JOIN tag_keys ON tag_key = given_key
) AS tagged CROSS JOIN request_logs ON request_logs.id = tagged.id
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""  # noqa: S608  # put together from constants of this file
_COUNTED_TTFT = f"""
SELECT
  {_QUARTER} AS start, chain_name, provider_id, model, COALESCE(caller, '') AS caller,
  {_BIN.format("ttft_ms")} AS upper_ms, COUNT(*) AS requests, SUM(outcome <> 'answered') AS failed
{_ROWS} AND ttft_ms IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6
"""  # put together from constants of this file
# With a single MAX, bare columns come from its row, so the error is that of the last failed attempt
# (https://sqlite.org/quirks.html).
_COUNTED_ATTEMPTS = f"""
SELECT
  start, provider_id, model, COUNT(*) AS tries, SUM(status < 400) AS successes, SUM(status = 429) AS rate_limited,
  SUM(status >= 400 AND status NOT IN (429, 499)) AS failures,
  last_error, last_error_status, last_error_at, MAX(place)
FROM (
  SELECT
    *, IIF(is_error, SUBSTR(message, 1, 500), NULL) AS last_error, IIF(is_error, told, NULL) AS last_error_status,
    IIF(is_error, timestamp, NULL) AS last_error_at,
    IIF(is_error, ROW_NUMBER() OVER (ORDER BY timestamp, id, try), NULL) AS place
  FROM (SELECT *, status >= 400 AND status <> 499 AS is_error FROM (
    SELECT
      {_QUARTER} AS start, timestamp, id, 0 AS try, provider_id, model,
      http_status AS status, http_status AS told,
      error_message AS message
    {_ROWS} AND attempt_trail IS NULL AND attempts > 0
    UNION ALL
    SELECT
      {_QUARTER}, timestamp, request_logs.id, key, value ->> 'provider_id', value ->> 'model',
      IIF(value ->> 'http_status' >= 400 OR value ->> 'error_message' IS NULL,
        COALESCE(value ->> 'http_status', 599), 599),
      value ->> 'http_status', value ->> 'error_message'
    FROM request_logs, json_each(attempt_trail)
    WHERE timestamp >= :since AND timestamp < :until AND attempt_trail IS NOT NULL
  ))
)
GROUP BY start, provider_id, model
"""  # noqa: S608  # put together from constants of this file

_NAMES = ("start", "chain_name", "provider_id", "model", "caller", "upper_ms")


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A half-open span of time, in ms since the epoch, UTC."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class BucketTable:
    """A table that holds one row per span of time and key."""

    name: str
    keys: tuple[str, ...]
    """Its primary key, `start` first."""
    numbers: tuple[str, ...]
    """Columns that are compared."""
    counted: str
    """Query for keys and numbers computed from the rows between `:since` and `:until`."""
    width: int = QUARTER_MS
    """How long a bucket is, in ms."""
    texts: tuple[str, ...] = ()
    """Columns that are corrected but not compared: of two errors in the same ms either may be the last."""

    @property
    def differing(self) -> str:
        """Query for at most `:limit` wrong rows: keys, stored numbers, computed numbers, how many numbers differ.

        The last column is the number of wrong numbers in all rows.
        """
        keys = ", ".join(self.keys)
        pairs = [(f"kept_{number}", f"counted_{number}") for number in self.numbers]
        return f"""
            SELECT *, SUM(wrong) OVER () FROM (
              SELECT *, {" + ".join(_differ(*pair) for pair in pairs)} AS wrong FROM (
                SELECT {keys}, {", ".join(f"SUM({kept}) AS {kept}" for kept, _ in pairs)},
                  {", ".join(f"SUM({counted}) AS {counted}" for _, counted in pairs)}
                FROM (
                  SELECT {keys}, {", ".join(f"{number} AS kept_{number}" for number in self.numbers)},
                    {", ".join(f"NULL AS {counted}" for _, counted in pairs)}
                  FROM {self.name} WHERE start >= :since AND start < :until
                  UNION ALL
                  SELECT {keys}, {", ".join("NULL" for _ in pairs)}, {", ".join(self.numbers)} FROM ({self.counted})
                ) GROUP BY {keys}
              )
            ) WHERE wrong > 0 LIMIT :limit
        """  # noqa: S608  # put together from constants of this file

    def whole(self, span: TimeSpan) -> dict[str, int]:
        """The parameters of a span, from its first whole bucket on: rows of an earlier one may have been pruned."""
        since = span.since if span.since == START_OF_TIME else -(-span.since // self.width) * self.width
        return {"since": since, "until": span.until}

    @property
    def clear(self) -> str:
        """Statement that deletes the buckets from `:since` to `:until`."""
        return f"DELETE FROM {self.name} WHERE start >= :since AND start < :until"  # noqa: S608  # put together from constants of this file

    @property
    def fill(self) -> str:
        """Statement that inserts the buckets computed from the rows."""
        columns = ", ".join((*self.keys, *self.numbers, *self.texts))
        return f"INSERT INTO {self.name} ({columns}) SELECT {columns} FROM ({self.counted})"  # noqa: S608  # put together from constants of this file


def _differ(kept: str, counted: str) -> str:
    # A missing row counts as zeros. 429chain stores fractions of a ms, whose sums depend a little on their order.
    return f"""
      IIF(TYPEOF({kept}) = 'real' OR TYPEOF({counted}) = 'real',
        ABS(COALESCE({kept}, 0) - COALESCE({counted}, 0)) > 1e-6 + 1e-9 * ABS(COALESCE({counted}, 0)),
        COALESCE({kept}, 0) <> COALESCE({counted}, 0))
    """


BUCKETS = (
    BucketTable(
        "usage_buckets",
        _NAMES,
        USAGE_SUMS,
        _COUNTED_USAGE,
    ),
    BucketTable(
        "tag_buckets",
        ("start", "tag_key", "tag_value", "chain_name", "provider_id", "model", "caller"),
        USAGE_SUMS,
        _COUNTED_TAGS,
        width=HOUR_MS,
    ),
    BucketTable("ttft_buckets", _NAMES, ("requests", "failed"), _COUNTED_TTFT),
    BucketTable(
        "attempt_buckets",
        ("start", "provider_id", "model"),
        ("tries", "successes", "rate_limited", "failures", "last_error_at"),
        _COUNTED_ATTEMPTS,
        texts=("last_error", "last_error_status"),
    ),
)

# Rows pruned before buckets existed were never in them.
NEWEST_PRUNED = """
SELECT MAX(pruned.last_request_timestamp)
FROM pruned_by_provider AS pruned LEFT JOIN pruned_before_buckets AS earlier USING (provider_id)
WHERE pruned.total_requests > COALESCE(earlier.total_requests, 0)
"""
# SQLite sorts text after every number, so :end excludes timestamps that are text.
NEXT_TIME = """
SELECT CAST(MIN(time) AS INTEGER) FROM (
  SELECT MIN(timestamp) AS time FROM request_logs WHERE timestamp >= :since AND timestamp < :end
  UNION ALL
  SELECT MIN(start) FROM usage_buckets WHERE start >= :since
  UNION ALL
  SELECT MIN(start) FROM ttft_buckets WHERE start >= :since
  UNION ALL
  SELECT MIN(start) FROM tag_buckets WHERE start >= :since
  UNION ALL
  SELECT MIN(start) FROM attempt_buckets WHERE start >= :since
)
"""
LAST_TIME = """
SELECT MAX(
  COALESCE((SELECT MAX(timestamp) FROM request_logs WHERE timestamp < :end), 0),
  COALESCE((SELECT MAX(start) FROM usage_buckets), 0)
)
"""
_OLDER_COLUMNS = ("requests", "total_tokens", "prompt_tokens", "completion_tokens", "cost_nano")
_KEPT_OLDER = """
SELECT provider_id, SUM(requests), SUM(total_tokens), SUM(prompt_tokens), SUM(completion_tokens), SUM(cost_nano)
FROM usage_buckets WHERE start < :since GROUP BY provider_id
"""
_COUNTED_OLDER = """
SELECT provider_id, SUM(requests), SUM(tokens), SUM(prompts), SUM(completions), SUM(cost) FROM (
  SELECT
    provider_id, COUNT(*) AS requests, SUM(total_tokens) AS tokens, SUM(prompt_tokens) AS prompts,
    SUM(completion_tokens) AS completions, COALESCE(SUM(cost_nano), 0) AS cost
  FROM request_logs WHERE timestamp < :since GROUP BY +provider_id
  UNION ALL
  SELECT provider_id, total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, total_cost_nano
  FROM pruned_by_provider
  UNION ALL
  SELECT provider_id, -total_requests, -total_tokens, -total_prompt_tokens, -total_completion_tokens, 0
  FROM pruned_before_buckets
)
GROUP BY provider_id HAVING SUM(requests) <> 0
"""


async def first_whole_bucket(connection: aiosqlite.Connection) -> int:
    """Returns the start of the first bucket from which no row was pruned, in ms since the epoch.

    Raises `sqlite3.Error`.
    """
    ((newest,),) = await connection.execute_fetchall(NEWEST_PRUNED)
    return START_OF_TIME if newest is None else (int(newest) // QUARTER_MS + 1) * QUARTER_MS


async def days_since(connection: aiosqlite.Connection, since: int, on_progress: Progress) -> AsyncGenerator[TimeSpan]:
    """Yields the days (UTC) with rows or buckets from `since` on; the first may not start at midnight.

    Raises `sqlite3.Error`.
    """
    ((last,),) = await connection.execute_fetchall(LAST_TIME, {"end": END_OF_TIME})
    first: int | None = None
    while True:
        ((time,),) = await connection.execute_fetchall(NEXT_TIME, {"since": since, "end": END_OF_TIME})
        if time is None:
            return
        first = time if first is None else first
        on_progress("comparing buckets, days", (time - first) // DAY_MS, max(int(last) - first, 0) // DAY_MS + 1)
        until = (time // DAY_MS + 1) * DAY_MS
        yield TimeSpan(since, until)
        since = until


async def compare_buckets(
    connection: aiosqlite.Connection, table: BucketTable, span: TimeSpan, findings: Findings
) -> int:
    """Adds the wrong numbers in the span to the findings, and returns how many there are. Raises `sqlite3.Error`."""
    parameters = {**table.whole(span), "limit": MAX_LISTED_DIFFERENCES}
    rows = [tuple(row) for row in await connection.execute_fetchall(table.differing, parameters)]
    count = int(rows[0][-1]) if rows else 0
    findings.add((difference for row in rows for difference in _differences(table, row)), count)
    return count


async def compare_older(connection: aiosqlite.Connection, since: int) -> Iterator[Difference]:
    """Returns the wrong sums, by provider, of the buckets before `since`, whose rows were pruned.

    Raises `sqlite3.Error`.
    """
    kept = await read_totals(connection, _KEPT_OLDER, {"since": since})
    counted = await read_totals(connection, _COUNTED_OLDER, {"since": since})
    before = f"before {time_text(since)}, provider "
    return compare(
        "usage_buckets",
        _OLDER_COLUMNS,
        {f"{before}{name}": sums for name, sums in kept.items()},
        {f"{before}{name}": sums for name, sums in counted.items()},
    )


def _differences(table: BucketTable, row: Sequence[object]) -> Iterator[Difference]:
    keys = dict(zip(table.keys, row, strict=False))
    return compare_lines(table.name, _name_of(keys), table.numbers, row[len(table.keys) : -2])


def _name_of(keys: dict[str, object]) -> str:
    parts = [time_text(int(str(keys["start"])))]
    names = (("chain", "chain_name"), ("provider", "provider_id"), ("model", "model"), ("caller", "caller"))
    if "tag_key" in keys:
        parts.append(f"tag {keys['tag_key']}:{keys['tag_value']}")
    parts += [f"{what} {keys[key]}" for what, key in names if keys.get(key)]
    if "upper_ms" in keys:
        parts.append(f"up to {keys['upper_ms']} ms")
    return ", ".join(parts)
