"""Makes one entry of the spans that are one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from chainlog_async.entry.model import MAX_ATTEMPTS, MAX_NAME_CHARS, Attempt, RequestLogEntry

from .span import SDK_SCOPES, CallFacts, Span

UNKNOWN: Final = "unknown"
DEFAULT_CHAIN: Final = "default"

MAX_DEPTH: Final = 200
"""How far up a trace ancestors are looked for, in spans."""

_OF_OUTCOME: Final = frozenset({"status", "error_type"})
_MERGED: Final = tuple(name for name in CallFacts.__struct_fields__ if name not in _OF_OUTCOME)
_COUNTS: Final = tuple(name for name in CallFacts.__struct_fields__ if name.endswith("_tokens"))
_ATTEMPT_COUNTS: Final = tuple(name for name in _COUNTS if name != "total_tokens")

_MS: Final = 1_000_000
"""In ns."""

Key = tuple[str, str]
Spans = Mapping[Key, Span]
"""All that are known, by `Span.key`."""


def entry_of(calls: Sequence[Span], spans: Spans, *, resends: int = 0) -> RequestLogEntry:
    """Returns the entry of a call.

    `calls` are all spans that tell of it, `spans` those among which its ancestors are looked for, and `resends` is how
    often its HTTP request was sent again.
    """
    inside: dict[Key, list[Span]] = {}
    if len(calls) > 1:
        calls, inside = _outermost_first(calls, spans)
    outer = calls[0]
    tries = _tries(calls, inside) if inside else []
    facts = _facts_of(calls, tries)
    begin_ns, end_ns = _times(calls)
    trail = [_attempt(one, facts) for one in tries]
    belonging = _belonging(outer, spans)
    return RequestLogEntry(
        timestamp=end_ns // _MS,
        chain_name=belonging.chain or belonging.agent or belonging.service or DEFAULT_CHAIN,
        provider_id=facts.provider or UNKNOWN,
        model=facts.response_model or facts.request_model or UNKNOWN,
        prompt_tokens=facts.prompt_tokens or 0,
        completion_tokens=facts.completion_tokens or 0,
        total_tokens=facts.total_tokens,
        latency_ms=(end_ns - begin_ns) / _MS,
        http_status=facts.status or (500 if facts.error_type else 200),
        attempts=max(len(trail), 1 + max([resends, *[span.resends or 0 for span in calls]])),
        error_message=facts.error_type,
        request_id=request_id_of(outer),
        caller=belonging.caller,
        ttft_ms=facts.ttft_ms,
        cost_usd=facts.cost_usd,
        streamed=facts.streamed,
        cached_tokens=facts.cached_tokens,
        cache_write_tokens=facts.cache_write_tokens,
        cache_write_1h_tokens=facts.cache_write_1h_tokens,
        reasoning_tokens=facts.reasoning_tokens,
        prompt_audio_tokens=facts.prompt_audio_tokens,
        completion_audio_tokens=facts.completion_audio_tokens,
        finish_reason=facts.finish_reason,
        service_tier=facts.service_tier,
        response_id=facts.response_id,
        session_id=belonging.session,
        attempt_trail=trail[-MAX_ATTEMPTS:] or None,
        metadata={"otel_scope": outer.scope} if outer.scope else None,
    )


def request_id_of(outer: Span) -> str:
    """The id of a request: that of the trace and of the outermost span that tells of it."""
    return f"{outer.trace_id}-{outer.span_id}"[:MAX_NAME_CHARS]


# -- the order of the spans -------------------------------------------------------------------------------------------


def _outermost_first(calls: Sequence[Span], spans: Spans) -> tuple[list[Span], dict[Key, list[Span]]]:
    """Returns the spans in order, and those right inside each, whatever other spans are between them."""
    members = {span.key for span in calls}
    parents = {
        span.key: next((above.key for above in _ancestors(span, spans) if above.key in members), None) for span in calls
    }
    inside: dict[Key, list[Span]] = {}
    for span in calls:
        if (parent := parents[span.key]) is not None:
            inside.setdefault(parent, []).append(span)

    def depth(key: Key) -> int:
        steps, parent = 0, parents[key]
        while parent is not None and steps < len(calls):
            steps, parent = steps + 1, parents[parent]
        return steps

    return sorted(calls, key=lambda span: (depth(span.key), span.begin_ns - span.end_ns, span.start_ns)), inside


def _ancestors(span: Span, spans: Spans) -> Iterator[Span]:
    above = spans.get((span.trace_id, span.parent_id))
    for _ in range(MAX_DEPTH):
        if above is None:
            return
        yield above
        above = spans.get((above.trace_id, above.parent_id))


def _times(calls: Sequence[Span]) -> tuple[int, int]:
    """When the call began and ended, in ns: the outer one's times, and those of a stream that a later span tells of."""
    outer = calls[0]
    if len(calls) == 1:
        return outer.begin_ns, outer.end_ns
    if all(span.begin_ns == span.start_ns for span in calls):
        return outer.start_ns, outer.end_ns
    return min(span.begin_ns for span in calls), max(span.end_ns for span in calls)


# -- attempts ---------------------------------------------------------------------------------------------------------


def _tries(calls: Sequence[Span], inside: Mapping[Key, Sequence[Span]]) -> list[list[Span]]:
    """Returns the attempts in order, each as the spans that tell of it, the outermost first; none if nothing tells.

    They are the children that the emitter calls attempts; else, where one span encloses several calls, these.
    """
    for span in calls:
        kids = inside.get(span.key, ())
        named = [kid for kid in kids if kid.is_attempt]
        if named or _follow_each_other(kids):
            return [_with_inner(kid, inside) for kid in sorted(named or kids, key=lambda kid: kid.begin_ns)]
    return []


def _follow_each_other(kids: Sequence[Span]) -> bool:
    """Whether there are several, one after the other; if two overlap, both tell of the same call."""
    ordered = sorted(kids, key=lambda kid: kid.begin_ns)
    return len(kids) > 1 and all(after.begin_ns >= before.end_ns for before, after in pairwise(ordered))


def _with_inner(span: Span, inside: Mapping[Key, Sequence[Span]]) -> list[Span]:
    found = [span]
    for one in found:
        found += inside.get(one.key, ())
    return found


def _attempt(one: Sequence[Span], request: CallFacts) -> Attempt:
    facts = _merged(one)
    begin_ns, end_ns = _times(one)
    return Attempt(
        provider_id=facts.provider or request.provider or UNKNOWN,
        model=facts.response_model or facts.request_model or request.response_model or request.request_model or UNKNOWN,
        http_status=facts.status or (None if facts.error_type else 200),
        latency_ms=(end_ns - begin_ns) / _MS,
        error_message=facts.error_type,
        cost_usd=facts.cost_usd,
        **{name: getattr(facts, name) for name in _ATTEMPT_COUNTS},
    )


# -- what the spans say together --------------------------------------------------------------------------------------


def _facts_of(calls: Sequence[Span], tries: Sequence[Sequence[Span]]) -> CallFacts:
    """What the outermost span says, and what it lacks from the others; of several attempts, from the last."""
    if not tries:
        return _merged(calls)
    of_tries = {span.key for one in tries for span in one}
    facts = _merged([*(span for span in calls if span.key not in of_tries), *tries[-1]], but={"cost_usd"})
    if facts.cost_usd is None:
        costs = [cost for one in tries if (cost := _merged(one).cost_usd) is not None]
        facts.cost_usd = sum(costs) if costs else None
    return facts


def _merged(calls: Sequence[Span], *, but: frozenset[str] | set[str] = frozenset()) -> CallFacts:
    first = calls[0].call or CallFacts()
    if len(calls) == 1:
        return first
    facts = msgspec.structs.replace(first)
    for span in calls[1:]:
        other = span.call or CallFacts()
        for name in _MERGED:
            if name not in but and getattr(facts, name) is None:
                setattr(facts, name, getattr(other, name))
        # The status of a failed attempt is not that of a call which was answered in the end.
        if facts.status is None and (facts.error_type is None) is (other.error_type is None):
            facts.status = other.status
        if span.scope in SDK_SCOPES and other.prompt_tokens is not None and other.completion_tokens is not None:
            # Some instrumentations add up the counts of a stream wrongly, and so the total.
            facts.total_tokens = None
            for name in _COUNTS:
                if getattr(other, name) is not None:
                    setattr(facts, name, getattr(other, name))
    return facts


def _belonging(outer: Span, spans: Spans) -> Span:
    """Returns what the call belongs to: what the span says itself, and what it does not from the next above it."""
    if not outer.parent_id:
        return outer
    belonging = msgspec.structs.replace(outer)
    for above in _ancestors(outer, spans):
        belonging.caller = belonging.caller or above.caller
        belonging.session = belonging.session or above.session
        belonging.chain = belonging.chain or above.chain
        belonging.agent = belonging.agent or above.agent
        belonging.service = belonging.service or above.service
    return belonging
