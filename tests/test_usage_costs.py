"""What usage over time costs: buckets and rollups are reached by their keys, and the log plays no part."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import rolling_up
from bucket_tools import T0, insert_details
from upkeep_tools import change

from chainlog_async.pieces import ROLLED_UP
from chainlog_async.provider_health import PROVIDER_HEALTH
from chainlog_async.rollups import GRACE_MS, NEXT_QUARTER, NEXT_SPAN
from chainlog_async.usage_queries import BUCKET_DURATIONS, LARGEST_GROUPS, ROLLED_UP_DURATIONS, USAGE

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

QUESTION: dict[str, object] = {
    "by": "provider",
    "chain": None,
    "provider": None,
    "model": None,
    "caller": None,
    "dimension": "provider",
    "limit": 20,
    "groups": json.dumps(["p0", "p1"]),
}
PIECES = {
    "buckets": [(0, 0, T0, T0 + DAY_MS, False)],
    "rollups": [(0, 900_000, T0, T0 + HOUR_MS, False), (0, HOUR_MS, T0 + HOUR_MS, T0 + DAY_MS, False)],
}
UPKEEP = {
    "after": 0,
    "until": T0 + 10 * DAY_MS,
    "abandoned": 0,
    "width": 21_600_000,
    "part_width": HOUR_MS,
}

Parameters = Mapping[str, object] | tuple[object, ...]
QUERIES: dict[str, tuple[str, Parameters]] = {
    **{
        f"{name} of {source}": (sql, {**QUESTION, "pieces": json.dumps(pieces)})
        for name, sql in (("largest groups", LARGEST_GROUPS), ("usage", USAGE))
        for source, pieces in PIECES.items()
    },
    "durations of buckets": (BUCKET_DURATIONS, {**QUESTION, "pieces": json.dumps(PIECES["buckets"])}),
    "durations of rollups": (ROLLED_UP_DURATIONS, {**QUESTION, "pieces": json.dumps(PIECES["rollups"])}),
    "rolled up": (ROLLED_UP, {"since": T0, "until": T0 + DAY_MS, "edges": "[]", "dimension": "provider"}),
    "provider health of buckets": (PROVIDER_HEALTH, {"pieces": json.dumps([(0, 0, T0, T0 + DAY_MS)])}),
    "provider health of days": (PROVIDER_HEALTH, {"pieces": json.dumps([(0, DAY_MS, T0, T0 + DAY_MS)])}),
    "next quarter": (NEXT_QUARTER, UPKEEP),
    "next span": (NEXT_SPAN, UPKEEP),
}
TABLES = (
    "request_logs", "usage_buckets", "ttft_buckets", "attempt_buckets", "usage_rollups", "duration_rollups",
    "attempt_rollups",
)  # fmt: skip


async def roll_up(path: Path) -> None:
    """All there is, as if it were ten days later."""
    await rolling_up.roll_up(path, T0 + 10 * DAY_MS + GRACE_MS)


def steps_of(path: Path, sql: str, parameters: Parameters) -> list[str]:
    """What SQLite would do, but for what it does with its own intermediate results."""
    with closing(sqlite3.connect(path)) as connection:
        plan = [str(step) for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    aliases = {"rolled", "span", "rolled_up", *TABLES}
    return [step for step in plan if step.split()[0] in ("SCAN", "SEARCH") and step.split()[1] in aliases]


def instructions(path: Path, sql: str, parameters: Parameters) -> int:
    """How many instructions SQLite takes for the answer."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with closing(sqlite3.connect(path)) as connection:
        connection.set_progress_handler(count, 1)
        connection.execute(sql, parameters).fetchall()
    return taken


@pytest.mark.parametrize("name", QUERIES)
def test_buckets_and_rollups_are_searched_by_their_primary_keys(name: str, database: Path) -> None:
    """No question looks at the log, and none reads a table of buckets or rollups from end to end."""
    steps = steps_of(database, *QUERIES[name])
    assert steps
    for step in steps:
        kind, table, *how = step.split()
        assert table != "request_logs"
        assert (kind, how[:3]) == ("SEARCH", ["USING", "PRIMARY", "KEY"])
        assert "start" in step


@pytest.mark.parametrize("name", QUERIES)
async def test_a_question_costs_the_same_in_a_log_of_ten_times_the_rows(name: str, database: Path) -> None:
    """With ten times as many requests in the same buckets, SQLite takes as many instructions."""
    insert_details(database, 300, days=1)
    copy_rows = (
        "INSERT INTO request_logs SELECT NULL, timestamp, chain_name, provider_id, model, prompt_tokens, "
        "completion_tokens, total_tokens, latency_ms, http_status, attempts, error_message, request_id, caller, "
        "ttft_ms, cost_usd, streamed, cached_tokens, metadata, attempt_trail FROM request_logs WHERE id <= 300"
    )
    await roll_up(database)
    few = instructions(database, *QUERIES[name])
    change(database, *[copy_rows] * 9)
    await roll_up(database)
    assert few > 50
    assert instructions(database, *QUERIES[name]) <= few * 1.02


@pytest.mark.parametrize("name", [name for name in QUERIES if not name.startswith("next")])
async def test_a_question_costs_the_same_beside_other_days(name: str, database: Path) -> None:
    """Days that are not asked for, before and after, cost nothing."""
    insert_details(database, 200, days=1)
    await roll_up(database)
    few = instructions(database, *QUERIES[name])
    for day in (-3, -2, -1, 1, 2, 3):
        insert_details(database, 200, seed=day, days=1, first=T0 + day * DAY_MS)
    await roll_up(database)
    assert instructions(database, *QUERIES[name]) <= few * 1.02
