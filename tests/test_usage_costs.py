"""What usage over time costs: buckets and rollups are reached by their keys, and the log plays no part."""

from __future__ import annotations

import asyncio
import json
import shutil
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


Pair = tuple[Path, Path]
"""A log, and a copy to which something was added that must cost nothing."""


@pytest.fixture(scope="module")
def ten_times(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A log, and one of ten times as many requests in the same buckets."""
    folder = tmp_path_factory.mktemp("ten-times")
    few = Path(shutil.copy(empty_database, folder / "few.db"))
    insert_details(few, 300, days=1)
    asyncio.run(roll_up(few))
    many = Path(shutil.copy(few, folder / "many.db"))
    copy_rows = (
        "INSERT INTO request_logs SELECT NULL, timestamp, chain_name, provider_id, model, prompt_tokens, "
        "completion_tokens, total_tokens, latency_ms, http_status, attempts, error_message, request_id, caller, "
        "ttft_ms, cost_usd, streamed, cached_tokens, metadata, attempt_trail FROM request_logs WHERE id <= 300"
    )
    change(many, *[copy_rows] * 9)
    asyncio.run(roll_up(many))
    return few, many


@pytest.fixture(scope="module")
def a_week(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The log of a day, and one of a week around that day."""
    folder = tmp_path_factory.mktemp("a-week")
    day = Path(shutil.copy(empty_database, folder / "day.db"))
    insert_details(day, 200, days=1)
    asyncio.run(roll_up(day))
    week = Path(shutil.copy(day, folder / "week.db"))
    for other in (-3, -2, -1, 1, 2, 3):
        insert_details(week, 200, seed=other, days=1, first=T0 + other * DAY_MS)
    asyncio.run(roll_up(week))
    return day, week


@pytest.mark.parametrize("name", QUERIES)
def test_a_question_costs_the_same_in_a_log_of_ten_times_the_rows(name: str, ten_times: Pair) -> None:
    """With ten times as many requests in the same buckets, SQLite takes as many instructions."""
    few, many = (instructions(path, *QUERIES[name]) for path in ten_times)
    assert few > 50
    assert many <= few * 1.02


@pytest.mark.parametrize("name", [name for name in QUERIES if not name.startswith("next")])
def test_a_question_costs_the_same_beside_other_days(name: str, a_week: Pair) -> None:
    """Days that are not asked for, before and after, cost nothing."""
    day, week = (instructions(path, *QUERIES[name]) for path in a_week)
    assert week <= day * 1.02
