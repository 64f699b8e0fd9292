"""Pairs a call that an SDK tells of in a trace of its own with the call that an instrumentation tells of around it.

Some instrumentations do not make their span the current one, so the SDK begins a trace. A call that failed has no
response id, and some instrumentations never tell it: then only the process, the model, the times and what both say
about the outcome are left. The span of the SDK ends, and so arrives, before the one around it.
"""

from __future__ import annotations

from typing import Final

from .span import SDK_SCOPES, CallFacts, Span, is_within

MAX_UNPAIRED: Final = 32
"""How many calls of a process and a model are kept, the newest ones."""

_TOKENS: Final = ("prompt_tokens", "cached_tokens", "cache_write_tokens")
"""Counts that must be equal where both tell them. Those of the answer are not: one may be wrong in a stream."""

_Place = tuple[str, str, str]
_Key = tuple[str, str]


class SdkSpans:
    """The calls that SDKs told of in traces of their own, and their pairs. Not thread-safe."""

    def __init__(self) -> None:
        self._unpaired: dict[_Place, list[Span]] = {}
        self._places: dict[_Key, _Place] = {}
        """Where those that have no pair are; what is remembered of a call that was logged does not tell it."""
        self._pairs: dict[_Key, Span] = {}

    def add(self, span: Span) -> bool:
        """Keeps a call of an SDK in a trace of its own; returns whether it is one."""
        if span.parent_id or span.scope not in SDK_SCOPES:
            return False
        place = self._places[span.key] = _place_of(span)
        unpaired = self._unpaired.setdefault(place, [])
        unpaired.append(span)
        if len(unpaired) > MAX_UNPAIRED:
            self._remove(unpaired[0])
        return True

    def may_pair(self, span: Span) -> bool:
        """Returns whether there are calls with which this one could be paired."""
        return bool(self._unpaired) and span.scope not in SDK_SCOPES and _place_of(span) in self._unpaired

    def pair(self, outer: Span) -> None:
        """Pairs a call with that of an SDK which fits into it best, if any does."""
        fitting = [inner for inner in self._unpaired[_place_of(outer)] if _is_same(inner, outer)]
        if not fitting:
            return
        inner = max(fitting, key=lambda one: one.end_ns - one.start_ns)
        self._pairs[outer.key] = inner
        self._pairs[inner.key] = outer
        self._remove(inner)

    def paired_with(self, span: Span) -> Span | None:
        """Returns the other one of a pair; None for a call that has none."""
        return self._pairs.get(span.key) if self._pairs else None

    def forget(self, span: Span) -> None:
        """Forgets a span, and so its pair."""
        if (other := self._pairs.pop(span.key, None) if self._pairs else None) is not None:
            self._pairs.pop(other.key, None)
        else:
            self._remove(span)

    def _remove(self, span: Span) -> None:
        place = self._places.pop(span.key, None) if self._places else None
        if place is None:
            return
        unpaired = [one for one in self._unpaired.get(place, ()) if one is not span]
        if unpaired:
            self._unpaired[place] = unpaired
        else:
            self._unpaired.pop(place, None)


def _place_of(span: Span) -> _Place:
    call = span.call or CallFacts()
    return span.source, call.provider or "", call.request_model or ""


def _is_same(inner: Span, outer: Span) -> bool:
    if inner.trace_id == outer.trace_id or inner.call is None or outer.call is None or not is_within(inner, outer):
        return False
    if inner.end_ns - inner.start_ns > outer.end_ns - outer.start_ns:
        return False
    one, other = inner.call, outer.call
    if (one.error_type is None) is not (other.error_type is None):
        return False
    if one.response_id and other.response_id:
        # Equal ones are found by them.
        return False
    return all(
        getattr(one, name) == getattr(other, name)
        for name in _TOKENS
        if getattr(one, name) is not None and getattr(other, name) is not None
    )
