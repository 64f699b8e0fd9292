"""Finds the spans that are one call, and holds each until those that tell of it too should have arrived.

A span is sent when it has ended, so children come before their parents, often in another request. Spans are one call:

- ancestor and descendant, whatever spans are between them, which is how two instrumentations tell of a call, and how
  attempts at providers are sent;
- in one trace, with the same provider and response id at the same time. The id alone says nothing: providers repeat
  ids;
- in two traces, if in addition the same process sent both, by two instrumentations, one lasted within the other, and
  neither is told of again in its own trace;
- in two traces, if an SDK that makes spans itself began a trace while another instrumentation of the same process told
  of a call with the same model and outcome, and nothing contradicts that, although one of them has no response id;
- a stream that is told of at its end, by a span of no length, and the call that began it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Final

from chainlog_async.entry.model import RequestLogEntry

from .entry import MAX_DEPTH, Key, entry_of
from .sdk_spans import SdkSpans
from .span import SAME_TIME_NS, CallFacts, Span, is_within

HOLD_S: Final = 6.0
"""How long a call waits for its parent, in seconds. SDKs send what has ended every 5 s."""

REMEMBER_S: Final = 60.0
"""How long the spans of a trace are remembered after its last one, for those that come late, in seconds."""

MAX_SPANS: Final = 100_000
"""How many spans wait and are remembered. Beyond that the oldest traces are forgotten, after their calls are logged."""

MAX_FAMILY: Final = 200
"""How many spans may tell of one call."""

MAX_ALIKE: Final = 32
"""How many calls with the same id of the answer are compared, the newest ones: some providers repeat a single id."""

STREAM_GAP_NS: Final = 1_000_000_000
"""How long after the end of its first span the reading of a stream may begin, in ns."""

_LOGGED: Final = CallFacts()
"""What is remembered of a call that was logged."""


_NO_CHILDREN: Final[dict[str, list[Span]]] = {}


class _Trace:
    __slots__ = ("answers", "children", "last_s", "spans", "stream_ends", "waiting")

    def __init__(self) -> None:
        self.spans: list[Span] = []
        # Most traces have none of these, and an empty container of its own costs time, also when garbage is collected.
        self.children: dict[str, list[Span]] = _NO_CHILDREN
        """By the id of the parent."""
        self.answers: tuple[str, ...] = ()
        """Its keys in `SpanJoin._by_answer`."""
        self.stream_ends: tuple[Span, ...] = ()
        self.waiting = 0
        """How many of its calls are not logged."""
        self.last_s = 0.0


class SpanJoin:
    """Joins spans into entries. Times are those of a monotonic clock, in seconds. Not thread-safe."""

    def __init__(self, *, hold_s: float = HOLD_S, max_spans: int = MAX_SPANS) -> None:
        self._hold_s = hold_s
        self._max_spans = max_spans
        self._spans: dict[Key, Span] = {}
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        """The one that got a span last is the last."""
        self._due: deque[tuple[float, Span]] = deque()
        self._by_answer: dict[str, list[Span]] = {}
        """By provider and id of the answer."""
        self._sdk_spans = SdkSpans()
        self._early: deque[RequestLogEntry] = deque()

    def __len__(self) -> int:
        """How many spans are held."""
        return len(self._spans)

    def add(self, spans: Iterable[Span], now_s: float) -> None:
        """Adds spans. One that is known is ignored: senders repeat what they got no answer for."""
        for span in spans:
            key = (span.trace_id, span.span_id)
            if key in self._spans:
                continue
            self._spans[key] = span
            trace = self._traces.get(span.trace_id)
            if trace is None:
                trace = self._traces[span.trace_id] = _Trace()
            else:
                self._traces.move_to_end(span.trace_id)
            trace.last_s = now_s
            trace.spans.append(span)
            if span.parent_id:
                if trace.children is _NO_CHILDREN:
                    trace.children = {}
                trace.children.setdefault(span.parent_id, []).append(span)
            if span.call is not None:
                self._add_call(span, span.call, trace, now_s)
        while len(self._spans) > self._max_spans:
            self._forget_oldest()

    def _add_call(self, span: Span, call: CallFacts, trace: _Trace, now_s: float) -> None:
        trace.waiting += 1
        self._due.append((now_s + self._hold_s, span))
        if span.begin_ns != span.start_ns:
            trace.stream_ends += (span,)
        if call.response_id:
            answer = _answer_of(call)
            alike = self._by_answer.get(answer)
            if alike is None:
                self._by_answer[answer] = [span]
            else:
                alike.append(span)
                del alike[:-MAX_ALIKE]
            trace.answers += (answer,)

        if not self._sdk_spans.add(span) and self._sdk_spans.may_pair(span) and not self._has_relatives(span):
            self._sdk_spans.pair(span)

    def due(self, now_s: float) -> Iterator[RequestLogEntry]:
        """Yields the entries of the calls that have waited long enough, and forgets what is old."""
        while self._early:
            yield self._early.popleft()
        while self._due and self._due[0][0] <= now_s:
            if (entry := self._logged(self._due.popleft()[1])) is not None:
                yield entry
        while self._traces:
            oldest = next(iter(self._traces.values()))
            if oldest.waiting or oldest.last_s + REMEMBER_S > now_s:
                break
            self._forget_oldest()

    def next_due_s(self) -> float | None:
        """When the next call will have waited long enough; None when none waits."""
        if self._early:
            return 0.0
        return self._due[0][0] if self._due else None

    def waiting_since_s(self) -> float | None:
        """When the first of the calls that wait was added; None when none waits."""
        return self._due[0][0] - self._hold_s if self._due else None

    def _logged(self, span: Span) -> RequestLogEntry | None:
        """Returns the entry of the call that the span tells of; None when that was logged before."""
        if span.call is _LOGGED or self._spans.get(span.key) is not span:
            return None
        if self._is_alone(span):
            alone = entry_of([span], self._spans)
            span.call = _LOGGED
            self._traces[span.trace_id].waiting -= 1
            return alone
        calls, resends = self._family(span)
        waiting = [one for one in calls if one.call is not _LOGGED]
        # A span that comes late tells of a row that is there: it is no other call.
        entry = entry_of(calls, self._spans, resends=resends) if len(waiting) == len(calls) else None
        for one in waiting:
            one.call = _LOGGED
            self._traces[one.trace_id].waiting -= 1
        return entry

    def _forget_oldest(self) -> None:
        """Forgets the trace that got no span for the longest time; its calls that wait are logged as they are."""
        trace_id = next(iter(self._traces))
        trace = self._traces[trace_id]
        if trace.waiting:
            self._early += [entry for span in trace.spans if span.call and (entry := self._logged(span)) is not None]
        for answer in trace.answers:
            if answer in self._by_answer:
                alike = [span for span in self._by_answer.pop(answer) if span.trace_id != trace_id]
                if alike:
                    self._by_answer[answer] = alike
        for span in trace.spans:
            del self._spans[span.key]
            self._sdk_spans.forget(span)
        del self._traces[trace_id]

    # -- which spans are one call -------------------------------------------------------------------------------------

    def _family(self, span: Span) -> tuple[list[Span], int]:
        """Returns all spans that tell of the call, and how often its HTTP request was sent again."""
        found = {span.key: span}
        resends = 0
        for one in (left := [span]):
            below, again = self._calls_below(one)
            resends = max(resends, again)
            paired = self._sdk_spans.paired_with(one)
            beside = (*self._same_answer(one), *self._rest_of_stream(one), *([paired] if paired is not None else ()))
            for other in (*self._call_above(one), *below, *beside):
                if other.key not in found and len(found) < MAX_FAMILY:
                    found[other.key] = other
                    left.append(other)
        return left, resends

    def _is_alone(self, span: Span) -> bool:
        """Whether nothing else can tell of the call; most are, and this is quick."""
        call = span.call
        trace = self._traces[span.trace_id]
        if trace.stream_ends or span.span_id in trace.children or any(self._call_above(span)):
            return False
        if self._sdk_spans.paired_with(span) is not None:
            return False
        return call is None or not call.response_id or len(self._by_answer.get(_answer_of(call), ())) < 2

    def _call_above(self, span: Span) -> Iterator[Span]:
        above = self._spans.get((span.trace_id, span.parent_id))
        for _ in range(MAX_DEPTH):
            if above is None:
                return
            if above.call is not None:
                yield above
                return
            above = self._spans.get((above.trace_id, above.parent_id))

    def _calls_below(self, span: Span) -> tuple[list[Span], int]:
        children = self._traces[span.trace_id].children
        calls: list[Span] = []
        resends = 0
        if span.span_id in children:
            left = {span.span_id: None}
            for parent_id in (order := [span.span_id]):
                for kid in children.get(parent_id, ()):
                    if kid.call is not None:
                        calls.append(kid)
                    elif kid.span_id not in left and len(left) < MAX_FAMILY:
                        left[kid.span_id] = None
                        order.append(kid.span_id)
                        resends = max(resends, kid.resends or 0)
        return calls, resends

    def _same_answer(self, span: Span) -> Iterator[Span]:
        call = span.call
        if call is None or not call.response_id:
            return
        alike = self._by_answer.get(_answer_of(call), ())
        for other in alike:
            if other is not span and other.trace_id == span.trace_id and _overlap(span, other):
                yield other
        if self._has_relatives(span):
            return
        for other in alike:
            is_other = other.trace_id != span.trace_id and other.scope != span.scope and other.source == span.source
            if is_other and is_within(span, other) and not self._has_relatives(other):
                yield other

    def _has_relatives(self, span: Span) -> bool:
        """Whether its own trace tells of the call twice already; then what is alike elsewhere is another call."""
        return any(self._call_above(span)) or bool(self._calls_below(span)[0])

    def _rest_of_stream(self, span: Span) -> Iterator[Span]:
        trace = self._traces[span.trace_id]
        for end in trace.stream_ends:
            if end.parent_id != span.parent_id or end.scope != span.scope:
                continue
            siblings = trace.children.get(end.parent_id, trace.spans)[-MAX_FAMILY:]
            begins = [one for one in siblings if _begins(one, end)]
            begin = max(begins, key=lambda one: one.end_ns, default=None)
            if begin is not None and (span is begin or span is end):
                yield end if span is begin else begin


def _answer_of(call: CallFacts) -> str:
    return f"{call.provider or ''}\0{call.response_id}"


def _overlap(one: Span, other: Span) -> bool:
    return one.begin_ns < other.end_ns + SAME_TIME_NS and other.begin_ns < one.end_ns + SAME_TIME_NS


def _begins(begin: Span, end: Span) -> bool:
    """Whether a span is the call that began the stream, of which another tells at its end."""
    if begin.call is None or end.call is None or begin is end or begin.parent_id != end.parent_id:
        return False
    is_open = begin.call is _LOGGED or begin.call.completion_tokens is None
    waited_ns = end.begin_ns - begin.end_ns
    return (
        is_open
        and begin.scope == end.scope
        and begin.call.request_model == end.call.request_model
        and -SAME_TIME_NS <= waited_ns <= STREAM_GAP_NS
    )
