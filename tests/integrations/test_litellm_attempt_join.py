"""The window: tries that are one request become one row, and others never do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.integrations._litellm.attempt import ReportedAttempt
from chainlog_async.integrations._litellm.attempt_join import FAILED_HOLD_S, RETRY_HOLD_S, RUNNING_HOLD_S
from tests.support.litellm_events import Joined, a_begun, a_try, recorded

SCENARIOS = {
    "primary ok": ("openai", 200, 1, None),
    "429 -> second": ("groq", 200, 2, [429, 200]),
    "429,500 -> third": ("cerebras", 200, 3, [429, 500, 200]),
    "all 429": ("cerebras", 429, 3, [429, 429, 429]),
    "429 with num_retries=2 -> second": ("groq", 200, 4, [429, 429, 429, 200]),
    "429 -> second, stream": ("groq", 200, 2, [429, 200]),
}


def test_each_scenario_of_the_router_is_one_row(shared_data: Path) -> None:
    """Recorded callbacks of six requests are six rows, with the provider, status and tries of each."""
    joined = Joined()
    for _, item in recorded(shared_data / "litellm_router_events.jsonl"):
        joined.take(item)
    joined.window.flush()
    rows = {
        (
            entry.provider_id,
            entry.http_status,
            entry.attempts,
            None if entry.attempt_trail is None else tuple(attempt.http_status for attempt in entry.attempt_trail),
        )
        for entry in joined.entries
    }
    expected = {(*row[:3], None if row[3] is None else tuple(row[3])) for row in SCENARIOS.values()}
    assert len(joined.entries) == len(SCENARIOS)
    assert rows == expected
    assert {entry.chain_name for entry in joined.entries} == {"default"}


def test_latency_is_the_whole_requests(shared_data: Path) -> None:
    """The latency counts from the first try's start, waits between tries included; the tries have their own."""
    joined = Joined()
    for scenario, item in recorded(shared_data / "litellm_router_events.jsonl"):
        if scenario == "429 with num_retries=2 -> second":
            joined.take(item)
    (entry,) = joined.entries
    assert entry.latency_ms == pytest.approx(4522.1, abs=0.1)
    assert entry.attempt_trail is not None
    assert entry.attempt_trail[0].latency_ms == pytest.approx(3.3, abs=0.1)


def test_a_new_request_of_the_same_session_is_another_row() -> None:
    """A success that is a first try does not take up failed tries of an earlier request with the same trace id."""
    joined = Joined()
    joined.take(a_try("a", status=429))
    joined.take(a_try("b", status=200))
    assert [(entry.http_status, entry.attempts) for entry in joined.entries] == [(200, 1)]
    joined.window.flush()
    assert [(entry.http_status, entry.attempts) for entry in joined.entries] == [(200, 1), (429, 1)]


@given(st.lists(st.integers(min_value=0, max_value=3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_requests_of_one_session_at_the_same_time_are_counted_right(fallbacks: list[int], rng: object) -> None:
    """However the tries of concurrent requests with one trace id are mixed, there is a row for each request."""
    joined = Joined()
    waiting = [
        [a_try(f"{number}-{hop}", (hop, 0), status=200 if hop == last else 429) for hop in range(last + 1)]
        for number, last in enumerate(fallbacks)
    ]
    while waiting:
        request = rng.choice(waiting)  # type: ignore[attr-defined]  # a random.Random of hypothesis's
        joined.take(request.pop(0))
        waiting = [request for request in waiting if request]
    assert len(joined.window) == 0
    assert sorted(entry.attempts for entry in joined.entries) == sorted(last + 1 for last in fallbacks)


def test_calls_without_the_router_are_joined_by_their_call_id() -> None:
    """The SDK's own fallbacks keep the call id; another call with the same trace id is another request."""
    joined = Joined()
    joined.take(a_try("a", None, status=429))
    joined.take(a_try("b", None, status=200))
    joined.take(a_try("a", None, status=200, started_s=1_700_000_001.0))
    assert [(entry.request_id, entry.attempts) for entry in joined.entries] == [("b", 1), ("a", 2)]


def test_an_event_that_is_reported_twice_is_one_try() -> None:
    """A success or failure that comes through both the sync and the async callback counts once."""
    joined = Joined()
    for _ in range(2):
        joined.take(a_try("a", status=500))
    joined.window.flush()
    for _ in range(2):
        joined.take(a_try("b"))
    joined.take(a_try("a", status=500))
    joined.window.flush()
    assert [(entry.request_id, entry.attempts) for entry in joined.entries] == [("a", 1), ("b", 1)]


def test_the_payload_replaces_what_the_exception_told() -> None:
    """A try that is known from its exception, and then from LiteLLM's payload, is one try with the payload's times."""
    joined = Joined()
    joined.take(a_try("a", status=429, is_partial=True, provider_id="litellm", trace_id="a"))
    joined.take(a_try("a", status=429, provider_id="openai"))
    joined.take(a_try("a", (1, 0), status=500, is_partial=True))
    joined.take(a_try("a", (2, 0)))
    (entry,) = joined.entries
    assert entry.attempt_trail is not None
    assert [attempt.provider_id for attempt in entry.attempt_trail] == ["openai", "groq", "groq"]


def test_the_proxys_word_ends_a_request_at_once() -> None:
    """What the proxy refuses is a row with the client's status, and only one; without a try it has no attempt."""
    joined = Joined()
    joined.take(a_try("a", status=500))
    joined.window.refused(a_try("a", None, status=503, is_partial=True))
    for _ in range(2):
        joined.window.refused(a_try("cooling", None, status=429, is_partial=True, called_no_provider=True))
    rows = [(entry.request_id, entry.http_status, entry.attempts) for entry in joined.entries]
    assert rows == [("a", 503, 1), ("cooling", 429, 0)]
    assert len(joined.window) == 0


def test_an_answer_that_a_guardrail_refuses_is_one_row() -> None:
    """A request whose success is in the log is not logged again when the proxy refuses to hand the answer out."""
    joined = Joined()
    joined.take(a_try("a"))
    joined.window.refused(a_try("a", None, status=400, is_partial=True))
    assert [entry.http_status for entry in joined.entries] == [200]


def _trail(joined: Joined) -> list[list[tuple[str, int | None]]]:
    return [
        [(attempt.provider_id, attempt.http_status) for attempt in entry.attempt_trail or ()]
        for entry in joined.entries
    ]


@pytest.mark.parametrize("fallback_begins_first", [False, True])
def test_a_stream_that_breaks_off_is_reported_as_its_fallback(fallback_begins_first: bool) -> None:
    """LiteLLM reports it with the fallback's position and provider, and perhaps after the fallback began."""
    joined = Joined()
    joined.window.began(a_begun("a", provider_id="groq"))
    late = a_try("a", (1, 0), status=500, answered=False, provider_id="openai", model="gpt")
    if not fallback_begins_first:
        joined.take(late)
    joined.window.began(a_begun("a", (1, 0), provider_id="openai", model="gpt"))
    if fallback_begins_first:
        joined.take(late)
    joined.take(a_try("a", (1, 0), provider_id="openai", model="gpt", started_s=1_700_000_000.1))
    assert [(entry.http_status, entry.attempts) for entry in joined.entries] == [(200, 2)]
    assert _trail(joined) == [[("groq", None), ("openai", 200)]]
    assert len(joined.window) == 0


def test_a_fallback_that_fails_keeps_its_own_provider() -> None:
    """A try that began after one that was reported is not taken for it."""
    joined = Joined()
    joined.window.began(a_begun("a", provider_id="groq"))
    joined.take(a_try("a", status=429, is_partial=True, provider_id="groq"))
    joined.window.began(a_begun("a", (1, 0), provider_id="openai"))
    joined.take(a_try("a", (1, 0), status=500, provider_id="openai"))
    joined.window.refused(a_try("a", None, status=429, is_partial=True, ended_s=1_700_000_009.0))
    assert _trail(joined) == [[("groq", 429), ("openai", 500)]]


def test_what_is_reported_for_an_outer_and_an_inner_call_is_one_try() -> None:
    """LiteLLM's routes that translate requests report each failed try twice, before and after its payload."""
    joined = Joined()
    for hop in range(2):
        for _ in range(2):
            joined.take(a_try("a", (hop, 0), status=429, is_partial=True))
        joined.take(a_try("a", (hop, 0), status=429, started_s=1_700_000_000.0 + hop))
        joined.take(a_try("a", (hop, 0), status=429, is_partial=True))
    joined.window.refused(a_try("a", None, status=429, is_partial=True, ended_s=1_700_000_009.0))
    joined.take(a_try("a", (1, 0), status=429, is_partial=True))
    assert [(entry.http_status, entry.attempts) for entry in joined.entries] == [(429, 2)]
    assert len(joined.window) == 0


def test_without_the_router_the_same_try_is_known_by_when_it_was_handed_over() -> None:
    """Two reports of one try are one; the SDK's own fallback, which keeps the call id, is another."""
    joined = Joined()
    for handoff_s in (1.0, 1.0, 2.0):
        joined.take(a_try("a", None, status=429, is_partial=True, handoff_s=handoff_s))
    joined.window.flush()
    assert [entry.attempts for entry in joined.entries] == [2]


def test_an_inner_call_belongs_to_the_request_that_it_translates() -> None:
    """Its success ends the request with that trace id and path; its failures come again for the outer call."""
    route = "/v1beta/models/first:generateContent"
    inner = {"route": route, "is_inner": True, "trace_id": "of the router"}
    joined = Joined()
    joined.take(a_try("inner-1", None, status=429, **inner))
    joined.take(a_try("a", status=429, is_partial=True, trace_id="of the router", route=route, provider_id="groq"))
    joined.take(a_try("a", None, status=429, trace_id="another", route=route, provider_id="litellm", model="first"))
    joined.take(a_try("inner-2", None, provider_id="openai", **inner))
    joined.take(a_try("inner-3", None, provider_id="openai", **inner))
    rows = [(entry.request_id, entry.http_status, entry.attempts) for entry in joined.entries]
    assert rows == [("a", 200, 2), ("inner-3", 200, 1)]
    assert _trail(joined) == [[("groq", 429), ("openai", 200)], []]
    assert len(joined.window) == 0


def test_a_request_of_the_proxy_whose_end_is_not_reported_is_marked_as_a_part() -> None:
    """The proxy always reports the end, so what has none is a part; a request of the SDK's has simply failed."""
    joined = Joined()
    joined.take(a_try("a", status=429, route="/v1/chat/completions", metadata={"team": "ours"}))
    joined.take(a_try("b", status=429, trace_id="b", metadata={"team": "ours"}))
    joined.expire_at(RETRY_HOLD_S)
    parts = {entry.request_id: (entry.metadata or {}).get("part", False) for entry in joined.entries}
    assert parts == {"a": True, "b": False}
    joined.take(a_try("a", (1, 0)))
    assert (joined.entries[-1].metadata or {})["part"] is True


def test_a_late_word_of_the_proxy_makes_no_second_row() -> None:
    """A refusal that comes after its request was given up is not logged again."""
    joined = Joined()
    joined.take(a_try("a", status=429, route="/v1/chat/completions"))
    joined.expire_at(RETRY_HOLD_S)
    joined.window.refused(a_try("a", None, status=429, is_partial=True))
    assert len(joined.entries) == 1


def test_a_client_may_use_an_id_again() -> None:
    """A request with the id of an earlier one is a row of its own, whatever became of either."""
    joined = Joined()
    for number in range(3):
        joined.window.refused(a_try("a", None, status=429, started_s=1e9 + 10 * number, ended_s=1e9 + 10 * number + 1))
    joined.take(a_try("a", started_s=2e9, ended_s=2e9 + 1))
    assert [(entry.http_status, entry.metadata) for entry in joined.entries] == [(429, None)] * 3 + [(200, None)]


def test_a_failed_request_lasts_until_its_client_has_the_answer() -> None:
    """From the first try, or from when the proxy took the request in, to the proxy's answer."""
    joined = Joined()
    joined.take(a_try("a", status=429, started_s=1_700_000_001.0, ended_s=1_700_000_002.0))
    joined.window.refused(
        a_try("a", None, status=503, is_partial=True, started_s=1_700_000_000.5, ended_s=1_700_000_004.0)
    )
    (entry,) = joined.entries
    assert (entry.latency_ms, entry.timestamp) == (3500, 1_700_000_004_000)
    assert _trail(joined) == [[("groq", 429)]]


def test_a_failed_request_has_the_metadata_of_all_its_reports() -> None:
    """Only the first try's report is full: who asked is from there, where it was asked from the last one."""
    full = {"team": "ours", "tags": ["blue"], "trace_id": "t", "model_group": "first", "deployment_id": "1"}
    joined = Joined()
    joined.take(a_try("a", status=429, metadata=full, streamed=True))
    partial = {"team": "theirs", "model_group": "second", "call_type": "acompletion"}
    joined.take(a_try("a", (1, 0), status=500, is_partial=True, metadata=partial, streamed=False))
    joined.window.refused(
        a_try("a", None, status=500, is_partial=True, metadata={"user": "me", "trace_id": "other"}, ended_s=1.7e9 + 9)
    )
    (entry,) = joined.entries
    assert entry.streamed is True
    assert entry.metadata == {
        "team": "ours",
        "tags": ["blue"],
        "trace_id": "t",
        "user": "me",
        "model_group": "second",
        "call_type": "acompletion",
    }


def test_a_cached_answer_after_a_failure_is_no_attempt() -> None:
    """The failed try counts, and the answer of the cache does not."""
    joined = Joined()
    joined.take(a_try("a", status=429, provider_id="groq"))
    joined.take(a_try("b", (1, 0), provider_id="openai", called_no_provider=True, is_cached=True, cost_usd=0.0))
    (entry,) = joined.entries
    assert (entry.provider_id, entry.http_status, entry.attempts, entry.cost_usd) == ("openai", 200, 1, 0.0)
    assert _trail(joined) == [[("groq", 429)]]


def test_the_unknown_cost_of_an_answer_is_not_that_of_the_tries_before() -> None:
    """What failed cost nothing; what the answer cost is not known, so that of the request is not."""
    joined = Joined()
    joined.take(a_try("a", status=429, cost_usd=0.0))
    joined.take(a_try("b", (1, 0), cost_usd=None))
    assert joined.entries[0].cost_usd is None


@pytest.mark.parametrize(("may_pause", "hold_s"), [(False, FAILED_HOLD_S), (True, RETRY_HOLD_S)])
def test_a_failed_request_ends_when_no_try_follows(may_pause: bool, hold_s: float) -> None:
    """Failed tries wait as long as LiteLLM may sleep before the next one, and are then one failed row."""
    joined = Joined()
    joined.take(a_try("a", status=429, may_pause=may_pause))
    joined.take(a_try("b", (1, 0), status=500, may_pause=may_pause))
    joined.expire_at(hold_s - 0.1)
    assert not joined.entries
    joined.expire_at(hold_s)
    assert [(entry.http_status, entry.attempts) for entry in joined.entries] == [(500, 2)]


def test_a_try_that_runs_long_is_waited_for() -> None:
    """Once the next try has begun, its request waits for the end of it, but not for ever."""
    joined = Joined()
    joined.take(a_try("a", status=429))
    joined.window.began(a_begun("b", (1, 0)))
    joined.expire_at(RUNNING_HOLD_S - 1)
    joined.take(a_try("b", (1, 0)))
    assert [(entry.http_status, entry.attempts) for entry in joined.entries] == [(200, 2)]
    joined.take(a_try("c", status=429))
    joined.window.began(a_begun("c"))
    joined.expire_at(2 * RUNNING_HOLD_S)
    assert len(joined.entries) == 2


def test_the_window_is_bounded() -> None:
    """Beyond the bound the oldest request is ended as failed; none is dropped, and no name of it stays behind."""
    joined = Joined(max_waiting=10)
    for number in range(1000):
        joined.take(a_try(f"{number}", status=429, trace_id=f"t{number}"))
    assert len(joined.window) == 10
    assert len(joined.entries) == 990
    joined.window.flush()
    assert [entry.request_id for entry in joined.entries] == [f"{number}" for number in range(1000)]
    assert not joined.window._by_id


def test_threads_lose_nothing() -> None:
    """Requests whose tries come from many threads at once are each one row."""
    joined = Joined(max_waiting=10_000)

    def requests(thread: int) -> None:
        for number in range(200):
            name = f"{thread}-{number}"
            tries: list[ReportedAttempt] = [
                a_try(f"{name}-{hop}", (hop, 0), trace_id=name, status=429) for hop in range(2)
            ]
            for item in (*tries, a_try(f"{name}-2", (2, 0), trace_id=name)):
                joined.take(item)

    threads = [threading.Thread(target=requests, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.attempts for entry in joined.entries] == [3] * 1600
    assert len(joined.window) == 0
