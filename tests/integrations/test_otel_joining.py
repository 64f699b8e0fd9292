"""Which spans are one call."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import msgspec
import pytest

from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.integrations._otel.joining import HOLD_S, REMEMBER_S, SpanJoin
from chainlog_async.integrations._otel.span import Span
from chainlog_async.integrations.otel import traces_of
from tests.support.spans import body, call, span


def spans(*given: object, scope: str = "one", **resource: object) -> list[Span]:
    """Spans as they arrive."""
    return traces_of(body(*given, scope=scope, **resource), is_protobuf=False).spans


def logged(*given: list[Span]) -> list[RequestLogEntry]:
    """The requests that come of these."""
    join = SpanJoin()
    for one in given:
        # The join changes what it holds.
        join.add([msgspec.structs.replace(span) for span in one], 0)
    return sorted(join.due(HOLD_S), key=lambda entry: (entry.timestamp, str(entry.request_id)))


ANSWER = {"gen_ai.response.id": "answer-1"}


def test_two_instrumentations_tell_of_one_call_in_any_order() -> None:
    """The duration is the outer one's, and what it does not say is taken from the inner one."""
    outer = call("outer", ms=(0, 100), scope="x")
    inner = call("inner", "outer", ms=(10, 90), attrs={"gen_ai.usage.input_tokens": 99, "gen_ai.usage.cost": 0.5})
    for order in permutations([spans(outer, scope="framework"), spans(inner, scope="sdk")]):
        (entry,) = logged(*order)
        assert (entry.latency_ms, entry.prompt_tokens, entry.cost_usd, entry.attempts) == (100, 20, 0.5, 1)
        assert (entry.request_id, entry.attempt_trail) == ("t1-outer", None)


def test_spans_between_them_do_not_matter() -> None:
    """A call and one inside it are one, also when a span of HTTP or of an agent is between them."""
    between = span("between", "outer", gen_ai__operation__name="agent_step")
    assert len(logged(spans(call("inner", "between"), between, call("outer")))) == 1


def test_an_agent_and_its_calls() -> None:
    """Each call of an agent is a request, and takes the caller, the session and the chain from above."""
    root = span("root", name="POST /", user__id="team-a", session__id="s1")
    agent = span("agent", "root", gen_ai__operation__name="invoke_agent", gen_ai__agent__name="helper")
    calls = [call("one", "agent", ms=(0, 10)), call("two", "agent", ms=(20, 30))]
    found = logged(spans(*calls), spans(agent), spans(root))
    assert [(entry.caller, entry.session_id, entry.chain_name) for entry in found] == [("team-a", "s1", "helper")] * 2


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        # In one trace: at the same time it is one call, one after the other two.
        ({"ms": (0, 100)}, {"ms": (10, 90)}, 1),
        ({"ms": (0, 100)}, {"ms": (200, 300)}, 2),
        # Another provider may have the same id.
        ({"ms": (0, 100)}, {"ms": (10, 90), "attrs": {**ANSWER, "gen_ai.provider.name": "other"}}, 2),
        # In two traces.
        ({"ms": (0, 100)}, {"ms": (10, 90), "trace": "t2"}, 1),
        ({"ms": (0, 100)}, {"ms": (50, 150), "trace": "t2"}, 2),
        ({"ms": (0, 100)}, {"ms": (200, 300), "trace": "t2"}, 2),
    ],
)
def test_the_same_id_of_an_answer(first: dict[str, Any], second: dict[str, Any], rows: int) -> None:
    """It joins what two instrumentations tell at the same time, and never alone: providers repeat ids."""
    one = spans(call("a", **{"attrs": ANSWER, **first}), scope="framework")
    other = spans(call("b", **{"attrs": ANSWER, **second}), scope="sdk")
    assert len(logged(one, other)) == len(logged(other, one)) == rows


def test_calls_of_two_processes_in_two_traces_are_two() -> None:
    """Even with the same id, at the same time: a stub of a provider has one id for all."""
    one = spans(call("a", attrs=ANSWER), scope="framework", service__instance__id="1")
    other = spans(call("b", attrs=ANSWER, trace="t2"), scope="sdk", service__instance__id="2")
    assert len(logged(one, other)) == 2
    same_scope = spans(call("b", attrs=ANSWER, trace="t2"), scope="framework", service__instance__id="1")
    assert len(logged(one, same_scope)) == 2


SDK = "com.anthropic.sdk.python"


@pytest.mark.parametrize(
    ("outer", "inner", "rows"),
    [
        # A stream whose instrumentation tells no id, and a failure, of which nothing has one.
        ({}, {"attrs": ANSWER}, 1),
        ({"error": "Error"}, {"error": "rate_limit_error"}, 1),
        # Another outcome, other tokens, another model, or not during it.
        ({"error": "Error"}, {}, 2),
        ({}, {"attrs": {"gen_ai.usage.input_tokens": 21}}, 2),
        ({}, {"attrs": {"gen_ai.request.model": "other"}}, 2),
        ({}, {"ms": (50, 150)}, 2),
    ],
)
def test_an_sdk_that_begins_a_trace_tells_of_the_call_around_it(
    outer: dict[str, Any], inner: dict[str, Any], rows: int
) -> None:
    """Of the same process and model, although no id of the answer says so."""
    of_sdk = spans(call("inner", trace="t2", **{"ms": (10, 90), **inner}), scope=SDK)
    around = spans(call("outer", **outer), scope="framework")
    assert len(logged(of_sdk, around)) == rows


def test_each_call_has_one_call_of_the_sdk() -> None:
    """Calls at the same time are as many requests, and one that the SDK alone tells of is its own."""
    inner = [call(f"inner{n}", trace=f"s{n}", ms=(10 + n, 80 + n)) for n in range(3)]
    outer = [call(f"outer{n}", trace=f"o{n}", ms=(9 + n, 81 + n)) for n in range(2)]
    assert len(logged(spans(*inner, scope=SDK), spans(*outer, scope="framework"))) == 3


def test_the_sdk_knows_the_tokens_best() -> None:
    """An instrumentation may add up those of a stream wrongly."""
    wrong = {"gen_ai.usage.output_tokens": 4, "gen_ai.usage.total_tokens": 24}
    of_sdk = spans(call("inner", "outer", ms=(10, 90)), scope=SDK)
    (entry,) = logged(of_sdk, spans(call("outer", attrs=wrong), scope="framework"))
    assert (entry.prompt_tokens, entry.completion_tokens, entry.total_tokens) == (20, 3, None)


def test_pairs_are_forgotten_with_their_traces() -> None:
    """What is held stays bounded, and is logged."""
    join = SpanJoin(max_spans=10)
    logged_rows = 0
    for number in range(60):
        trace = f"{number}"
        join.add(spans(call("inner", trace=f"s{trace}", ms=(10, 90)), scope=SDK), 0)
        if number % 3:
            join.add(spans(call("outer", trace=f"o{trace}"), scope="framework"), 0)
        logged_rows += len(list(join.due(0)))
    logged_rows += len(list(join.due(HOLD_S)))
    assert (logged_rows, len(join) <= 10, len(join._sdk_spans._pairs) <= 10) == (60, True, True)


def test_calls_at_the_same_time_whose_traces_tell_of_them_twice_stay_apart() -> None:
    """Two calls with the one id of a stub, each told of by a framework and by its SDK."""
    given = []
    for trace in ("t1", "t2"):
        given.append(spans(call("a", trace=trace, attrs=ANSWER), scope="framework"))
        given.append(spans(call("b", "a", trace=trace, ms=(1, 99), attrs=ANSWER), scope="sdk"))
    assert len(logged(*given)) == 2


def attempt(span_id: str, begin: float, *, status: int, **given: Any) -> dict[str, object]:
    """One attempt below the call `outer`."""
    error = {"error": "failed"} if status >= 400 else {}
    attrs = {"gen_ai.provider.name": span_id, "http.response.status_code": status, **given.pop("attrs", {})}
    return call(span_id, "outer", ms=(begin, begin + 10), attrs=attrs, **error, **given)


def test_calls_inside_one_that_follow_each_other_are_its_attempts() -> None:
    """The row is the outer call's, with every attempt in order, its status and its cost."""
    tries = [
        attempt("first", 0, status=429),
        attempt("second", 20, status=503, attrs={"gen_ai.usage.cost": 0.25}),
        attempt("third", 40, status=200, attrs={"gen_ai.usage.cost": 0.5}),
    ]
    for order in permutations([spans(*tries), spans(call("outer", ms=(0, 60)))]):
        (entry,) = logged(*order)
        trail = entry.attempt_trail or ()
        assert [(one.provider_id, one.http_status, one.latency_ms) for one in trail] == [
            ("first", 429, 10),
            ("second", 503, 10),
            ("third", 200, 10),
        ]
        assert (entry.attempts, entry.http_status, entry.error_message, entry.cost_usd) == (3, 200, None, 0.75)


def test_provider_attempts_are_known_by_their_name() -> None:
    """They need not say that they are calls, and a single one is a trail too."""
    named = span("x", "outer", name="Provider attempt 1", attrs={"gen_ai.provider.name": "groq"}, ms=(1, 9))
    (entry,) = logged(spans(named), spans(call("outer")))
    assert [(one.provider_id, one.model) for one in entry.attempt_trail or ()] == [("groq", "m")]


def test_a_request_that_http_sent_again_has_as_many_attempts() -> None:
    """The spans of the HTTP client count them."""
    tries = [span(f"h{count}", "a1", name="POST", http__request__resend_count=count) for count in (1, 2)]
    (entry,) = logged(spans(*tries), spans(call("a1")))
    assert entry.attempts == 3


def test_a_stream_in_two_spans_is_one_call() -> None:
    """The second span lasts no time, and says how long the stream took."""
    asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    begin = span("begin", "root", ms=(0, 30), attrs=asked)
    end = call("end", "root", ms=(500, 500), attrs={"duration": 0.46})
    other = call("other", "root", ms=(35, 38))
    for order in permutations([begin, end, other]):
        found = logged(*[spans(one) for one in order])
        assert [(entry.latency_ms, entry.prompt_tokens) for entry in found] == [(3, 20), (500, 20)]


def test_a_span_that_comes_again_or_late_is_no_second_row() -> None:
    """A sender repeats what it got no answer for, and a parent may end long after its call."""
    join = SpanJoin()
    join.add(spans(call("inner", "outer")), 0)
    join.add(spans(call("inner", "outer")), 1)
    assert len(list(join.due(HOLD_S))) == 1
    join.add(spans(call("inner", "outer"), call("outer"), call("below", "inner")), HOLD_S + 1)
    assert list(join.due(3 * HOLD_S)) == []


def test_a_call_waits_for_its_parent_and_no_longer() -> None:
    """It is logged when the time is over, whether its parent came or not, and forgotten later."""
    join = SpanJoin()
    join.add(spans(call("inner", "outer")), 10)
    assert (list(join.due(10 + HOLD_S - 0.001)), join.next_due_s()) == ([], 10 + HOLD_S)
    assert len(list(join.due(10 + HOLD_S))) == 1
    assert (len(join), join.next_due_s()) == (1, None)
    assert list(join.due(10 + REMEMBER_S)) == []
    assert len(join) == 0


def test_what_waits_is_bounded_and_loses_nothing() -> None:
    """Beyond the bound, the oldest traces are logged before their time."""
    join = SpanJoin(max_spans=100)
    for number in range(1000):
        join.add(spans(call("a", trace=f"t{number}", attrs={"gen_ai.response.id": "one for all"})), 0)
        assert len(join) <= 100
    assert len(list(join.due(0))) == 900
    assert len(list(join.due(HOLD_S))) == 100


def test_a_circle_and_a_long_chain_of_spans_end() -> None:
    """Whatever a sender makes up, it takes no for ever, and no call is lost."""
    circle = [call("a", "b"), call("b", "a"), span("c", "c"), call("d", "c")]
    chain = [call(f"n{number}", f"n{number + 1}", trace="long") for number in range(2000)]
    assert len(logged(spans(*circle))) == 2
    assert 1 <= len(logged(spans(*chain))) <= 2000


def test_reduced_spans_hold_no_other_attribute() -> None:
    """What is not on the list of attributes is not in a span."""
    hidden = {"gen_ai.input.messages": "Hidden", "gen_ai.tool.definitions": "Hidden", "anything": "Hidden"}
    kept = spans(call(attrs=hidden, name="Hidden", events=[("Hidden", 5.0, {"Hidden": "Hidden"})]))
    assert "Hidden" not in json.dumps([repr(one) for one in kept])
