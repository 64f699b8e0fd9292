"""Reads a request from a row of an engine, whatever program stored it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec

from chainlog_async.entry.model import Attempt

from .model import FIRST_COLUMNS, LoggedAttempt, RequestLogRow

T = TypeVar("T")

_FIRST = len(FIRST_COLUMNS)


def request_of_row(row: Sequence[object]) -> RequestLogRow:
    """The request that a row of `COLUMNS` is, whichever program stored it."""
    first, later = row[:_FIRST], row[_FIRST:]
    *numbered, error_message, request_id, caller, ttft, cost, streamed, cached, metadata, trail = first
    key, timestamp, chain, provider, model, prompt, completion, total, latency, status, attempts = numbered
    written, written_1h, reasoning, audio_in, audio_out, finish_reason, tier, response_id, session_id, tags, source = (
        later
    )
    return RequestLogRow(
        cast("int", key),
        whole_number(timestamp),
        cast("str", chain),
        cast("str", provider),
        cast("str", model),
        whole_number(prompt),
        whole_number(completion),
        whole_number(total),
        whole_number(latency),
        whole_number(status),
        whole_number(attempts),
        cast("str | None", error_message),
        cast("str | None", request_id),
        cast("str | None", caller),
        _optional_whole(ttft),
        None if cost is None else float(cast("float", cost)),
        None if streamed is None else bool(streamed),
        _optional_whole(cached),
        _decoded(metadata, _metadata),
        _attempts(_decoded(trail, _trail)),
        _optional_whole(written),
        _optional_whole(written_1h),
        _optional_whole(reasoning),
        _optional_whole(audio_in),
        _optional_whole(audio_out),
        cast("str | None", finish_reason),
        cast("str | None", tier),
        cast("str | None", response_id),
        cast("str | None", session_id),
        _decoded(tags, _tags),
        None if cost is None else cast("str | None", source) or "gateway",
    )


def whole_number(value: object) -> int:
    """The number, rounded half up."""
    # 429chain binds doubles, and SQLite stores those with a fraction as they are.
    return value if isinstance(value, int) else math.floor(cast("float", value) + 0.5)


def logged_attempt(attempt: Attempt) -> LoggedAttempt:
    """The attempt as it is read from the log."""
    logged = LoggedAttempt(*msgspec.structs.astuple(attempt))
    source = None if logged.cost_usd is None else logged.cost_source or "gateway"
    return logged if source == logged.cost_source else msgspec.structs.replace(logged, cost_source=source)


def _optional_whole(value: object) -> int | None:
    return None if value is None else whole_number(value)


_metadata = msgspec.json.Decoder(dict[str, object])
_trail = msgspec.json.Decoder(list[Attempt])
_tags = msgspec.json.Decoder(list[str])


def _attempts(trail: list[Attempt] | None) -> list[LoggedAttempt] | None:
    return None if trail is None else [logged_attempt(attempt) for attempt in trail]


def _decoded(text: object, decoder: msgspec.json.Decoder[T]) -> T | None:
    # Another program may have stored anything there; the request is still shown.
    try:
        return None if text is None else decoder.decode(cast("str", text))
    except (msgspec.DecodeError, TypeError):
        return None
