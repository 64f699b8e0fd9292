"""Random questions, and whether two engines answer them the same."""

from __future__ import annotations

import random

import msgspec
import pytest

from chainlog_async import RequestFilter, UsageFilter, UsageQuery, Window
from chainlog_async.common.clock import DAY_MS, HOUR_MS
from chainlog_async.common.name_sets import NameSet
from chainlog_async.requests.sessions import Session, SessionFilter
from chainlog_async.storage.base import ReadStorage
from chainlog_async.usage.time_window import STEPS

from .random_log import END, START


def random_usage_query(rng: random.Random) -> UsageQuery:
    """A question about usage or latency that has an answer."""
    start = rng.randrange(START - DAY_MS, END)
    length = rng.choice([HOUR_MS // 2, 7 * HOUR_MS, DAY_MS, 4 * DAY_MS])

    def name(*names: str | None) -> str | None:
        return rng.choice([None, None, None, *names])

    return UsageQuery(
        window=Window(
            start=start,
            end=start + length,
            step=rng.choice([None, *STEPS]),
            zone=rng.choice(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
        ),
        by=rng.choice([None, "chain", "provider", "model", "caller"]),
        where=UsageFilter(
            chain=name("c0"),
            provider=name("p1", "nobody"),
            model=name("m0"),
            caller=name("team-0", ""),
            names=random_names(rng),
        ),
        max_groups=rng.choice([1, 2, 20]),
        durations_of=rng.choice(["answered", "unanswered", "all"]),
        fill=rng.random() < 0.3,
        with_bins=rng.random() < 0.5,
    )


def random_tag_query(rng: random.Random) -> UsageQuery:
    """A question about usage by tag, or of one, that has an answer."""
    query = random_usage_query(rng)
    steps = [step for step in STEPS if step not in {"15m", "30m"}]
    window = msgspec.structs.replace(query.window, step=rng.choice([None, *steps]))
    by = rng.choice(["tag:team", "tag:run", "tag:nobody's", query.by])
    own: dict[str, list[str | None]] = {"tag:team": [None, "team:ads"], "tag:run": [None], "tag:nobody's": [None]}
    where = msgspec.structs.replace(query.where, tag=rng.choice(own.get(str(by), ["team:search", "env:é", "x:y"])))
    return msgspec.structs.replace(query, window=window, by=by, where=where)


def random_names(rng: random.Random) -> tuple[NameSet, ...]:
    """Seldom several names at once, or names to leave out."""
    chosen = [
        NameSet(dimension="provider", names=("p1", "p2", "nobody")),
        NameSet(dimension="model", names=("m0",), excluded=True),
        NameSet(dimension="caller", names=("", "team-0")),
        NameSet(dimension="caller", names=("", "team-1"), excluded=True),
        NameSet(dimension="chain", names=("c0", "c1")),
    ]
    return tuple(one for one in chosen if rng.random() < 0.1)


def random_filter(rng: random.Random) -> RequestFilter:
    """A question about single requests."""

    def name(*names: str | None) -> str | None:
        return rng.choice([None, None, None, *names])

    return RequestFilter(
        start=rng.choice([None, START + DAY_MS]),
        end=rng.choice([None, START + 2 * DAY_MS]),
        chain=name("c1"),
        provider=name("p2"),
        model=name("große/modell:日本 🙈", "nothing"),
        caller=name("team-1"),
        status=name("429", "5xx", "errors", "200", "answered", "unanswered"),
        min_latency_ms=rng.choice([None, None, 300.0]),
        max_latency_ms=rng.choice([None, None, 700.5]),
        min_tokens=rng.choice([None, None, None, 40.0]),
        max_tokens=rng.choice([None, None, None, 900.0]),
        min_cost_usd=rng.choice([None, None, None, 0.2]),
        max_cost_usd=rng.choice([None, None, None, 0.5]),
        min_attempts=rng.choice([None, None, None, 2.0]),
        max_attempts=rng.choice([None, None, None, 2.0]),
        search=name("TEAM-1", "große", "r1", ":"),
        names=random_names(rng),
        error_text=name("SLOW", "try"),
        request_id=name("r7"),
        session_id=name("s1"),
        tag=name("team:search"),
    )


async def compare_all(reads: ReadStorage, expected: ReadStorage, rng: random.Random, *, questions: int) -> None:
    """Asks both every question, and so many about usage, latency, health and pages, and compares the answers."""
    assert same(await reads.get_all_provider_usage(), await expected.get_all_provider_usage())
    assert same(await reads.get_all_chain_usage(), await expected.get_all_chain_usage())
    assert await reads.get_provider_usage("p1") == await expected.get_provider_usage("p1")
    assert await reads.get_chain_usage("nobody") is None
    assert await reads.get_summary_stats() == await expected.get_summary_stats()
    assert await reads.get_recent_requests(50) == await expected.get_recent_requests(50)
    for prefix in ("r", "r1", "nothing", ""):
        assert await reads.find_request_ids(prefix, limit=5) == await expected.find_request_ids(prefix, limit=5)
    assert await reads.get_newest_id() == await expected.get_newest_id()
    assert await reads.get_oldest_timestamp() == await expected.get_oldest_timestamp()
    assert await reads.get_request(3) == await expected.get_request(3)
    assert await reads.get_names() == await expected.get_names()
    for session, caller in (("s1", None), ("s1", "team-0"), ("nothing", None)):
        assert same(await reads.get_session(session, caller=caller), await expected.get_session(session, caller=caller))
    metrics, expected_metrics = await reads.get_metric_totals(1_000), await expected.get_metric_totals(1_000)
    assert same(_sorted(metrics.usage), _sorted(expected_metrics.usage))
    assert same(_sorted(metrics.attempts), _sorted(expected_metrics.attempts))
    for number in range(questions):
        query = random_tag_query(rng)
        assert same(await reads.get_usage(query), await expected.get_usage(query)), query
        query = random_usage_query(rng)
        assert same(await reads.get_usage(query), await expected.get_usage(query)), query
        assert same(await reads.get_latency(query), await expected.get_latency(query)), query
        window = query.window
        assert same(await reads.get_provider_health(window), await expected.get_provider_health(window)), window
        where, limit = random_filter(rng), rng.choice([1, 7, 100])
        assert await _pages(reads, where, limit) == await _pages(expected, where, limit), where
        if number % 5 == 0:
            of_sessions = SessionFilter(start=where.start, end=where.end, caller=where.caller)
            assert same(await _sessions(reads, of_sessions), await _sessions(expected, of_sessions)), of_sessions


def _sorted(totals: tuple[msgspec.Struct, ...]) -> list[msgspec.Struct]:
    return sorted(
        totals, key=lambda one: tuple(value for value in msgspec.structs.astuple(one) if isinstance(value, str))
    )


async def _pages(reads: ReadStorage, where: RequestFilter, limit: int) -> list[int]:
    ids: list[int] = []
    cursor: str | None = None
    while True:
        page = await reads.find_requests(where, limit=limit, cursor=cursor)
        ids += [row.id for row in page.requests]
        cursor = page.next_cursor
        if cursor is None:
            return ids


async def _sessions(reads: ReadStorage, where: SessionFilter) -> list[Session]:
    found: list[Session] = []
    cursor: str | None = None
    while True:
        page = await reads.find_sessions(where, limit=2, cursor=cursor)
        found += page.sessions
        cursor = page.next_cursor
        if cursor is None:
            return found


def same(found: object, expected: object) -> bool:
    """Equal, but for the order in which an engine adds fractions up."""
    return _alike(msgspec.to_builtins(found), msgspec.to_builtins(expected))


def _alike(found: object, expected: object) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(_alike(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(found) == len(expected) and all(map(_alike, found, expected))
    if isinstance(expected, float) or isinstance(found, float):
        return found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    return found == expected
