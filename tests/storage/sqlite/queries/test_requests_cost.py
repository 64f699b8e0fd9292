"""What finding requests costs: the index that each filter leads to, and no more with more rows or pages."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async import RequestFilter
from chainlog_async.requests.paging import filter_parameters
from chainlog_async.storage.sqlite.queries import requests_sql as queries
from chainlog_async.storage.sqlite.queries.requests_sql import QUERIES, query_for
from tests.support.entries import insert_as_original, original_row

LEADS_TO = {
    "idx_logs_request_id": (RequestFilter(request_id="r", caller="c", status="429"), "request_id=?"),
    "idx_logs_errors": (RequestFilter(status="429", min_latency_ms=5), "timestamp"),
    "idx_logs_session": (RequestFilter(session_id="s", status="2xx"), "session_id=?"),
    "idx_logs_timestamp": (RequestFilter(status="2xx", error_text="x"), "timestamp"),
}


def parameters(where: RequestFilter, **more: object) -> dict[str, object]:
    """What a page is asked for with."""
    return filter_parameters(where) | {"timestamp": 10**15, "id": 0, "budget": 51, "limit": 51} | more


def test_every_query_is_watched() -> None:
    """A way to the rows that is added is added to these tests."""
    assert set(QUERIES) == set(LEADS_TO)


@pytest.mark.parametrize("index", QUERIES)
def test_a_filter_leads_to_its_index(index: str, database: Path) -> None:
    """Both steps to the rows search the index, newest first without sorting, and each row is then read by its id."""
    where, search = LEADS_TO[index]
    sql = query_for(where)
    assert sql is QUERIES[index].sql
    with closing(sqlite3.connect(database)) as connection:
        plan = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters(where))]
    steps = [step for step in plan if "request_logs" in step or "logged" in step]
    assert [f"INDEX {index} ({search}" in step for step in steps] == [True, True, False]
    assert steps[2] == "SEARCH logged USING INTEGER PRIMARY KEY (rowid=?)"
    assert re.search(r"rowid<\?", steps[0])
    # The one sort is of what was looked at.
    assert len([step for step in plan if "TEMP B-TREE" in step]) == 1


def test_ids_of_the_gateway_are_completed_by_their_index(database: Path) -> None:
    """A beginning leads to the ids that have it, which the index has in order: no row is read, and nothing sorted."""
    with closing(sqlite3.connect(database)) as connection:
        plan = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {queries.REQUEST_IDS}", ("r", 11))]
    search = "SEARCH request_logs USING COVERING INDEX idx_logs_request_id (request_id>? AND request_id<?)"
    assert plan == [search]


def test_sessions_are_found_by_their_indexes(database: Path) -> None:
    """The newest request of each, in the order of one index, and whether there is a later one, by another."""
    with closing(sqlite3.connect(database)) as connection:
        asked = parameters(RequestFilter())
        plan = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {queries.NEWEST_OF_SESSIONS}", asked)]
    assert not [step for step in plan if step.startswith("SCAN request_logs")]
    assert [step for step in plan if "INDEX idx_logs_sessions (" in step]
    assert [step for step in plan if step.startswith("SEARCH later USING INDEX idx_logs_session (session_id=?")]


@pytest.mark.parametrize("index", QUERIES)
def test_no_query_counts_or_skips(index: str) -> None:
    """No page is reached by OFFSET, and nothing is counted."""
    assert not re.search(r"offset|count\s*\(", QUERIES[index].sql, re.IGNORECASE)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("BY_ID", "SEARCH request_logs USING INTEGER PRIMARY KEY (rowid=?)"),
        ("AFTER_ID", "SEARCH request_logs USING INTEGER PRIMARY KEY (rowid>?)"),
        ("NEWEST_ID", "SCAN request_logs"),
        ("OLDEST_TIMESTAMP", "SCAN request_logs USING COVERING INDEX idx_logs_timestamp"),
    ],
)
def test_the_ends_are_reached_directly(name: str, step: str, database: Path) -> None:
    """One row, the rows after one, and both ends of the log take one step into the table or an index."""
    sql: str = getattr(queries, name)
    with closing(sqlite3.connect(database)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?")).fetchall()
    assert [row[3] for row in plan] == [step]


def instructions(path: Path, where: RequestFilter, **more: object) -> int:
    """How many instructions SQLite takes for a page."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with closing(sqlite3.connect(path)) as connection:
        connection.set_progress_handler(count, 1)
        assert connection.execute(query_for(where), parameters(where, **more)).fetchall()
    return taken


@pytest.mark.parametrize(
    "where",
    [RequestFilter(), RequestFilter(chain="default"), RequestFilter(status="errors"), RequestFilter(error_text="no")],
)
def test_a_page_costs_the_same_wherever_it_is(where: RequestFilter, database: Path) -> None:
    """The last page of ten thousand rows takes as many instructions as the first page of a thousand."""
    rows = [original_row(timestamp=number, http_status=500) for number in range(1000)]
    insert_as_original(database, rows)
    few = instructions(database, where)
    insert_as_original(database, [original_row(timestamp=number, http_status=500) for number in range(1000, 10_000)])
    assert instructions(database, where) <= few * 1.02
    assert instructions(database, where, timestamp=60, id=61) <= few * 1.02


def test_a_page_within_one_millisecond_costs_the_same(database: Path) -> None:
    """Where thousands of rows have one timestamp, a page in their midst looks at no more rows than any other."""
    insert_as_original(database, [original_row(timestamp=number) for number in range(100)])
    where = RequestFilter(chain="default")
    few = instructions(database, where)
    insert_as_original(database, [original_row(timestamp=500) for _ in range(5_000)])
    assert instructions(database, where, timestamp=500, id=2_500) <= few * 1.02
    assert instructions(database, RequestFilter(), timestamp=500, id=2_500) <= few * 1.1
