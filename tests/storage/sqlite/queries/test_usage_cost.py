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

from chainlog_async.requests.model import COLUMNS
from chainlog_async.storage.sqlite.maintenance.rollup_job import NEXT_QUARTER, NEXT_SPAN, ROLLUP_GRACE_MS
from chainlog_async.storage.sqlite.queries.provider_health import PROVIDER_HEALTH
from chainlog_async.storage.sqlite.queries.rolled_up import ROLLED_UP
from chainlog_async.storage.sqlite.queries.usage_sql import usage_queries
from tests.support import rolling_up
from tests.support.buckets import T0, insert_details
from tests.support.operator import change
from tests.support.schemas import instructions

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

HOURS = [(0, HOUR_MS, start, start + HOUR_MS, False) for start in range(T0 + HOUR_MS, T0 + DAY_MS, HOUR_MS)]
QUARTERS = [(0, 900_000, start, start + 900_000, False) for start in range(T0, T0 + HOUR_MS, 900_000)]
PIECES = {
    "buckets": [(0, 0, T0, T0 + DAY_MS, False)],
    "buckets by quarter": [(0, 0, start, start + 900_000, False) for start in range(T0, T0 + DAY_MS, 900_000)],
    "rollups": QUARTERS + HOURS,
}
BY_PROVIDER = usage_queries("provider", frozenset())
CALLERS_OF_A_MODEL = usage_queries("caller", frozenset({"model"}))
MODELS_OF_A_CALLER = usage_queries("model", frozenset({"caller"}))
CHAINS_OF_A_CALLER_AND_MODEL = usage_queries("chain", frozenset({"caller", "model"}))


def asked(
    dimension: str, groups: list[str], source: str, *, provider: str = "", model: str = "", caller: str = ""
) -> dict[str, object]:
    """The parameters of a question."""
    names = {"chain": "", "provider": provider, "model": model, "caller": caller}
    return {
        **names,
        **{f"rolled_{name}": value for name, value in names.items()},
        "dimension": dimension,
        "groups": json.dumps(groups),
        "limit": 20,
        "plan": json.dumps(PIECES[source]),
        "combinations": json.dumps([["c0", "p0", "m0", "team"], ["c0", "p1", "m0", "team"]]),
    }


def of_providers(source: str) -> dict[str, object]:
    """The parameters for each provider's usage."""
    return asked("provider", ["p0", "p1"], source)


def of_chains(source: str) -> dict[str, object]:
    """The parameters for what a caller used of a model by way of each chain."""
    return asked("each", ["c0"], source, model="m0", caller="team")


UPKEEP = {
    "after": 0,
    "until": T0 + 10 * DAY_MS,
    "abandoned": 0,
    "width": 4 * HOUR_MS,
    "part_width": HOUR_MS,
}

Parameters = Mapping[str, object] | tuple[object, ...]
QUERIES: dict[str, tuple[str, Parameters]] = {
    "largest groups of buckets": (BY_PROVIDER.largest_groups, of_providers("buckets")),
    "largest groups of rollups": (BY_PROVIDER.largest_groups, of_providers("rollups")),
    "usage of buckets": (BY_PROVIDER.usage, of_providers("buckets")),
    "usage of rollups": (BY_PROVIDER.usage, of_providers("rollups")),
    "durations of buckets": (BY_PROVIDER.bucket_durations, of_providers("buckets")),
    "durations of rollups": (BY_PROVIDER.rolled_up_durations, of_providers("rollups")),
    "combinations of buckets": (str(CHAINS_OF_A_CALLER_AND_MODEL.combinations), of_chains("buckets")),
    "combinations of rollups": (str(CHAINS_OF_A_CALLER_AND_MODEL.combinations), of_chains("rollups")),
    "usage by chain of buckets": (CHAINS_OF_A_CALLER_AND_MODEL.usage, of_chains("buckets by quarter")),
    "usage by chain of rollups": (CHAINS_OF_A_CALLER_AND_MODEL.usage, of_chains("rollups")),
    "rolled up": (ROLLED_UP, {"since": T0, "until": T0 + DAY_MS, "edges": "[]", "dimension": "provider"}),
    "provider health of buckets": (PROVIDER_HEALTH, {"plan": json.dumps([(0, 0, T0, T0 + DAY_MS)])}),
    "provider health of days": (PROVIDER_HEALTH, {"plan": json.dumps([(0, DAY_MS, T0, T0 + DAY_MS)])}),
    "next quarter": (NEXT_QUARTER, UPKEEP),
    "next span": (NEXT_SPAN, UPKEEP),
}
TABLES = (
    "request_logs", "usage_buckets", "ttft_buckets", "attempt_buckets", "usage_rollups", "duration_rollups",
    "attempt_rollups",
)  # fmt: skip


async def roll_up(path: Path) -> None:
    """All there is, as if it were ten days later."""
    await rolling_up.roll_up(path, T0 + 10 * DAY_MS + ROLLUP_GRACE_MS)


def steps_of(path: Path, sql: str, parameters: Parameters) -> list[str]:
    """What SQLite would do, but for what it does with its own intermediate results."""
    with closing(sqlite3.connect(path)) as connection:
        plan = [str(step) for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    aliases = {"span", "rolled_up", *TABLES}
    return [step for step in plan if step.split()[0] in ("SCAN", "SEARCH") and step.split()[1] in aliases]


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
    columns = ", ".join(name for name in COLUMNS if name != "id")
    copy_rows = f"INSERT INTO request_logs ({columns}) SELECT {columns} FROM request_logs WHERE id <= 300"
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


OTHER_MODELS = "chain_name, provider_id, 'other {number}', caller"
OTHER_CALLERS = "chain_name, provider_id, model, 'other {number}'"


@pytest.fixture(scope="module")
def beside_others(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """A log, and copies with ten times as many requests, but of others."""
    folder = tmp_path_factory.mktemp("others")
    few = Path(shutil.copy(empty_database, folder / "few.db"))
    insert_details(few, 200, days=1)
    asyncio.run(roll_up(few))
    pairs = {}
    for number, others in enumerate((OTHER_MODELS, OTHER_CALLERS)):
        many = Path(shutil.copy(few, folder / f"many-{number}.db"))
        copies = [
            "INSERT INTO request_logs (timestamp, chain_name, provider_id, model, caller, prompt_tokens, "
            "completion_tokens, total_tokens, latency_ms, http_status, attempts, ttft_ms) "
            f"SELECT timestamp, {others.format(number=number)}, 1, 1, 2, 3, 200, 1, ttft_ms "
            "FROM request_logs WHERE id <= 200"
            for number in range(9)
        ]
        change(many, *copies)
        asyncio.run(roll_up(many))
        pairs[others] = few, many
    return pairs


def check_costs_nothing_more(sql: str, parameters: Parameters, pair: Pair) -> None:
    """As many instructions in both."""
    few, many = (instructions(path, sql, parameters) for path in pair)
    assert few > 500
    assert many <= few * 1.02


@pytest.mark.parametrize("name", ["usage", "rates", "rolled_up_durations"])
def test_callers_of_a_model_cost_the_same_beside_other_models(name: str, beside_others: dict[str, Pair]) -> None:
    """What is rolled up of other models is not looked at."""
    parameters = asked("model+caller", ["", "team"], "rollups", model="m0")
    check_costs_nothing_more(getattr(CALLERS_OF_A_MODEL, name), parameters, beside_others[OTHER_MODELS])


@pytest.mark.parametrize("name", ["largest_groups", "usage", "rates", "rolled_up_durations"])
def test_models_of_a_caller_cost_the_same_beside_other_callers(name: str, beside_others: dict[str, Pair]) -> None:
    """Though the model comes before the caller in the key."""
    parameters = asked("model+caller", ["m0"], "rollups", caller="team")
    parameters["combinations"] = json.dumps([["", "", "m0", "team"], ["", "", "m1", "team"]])
    check_costs_nothing_more(getattr(MODELS_OF_A_CALLER, name), parameters, beside_others[OTHER_CALLERS])


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *(
            (name, source)
            for name in ("largest_groups", "usage", "rates")
            for source in ("buckets by quarter", "rollups")
        ),
        ("bucket_durations", "buckets by quarter"),
        ("rolled_up_durations", "rollups"),
    ],
)
def test_three_names_cost_the_same_beside_other_models(name: str, source: str, beside_others: dict[str, Pair]) -> None:
    """Not even where the names that are not known come first in the key."""
    sql = getattr(CHAINS_OF_A_CALLER_AND_MODEL, name)
    check_costs_nothing_more(sql, of_chains(source), beside_others[OTHER_MODELS])
