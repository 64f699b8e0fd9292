"""Reads and joins what LiteLLM's `generic_api` callback posts: its payload of each attempt, without the arguments.

The payload has no position in the Router, and neither the beginning of an attempt nor the end of a failed request is
posted. Under the proxy all attempts of a request have one call id. Without it they have one trace id, which is of that
request alone unless the client named a session; then an attempt that failed and a later one of that trace belong
together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chainlog_async.entry.json_input import json_value
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.errors import InvalidEntryError

from .attempt import LEFT_STATUS, ReportedAttempt
from .attempt_join import RETRY_HOLD_S, AttemptJoin
from .payload import read_event
from .values import mapping

ORDER_S: Final = 2.0
"""How long attempts wait for those before them, in seconds: with `log_format: single` they arrive in any order."""

TICK_S: Final = 1.0
"""How often it is looked whose next attempt did not come, in seconds."""

HOLD_S: Final = ORDER_S + RETRY_HOLD_S + TICK_S
"""How long a failed attempt waits for the next one, in seconds."""

MAX_HELD: Final = 50_000
"""How many attempts wait for their order; beyond that, those that came first wait no longer."""


def attempt_of(document: bytes) -> ReportedAttempt | None:
    """Returns the attempt of a payload; None for ``null``, which LiteLLM posts when it has none.

    Raises `InvalidEntryError` when it is no payload of LiteLLM's.
    """
    value = json_value(document)
    if value is None:
        return None
    payload = mapping(value)
    status = payload.get("status")
    if status not in ("success", "failure") or not payload.get("litellm_call_id"):
        if "modelParameters" in payload:
            raise InvalidEntryError("this is LiteLLM's old payload; remove generic_api_use_v1 from its settings")
        raise InvalidEntryError(
            "this is no payload of LiteLLM: its status is 'success' or 'failure', and it has a litellm_call_id"
        )
    requested = mapping(mapping(payload.get("metadata")).get("requester_metadata"))
    attempt = read_event(
        {
            "standard_logging_object": payload,
            "messages": payload.get("messages"),
            "litellm_params": {"metadata": {"chain_name": requested.get("chain_name")}},
        },
        succeeded=status == "success",
    )
    if attempt is None:
        return None
    trace_id, session_id = payload.get("trace_id"), payload.get("session_id")
    return msgspec.structs.replace(
        attempt,
        # Neither the end of a request nor an inner call is told apart.
        route="",
        is_inner=False,
        may_pause=True,
        owns_trace=bool(trace_id) and trace_id != session_id,
    )


class PostedJoin:
    """Joins posted attempts into entries. Times are those of a monotonic clock, in seconds. Not thread-safe."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._entries: deque[RequestLogEntry] = deque()
        self._join = AttemptJoin(self._entries.append, clock=lambda: self._now_s)
        self._held: dict[str, list[ReportedAttempt]] = {}
        """Attempts of each trace that wait for their order."""
        self._held_since: deque[tuple[float, str]] = deque()
        self._number = 0

    def add(self, items: Iterable[ReportedAttempt], now_s: float) -> None:
        """Adds attempts; one that is known is ignored, because LiteLLM posts again what it got no answer for."""
        for item in items:
            name = item.trace_id or item.call_id
            if name not in self._held:
                self._held[name] = []
                self._held_since.append((now_s, name))
            self._held[name].append(item)
            self._number += 1
        while self._number > MAX_HELD:
            self._join_first(now_s)

    def due(self, now_s: float) -> Iterator[RequestLogEntry]:
        """Yields the requests that have ended, and those whose next attempt did not come in time."""
        while self._held_since and self._held_since[0][0] + ORDER_S <= now_s:
            self._join_first(now_s)
        self._now_s = now_s
        if now_s == float("inf"):
            self._join.flush()
        else:
            self._join.expire()
        while self._entries:
            yield self._entries.popleft()

    def next_due_s(self) -> float | None:
        """When more may be due; None when nothing waits."""
        if self._entries:
            return 0.0
        times = [self._held_since[0][0] + ORDER_S] if self._held_since else []
        if len(self._join):
            times.append(self._now_s + TICK_S)
        return min(times, default=None)

    def waiting_since_s(self) -> float | None:
        """When the first of the attempts that wait was added; None when none waits."""
        joined_s = self._join.waiting_since_s()
        times = [] if joined_s is None else [joined_s - ORDER_S - TICK_S]
        if self._held_since:
            times.append(self._held_since[0][0])
        return min(times, default=None)

    def _join_first(self, now_s: float) -> None:
        since_s, name = self._held_since.popleft()
        attempts = self._held.pop(name)
        self._number -= len(attempts)
        self._now_s = min(now_s, since_s + ORDER_S + TICK_S)
        for item in sorted(attempts, key=lambda one: one.started_s):
            if item.status < 400 or item.status == LEFT_STATUS:
                self._join.succeeded(item)
            else:
                self._join.failed(item)
