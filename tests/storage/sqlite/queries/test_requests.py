"""What is promised about finding requests: the right ones, once each, in order, whatever is added meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async import LoggedAttempt, RequestFilter, RequestLogRow, UsageAggregator
from chainlog_async.requests.filter import matches
from chainlog_async.requests.model import COLUMNS
from chainlog_async.storage.sqlite.queries import requests as requests_module
from chainlog_async.storage.sqlite.reader_pool import ReaderPool
from tests.support.effort import tries

Row = dict[str, object]

_ROW: Row = {
    "timestamp": 1_772_400_000_000,
    "chain_name": "default",
    "provider_id": "groq",
    "model": "llama",
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "latency_ms": 250,
    "http_status": 200,
    "attempts": 1,
}


def insert(path: Path, rows: Sequence[Row]) -> None:
    """Stores rows as any program may."""
    if not rows:
        return
    with closing(sqlite3.connect(path)) as connection, connection:
        for row in rows:
            values = _ROW | row
            connection.execute(
                f"INSERT INTO request_logs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
                list(values.values()),
            )


def stored(path: Path) -> list[Row]:
    """Every row as it is stored."""
    with closing(sqlite3.connect(path)) as connection:
        return [
            dict(zip(COLUMNS, values, strict=True))
            for values in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM request_logs")
        ]


def expected(rows: Sequence[Row], where: RequestFilter) -> list[int]:
    """The ids of the rows that a filter means, newest first, said without SQL."""
    newest_first = sorted(rows, key=lambda row: (row["timestamp"], row["id"]), reverse=True)
    return [row["id"] for row in newest_first if is_meant(row, where)]  # type: ignore[misc]  # ids are numbers


def is_meant(row: Row, where: RequestFilter) -> bool:
    """One row against every part of the filter."""
    status, error = str(row["http_status"]), row["error_message"]
    same = {
        "chain": "chain_name",
        "provider": "provider_id",
        "model": "model",
        "caller": "caller",
        "request_id": "request_id",
    }
    verdicts = [
        row[column] == getattr(where, name) for name, column in same.items() if getattr(where, name) is not None
    ]
    if where.start is not None:
        verdicts.append(row["timestamp"] >= where.start)  # type: ignore[operator]  # numbers
    if where.end is not None:
        verdicts.append(row["timestamp"] < where.end)  # type: ignore[operator]  # numbers
    if where.status in {"errors", "unanswered"}:
        verdicts.append(int(status) >= 400)
    elif where.status == "answered":
        verdicts.append(int(status) < 400)
    elif where.status is not None:
        verdicts.append(status == where.status or (where.status.endswith("xx") and status[0] == where.status[0]))
    if where.min_latency_ms is not None:
        verdicts.append(row["latency_ms"] >= where.min_latency_ms)  # type: ignore[operator]  # numbers
    if where.error_text is not None:
        verdicts.append(isinstance(error, str) and where.error_text.upper() in error.upper())
    return all(verdicts)


NAMES = st.sampled_from(["a", "b"])
TIMES = st.integers(0, 6)
STATUSES = st.sampled_from([200, 204, 302, 400, 429, 500])
ERRORS = st.sampled_from(["Slow down", "SLOW", "broken", "50% _", ""])
ROWS = st.fixed_dictionaries(
    {"timestamp": TIMES, "chain_name": NAMES, "provider_id": NAMES, "model": NAMES, "http_status": STATUSES},
    optional={"caller": NAMES, "request_id": NAMES, "error_message": ERRORS, "latency_ms": st.integers(0, 3)},
)
FILTERS = st.builds(
    RequestFilter,
    start=st.none() | TIMES,
    end=st.none() | TIMES,
    chain=st.none() | NAMES,
    provider=st.none() | NAMES,
    model=st.none() | NAMES,
    caller=st.none() | NAMES,
    status=st.none() | st.sampled_from(["200", "429", "2xx", "4xx", "5xx", "errors", "answered", "unanswered"]),
    min_latency_ms=st.none() | st.sampled_from([0, 1, 2.5]),
    error_text=st.none() | st.sampled_from(["slow", "DOWN", "%", "", "x"]),
    request_id=st.none() | NAMES,
)


@given(
    rows=st.lists(ROWS, max_size=40),
    added=st.lists(st.lists(ROWS, max_size=3), max_size=10),
    where=FILTERS,
    limit=st.integers(1, 7),
    budget=st.integers(1, 30),
)
@settings(max_examples=tries(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_paging_gives_exactly_what_the_filter_means(
    database: Path, rows: list[Row], added: list[list[Row]], where: RequestFilter, limit: int, budget: int
) -> None:
    """Page by page every row that a filter in Python picks comes once, in order, also while rows are being added."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM request_logs")
    insert(database, rows)
    before = stored(database)
    found = anyio.run(_page_through, database, where, limit, budget, added)
    known = {row["id"] for row in before}
    assert [request.id for request in found if request.id in known] == expected(before, where)
    places = [(request.timestamp, request.id) for request in found]
    assert places == sorted(set(places), reverse=True)
    assert {request.id for request in found} <= set(expected(stored(database), where))
    assert all(matches(request, where) for request in found)


async def _page_through(
    database: Path, where: RequestFilter, limit: int, budget: int, added: list[list[Row]]
) -> list[RequestLogRow]:
    found: list[RequestLogRow] = []
    cursor, more = None, iter(added)
    async with ReaderPool(database) as readers:
        while True:
            page = await requests_module.find_requests(readers, where, limit=limit, cursor=cursor, scan_budget=budget)
            assert len(page.requests) <= limit
            assert page.next_cursor is not None or page.searched_back_to is None
            found += page.requests
            insert(database, next(more, []))
            cursor = page.next_cursor
            if cursor is None:
                return found


@given(rows=st.lists(ROWS, min_size=1, max_size=20), where=FILTERS)
@settings(max_examples=tries(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_request_at_hand_is_judged_as_the_database_does(
    database: Path, rows: list[Row], where: RequestFilter
) -> None:
    """What the live tail shows of a filter is what a search with the same filter finds."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM request_logs")
    insert(database, rows)

    async def ask() -> tuple[set[int], set[int]]:
        async with UsageAggregator(database) as usage:
            page = await usage.find_requests(where)
            everything = await usage.get_requests_after(0)
        return {one.id for one in page.requests}, {one.id for one in everything if matches(one, where)}

    by_database, by_hand = anyio.run(ask)
    assert by_database == by_hand


async def test_a_request_has_everything(database: Path) -> None:
    """One request by its id has every column, its metadata and the tries of its chain as values."""
    trail = [{"provider_id": "groq", "model": "m", "http_status": 429, "latency_ms": 8.5, "error_message": "no"}]
    details = {
        "error_message": "why",
        "request_id": "r-1",
        "caller": "team",
        "ttft_ms": 12,
        "cost_usd": 0.25,
        "streamed": 1,
        "cached_tokens": 7,
        "metadata": '{"tag": ["a", 1]}',
        "attempt_trail": msgspec.json.encode([*trail, {"provider_id": "azure", "model": "n"}]).decode(),
    }
    insert(database, [{}, details])
    async with UsageAggregator(database) as usage:
        request = await usage.get_request(2)
        assert (await usage.find_requests(RequestFilter(request_id="r-1"))).requests == [request]
    assert request is not None
    assert (request.id, request.error_message, request.caller, request.streamed) == (2, "why", "team", True)
    assert (request.ttft_ms, request.cost_usd, request.cached_tokens) == (12, 0.25, 7)
    assert request.metadata == {"tag": ["a", 1]}
    assert request.attempt_trail == [LoggedAttempt("groq", "m", 429, 8.5, "no"), LoggedAttempt("azure", "n")]


async def test_a_request_that_is_not_there_is_none(database: Path) -> None:
    """An id that no row has, however odd, gives None."""
    insert(database, [{}])
    async with UsageAggregator(database) as usage:
        assert [await usage.get_request(number) for number in (2, 0, -1, 10**30)] == [None] * 4


async def test_what_429chain_stored_is_whole_numbers(database: Path) -> None:
    """Its doubles are rounded half up on reading, and what it does not know is None."""
    insert(database, [{"latency_ms": 12.5, "timestamp": 1000.0, "prompt_tokens": 3.0}])
    async with UsageAggregator(database) as usage:
        (request,) = (await usage.find_requests(RequestFilter())).requests
    assert (request.latency_ms, request.timestamp, request.prompt_tokens) == (13, 1000, 3)
    assert all(type(value) is int for value in (request.latency_ms, request.timestamp, request.prompt_tokens))
    assert (request.attempt_trail, request.metadata, request.streamed) == (None, None, None)


async def test_times_with_a_fraction_can_be_paged_through(database: Path) -> None:
    """A cursor keeps the fraction of a ms that another program stored."""
    insert(database, [{"timestamp": time} for time in (1000.5, 1000.5, 1000.5, 1000.25, 1000.25)])
    seen, cursor = [], None
    async with UsageAggregator(database) as usage:
        while True:
            page = await usage.find_requests(RequestFilter(), limit=1, cursor=cursor)
            seen += [one.id for one in page.requests]
            if (cursor := page.next_cursor) is None:
                break
    assert seen == [3, 2, 1, 5, 4]


@pytest.mark.parametrize("text", ["not json", "[1]", "", b"\xff\x00"])
async def test_details_that_are_no_json_do_not_hide_the_request(database: Path, text: str | bytes) -> None:
    """What another program left in metadata or trail is None when it is not what belongs there."""
    insert(database, [{}])
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE request_logs SET metadata = ?1, attempt_trail = ?1", (text,))
    async with UsageAggregator(database) as usage:
        (request,) = (await usage.find_requests(RequestFilter())).requests
    assert (request.metadata, request.attempt_trail) == (None, None)


async def test_a_search_that_finds_little_says_how_far_it_came(database: Path) -> None:
    """After so many rows a page ends, full or not, with a cursor to go on and the time it reached."""
    insert(database, [{"timestamp": number, "error_message": "rare" if number == 3 else None} for number in range(300)])
    async with ReaderPool(database) as readers:
        find = requests_module.find_requests
        where = RequestFilter(error_text="rare")
        page = await find(readers, where, limit=5, scan_budget=100)
        assert (page.requests, page.searched_back_to, page.next_cursor) == ([], 200, "200_201")
        page = await find(readers, where, limit=5, cursor=page.next_cursor, scan_budget=1000)
        assert ([one.timestamp for one in page.requests], page.next_cursor, page.searched_back_to) == ([3], None, None)


@pytest.mark.parametrize(
    "cursor", ["", "x", "1", "1_", "_1", "1_2_3", "1_-2", "٣_1", "1e5_1", " 1_1", "1_1\n", "9" * 99]
)
async def test_a_made_up_cursor_is_refused(database: Path, cursor: str) -> None:
    """What was no next_cursor is an error, not another page."""
    async with UsageAggregator(database) as usage:
        with pytest.raises(ValueError, match="cursor"):
            await usage.find_requests(RequestFilter(), cursor=cursor)


async def test_a_cursor_beyond_every_number_is_one_end(database: Path) -> None:
    """Digits that no row can have lead to the beginning or the end of the log, not to an error."""
    insert(database, [{}])
    async with UsageAggregator(database) as usage:
        assert (await usage.find_requests(RequestFilter(), cursor=f"{'9' * 19}_{'9' * 19}")).requests
        assert not (await usage.find_requests(RequestFilter(), cursor=f"-{'9' * 19}_{'9' * 19}")).requests


@pytest.mark.parametrize("limit", [0, -1, 501])
async def test_a_limit_beyond_a_page_is_refused(database: Path, limit: int) -> None:
    """A page has 1 to 500 requests."""
    async with UsageAggregator(database) as usage:
        with pytest.raises(ValueError, match=f"limit is {limit}"):
            await usage.find_requests(RequestFilter(), limit=limit)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "600"},
        {"status": "429x"},
        {"status": "ERRORS"},
        {"status": ""},
        {"status": "٤٢٩"},
        {"start": 2**63},
        {"min_latency_ms": float("nan")},
        {"chain": "a" * 1001},
        {"error_text": "a\0b"},
        {"caller": "\ud800"},
    ],
)
def test_a_filter_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    """The error names the part of the filter that is wrong."""
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        RequestFilter(**wrong)  # type: ignore[arg-type]  # wrong on purpose


async def test_the_ends_of_the_log(database: Path) -> None:
    """The newest id and the oldest time are known at once; an empty log has neither."""
    async with UsageAggregator(database) as usage:
        assert (await usage.get_newest_id(), await usage.get_oldest_timestamp()) == (0, None)
        insert(database, [{"timestamp": 5}, {"timestamp": 3}, {"timestamp": 4}])
        assert (await usage.get_newest_id(), await usage.get_oldest_timestamp()) == (3, 3)
