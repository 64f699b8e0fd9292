"""LiteLLM's callbacks as its tests need them: made up, or real ones that were recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from chainlog_async import RequestLogEntry
from chainlog_async.entry.line import encode_line
from chainlog_async.integrations._litellm.attempt import LEFT_STATUS, AttemptPosition, BegunAttempt, ReportedAttempt
from chainlog_async.integrations._litellm.attempt_join import AttemptJoin
from chainlog_async.integrations._litellm.payload import read_event

BEGIN_S = 1_795_388_240.0
"""A time in s since the epoch."""


def kwargs_of(event: dict[str, object]) -> dict[str, object]:
    """A recorded callback's first argument."""
    return {
        "standard_logging_object": event["standard_logging_object"],
        "litellm_params": {"metadata": event["litellm_params.metadata"]},
    }


def recorded(path: Path) -> Iterator[tuple[str, ReportedAttempt]]:
    """The scenario and the try of each recorded callback of the Router's."""
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if "standard_logging_object" in event:
            item = read_event(kwargs_of(event), succeeded="success" in event["callback"])
            assert item is not None
            yield event["scenario"], item


def a_try(call_id: str, position: AttemptPosition | None = (0, 0), **values: object) -> ReportedAttempt:
    """A try with the given values and some others; it succeeded unless `status` says otherwise."""
    fields = {
        "call_id": call_id,
        "trace_id": "trace",
        "position": position,
        "may_pause": False,
        "chain_name": "default",
        "provider_id": "groq",
        "model": "m",
        "status": 200,
        "started_s": 1_700_000_000.0,
        "ended_s": 1_700_000_000.5,
        **values,
    }
    return ReportedAttempt(**fields)  # type: ignore[arg-type]  # a test that gives a wrong type fails all the same


def a_begun(call_id: str, position: AttemptPosition | None = (0, 0), **values: object) -> BegunAttempt:
    """The beginning of such a try."""
    fields = {
        "call_id": call_id,
        "trace_id": "trace",
        "position": position,
        "provider_id": "groq",
        "model": "m",
        **values,
    }
    return BegunAttempt(**fields)  # type: ignore[arg-type]  # a test that gives a wrong type fails all the same


class Joined:
    """A window with a clock that stands still, and the entries that came out; each can be stored."""

    def __init__(self, *, max_waiting: int = 100) -> None:
        self.now = 0.0
        self.entries: list[RequestLogEntry] = []
        self.window = AttemptJoin(self._take, max_waiting=max_waiting, clock=lambda: self.now)

    def _take(self, entry: RequestLogEntry) -> None:
        encode_line(entry)
        self.entries.append(entry)

    def expire_at(self, now: float) -> None:
        """Lets time pass."""
        self.now = now
        self.window.expire()

    def take(self, item: ReportedAttempt) -> None:
        """A callback for the try."""
        (self.window.succeeded if item.status in {200, LEFT_STATUS} else self.window.failed)(item)


def payload(call_id: str, status: int = 200, *, at_s: float = 0.0, **values: object) -> dict[str, object]:
    """LiteLLM's payload of an attempt that began so many seconds after a fixed time, and took one."""
    failed = {"error_str": "mock", "error_information": {"error_code": str(status), "error_class": "RateLimitError"}}
    return {
        "litellm_call_id": call_id,
        "trace_id": f"trace of {call_id}",
        "session_id": "",
        "status": "success" if status < 400 else "failure",
        "custom_llm_provider": "openai",
        "model": "m",
        "startTime": BEGIN_S + at_s,
        "endTime": BEGIN_S + at_s + 1,
        "metadata": {},
        **({} if status < 400 else failed),
        **values,
    }
