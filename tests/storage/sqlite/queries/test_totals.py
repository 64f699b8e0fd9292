"""The names to filter by, whatever is rolled up of the log that has them, and what it costs to find them."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from time import time

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async import ChainLog, Settings, UsageAggregator
from chainlog_async.common.clock import DAY_MS, HOUR_MS, QUARTER_MS
from chainlog_async.entry.json_input import entry_from_mapping
from chainlog_async.storage.sqlite.maintenance.rollup_job import ROLLUP_GRACE_MS
from chainlog_async.storage.sqlite.queries.totals import CALLER_NAMES, MODEL_NAMES
from chainlog_async.usage.totals import MAX_NAMES, Names
from tests.support.effort import tries
from tests.support.operator import T0, migrate
from tests.support.rolling_up import roll_up
from tests.support.schemas import instructions, query
from tests.support.traces import llmperf_entries, needs_llmperf

FIRST_DAY = T0 // DAY_MS * DAY_MS
INSERT = """
INSERT INTO request_logs (
  timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, http_status,
  attempts, caller
) VALUES (?, 'c', 'p', ?, 1, 1, 2, ?, 200, 1, ?)
"""
# Latencies fall into bins of their own: a few rows of one name in one quarter of an hour are as many buckets.
ROWS = st.lists(
    st.tuples(
        st.integers(0, 3 * DAY_MS // QUARTER_MS - 1),
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from([None, "x", "y", "z"]),
        st.integers(1, 150),
    ),
    min_size=1,
    max_size=4,
)
ACTIONS = st.lists(ROWS | st.integers(1, 4 * 24), min_size=1, max_size=6)
"""Rows (quarter of an hour, model, caller, how many of them), or a time in hours up to which is rolled up."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database."""
    path: Path = anyio.run(migrate, tmp_path_factory.mktemp("template") / "template.db")
    return path


async def names_of(path: Path) -> Names:
    """The names that the database gives."""
    async with UsageAggregator(path) as usage:
        return await usage.get_names()


def names_in_rows(path: Path) -> tuple[list[str], list[str]]:
    """The models and callers that stand in the rows."""
    models = query(path, "SELECT DISTINCT model FROM request_logs ORDER BY 1")
    callers = query(path, "SELECT DISTINCT caller FROM request_logs WHERE caller <> '' ORDER BY 1")
    return [str(name) for (name,) in models], [str(name) for (name,) in callers]


def store(path: Path, rows: Iterable[tuple[int, str, str | None, int]]) -> None:
    """Stores these rows."""
    values = [
        (FIRST_DAY + quarter * QUARTER_MS, model, 2**number, caller)
        for quarter, model, caller, count in rows
        for number in range(count % 40)
        for _ in range(-(-count // 40))
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(INSERT, values)


@given(actions=ACTIONS)
@settings(max_examples=tries(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_name_in_the_rows_is_in_names(
    template: Path, actions: list[int | list[tuple[int, str, str, int]]]
) -> None:
    """Whatever was rolled up, dropped as too little or invalidated by a late row: names are those of the rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(template, folder))
        for action in actions:
            if isinstance(action, int):
                now = FIRST_DAY + action * HOUR_MS + ROLLUP_GRACE_MS
                anyio.run(lambda at: roll_up(path, at, small_ones=False), now)
            else:
                store(path, action)
            names = anyio.run(names_of, path)
            assert (list(names.models), list(names.callers)) == names_in_rows(path)


async def log_and_roll_up(path: Path, entries: Iterable[dict[str, object]]) -> None:
    """Logs the entries and rolls up what is over."""
    async with ChainLog(Settings(db_path=path)) as chainlog:
        for one in entries:
            assert chainlog.log_request(entry_from_mapping(one))
        await chainlog.flush()
    await roll_up(path, int(time() * 1000), small_ones=False)
    assert query(path, f"SELECT COUNT(*) > 0 FROM rolled_up WHERE width = {HOUR_MS}") == [(1,)]


async def test_a_few_rows_of_some_hours_ago_have_their_names(tmp_path: Path) -> None:
    """Forty rows, three hours old, of four callers: all four are there, though so few rows are never rolled up."""
    path = tmp_path / "log.db"
    then = int(time() * 1000) - 3 * HOUR_MS
    fields = {"chain_name": "c", "provider_id": "p", "latency_ms": 5, "http_status": 200}
    await log_and_roll_up(
        path,
        [
            {**fields, "timestamp": then + number, "model": f"m{number % 3}", "caller": f"team-{number % 4}"}
            for number in range(40)
        ],
    )
    names = await names_of(path)
    assert names == Names(("c",), ("p",), ("m0", "m1", "m2"), tuple(f"team-{number}" for number in range(4)))


@needs_llmperf
async def test_a_real_trace_has_all_its_models(tmp_path: Path) -> None:
    """The leaderboard's 2,845 requests are of 19 models; some were asked too rarely for a rollup by model."""
    path = tmp_path / "log.db"
    entries = list(llmperf_entries())
    await log_and_roll_up(path, entries)
    names = await names_of(path)
    assert len(names.models) == 19
    assert list(names.models) == sorted({str(one["model"]) for one in entries})


def test_of_more_names_than_are_given_not_all_are_read(template: Path, tmp_path: Path) -> None:
    """Where every request has a caller of its own, 1,000 are given, and ten times as many cost no more."""
    costs = []
    for count in (2_000, 20_000):
        path = Path(shutil.copy(template, tmp_path / f"{count}.db"))
        store(path, [(number % 96, "m", f"caller {number:05}", 1) for number in range(count)])
        callers = anyio.run(names_of, path).callers
        assert len(callers) == len(set(callers)) == MAX_NAMES
        assert list(callers) == sorted(callers)
        costs.append(instructions(path, CALLER_NAMES, {"dimension": "caller", "limit": MAX_NAMES}))
    assert costs[1] < 1.1 * costs[0]


@pytest.mark.parametrize("sql", [MODEL_NAMES, CALLER_NAMES], ids=["models", "callers"])
def test_names_are_not_read_from_the_log(template: Path, sql: str) -> None:
    """No table that grows with the log is read from end to end, and the log itself not at all."""
    explained = f"EXPLAIN QUERY PLAN {sql}"
    with closing(sqlite3.connect(template)) as connection:
        plan = [str(step) for *_, step in connection.execute(explained, {"dimension": "model", "limit": 1})]
    read = {step for step in plan if any(table in step for table in ("rolled", "kept", "usage_buckets", "valid"))}
    assert read
    assert all(step.startswith("SEARCH") for step in read), plan
    assert not any("request_logs" in step for step in plan)
