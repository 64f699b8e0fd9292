"""Converts rows of LiteLLM's table ``LiteLLM_SpendLogs`` to entries.

Its keys and responses are never read, and its messages only to mask them in the error message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.errors import InvalidEntryError
from chainlog_async.integrations._litellm.entry import entry_of, is_logged
from chainlog_async.integrations._litellm.payload import read_event

__all__ = ["is_logged", "spend_log_entry"]

_COPIED = ("custom_llm_provider", "model", "model_group", "model_id", "call_type", "session_id", "end_user")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def spend_log_entry(row: Mapping[str, object], seconds_of: Callable[[object, str], float]) -> RequestLogEntry:
    """Returns the entry of a row; its JSON columns may be text. Raises `InvalidEntryError` when it is not such a row.

    `seconds_of` converts a time, given with its column's name, to s since the epoch.
    """
    missing = [name for name in ("request_id", "startTime", "endTime") if row.get(name) is None]
    if missing:
        raise InvalidEntryError(f"not a row of LiteLLM_SpendLogs: it has no {', '.join(missing)}")
    metadata = _json(row.get("metadata"))
    described = metadata if isinstance(metadata, Mapping) else {}
    errors = described.get("error_information")
    ended = seconds_of(row["endTime"], "endTime")
    first = row.get("completionStartTime")
    first_s = None if first is None else seconds_of(first, "completionStartTime")
    payload = {
        **{name: row.get(name) for name in _COPIED},
        **{name: _number(row.get(name), name) for name in _COUNTS},
        # request_id is usually the provider's own id, and providers reuse ids.
        "id": row["request_id"],
        "litellm_call_id": row.get("litellm_call_id") or row["request_id"],
        "startTime": seconds_of(row["startTime"], "startTime"),
        "endTime": ended,
        "completionStartTime": first_s,
        "stream": first_s is not None and first_s < ended,
        "response_cost": _number(row.get("spend"), "spend"),
        "error_information": errors,
        "metadata": {"user_api_key_user_id": row.get("user"), **described},
        "request_tags": _json(row.get("request_tags")),
        "cache_hit": str(row.get("cache_hit")).lower() in {"true", "t", "1"},
    }
    # LiteLLM's cache and its refusals are free, so what was paid for went to the provider, at least in part.
    was_called = bool(payload["response_cost"])
    succeeded = (row.get("status") or described.get("status") or "success") != "failure"
    item = read_event(
        {
            "standard_logging_object": payload,
            "litellm_params": {"metadata": described},
            "messages": _json(row.get("messages")),
            "api_call_start_time": payload["startTime"] if was_called else None,
        },
        succeeded=succeeded,
    )
    if item is None:
        raise InvalidEntryError("not a row of LiteLLM_SpendLogs")
    return entry_of([item])


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _number(value: object, name: str) -> float | None:
    if value is None:
        return None
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        raise InvalidEntryError(f"{name} is {value!r}; give a number") from None
