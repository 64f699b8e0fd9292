"""Reads what LiteLLM reports about one attempt, without importing LiteLLM: its payloads are plain dictionaries.

Prompts, responses and keys are never read into an entry: every field that is kept is named here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

import msgspec

from chainlog_async.entry.model import MAX_COUNT, MAX_NAME_CHARS

from .content_mask import without_content

MASTER_USER = "default_user_id"
"""The user of the proxy's master key; less specific than the end user that the client named."""

MAX_PAYLOAD_METADATA_BYTES = 3000
"""Largest metadata that is passed on, in bytes of JSON.

Less than what an entry may hold, see `entry.sanitize.MAX_METADATA_BYTES`, because redaction can lengthen it.
"""

# Errors whose status is LiteLLM's own, because there was no response.
_UNANSWERED_ERRORS = frozenset({"APIConnectionError", "Timeout", "APITimeoutError"})
# Raised by the Router when every deployment cools down; it has no status, and the proxy answers 429.
_COOLDOWN_ERRORS = frozenset({"RouterRateLimitError", "RouterRateLimitErrorBasic"})
# Errors of the proxy itself, about a key, a budget or an unknown model; errors of providers have other names.
_PROXY_ERRORS = frozenset(
    {
        *_COOLDOWN_ERRORS,
        "HTTPException",
        "ModelAccessDeniedHTTPException",
        "ModelAccessDeniedProxyException",
        "ProxyException",
        "ProxyModelNotFoundError",
    }
)
_CONNECTION_ERROR = "Connection error"

AttemptPosition = tuple[int, int]
"""The position of an attempt in its request: fallbacks before it, then retries within its model group."""


class ReportedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a provider, as LiteLLM reported it."""

    call_id: str
    trace_id: str
    position: AttemptPosition | None
    """None for a call without the Router."""
    may_pause: bool
    """Whether LiteLLM may sleep before the next attempt, because the request is retried."""
    is_partial: bool = False
    """Whether it was read from the exception alone; LiteLLM's own payload, if it comes, has more."""
    chain_name: str
    provider_id: str
    model: str
    status: int
    """As LiteLLM reports it to the client, 100 to 599."""
    answered: bool = True
    """False when the status is LiteLLM's own, because the provider sent none."""
    called_no_provider: bool = False
    """Whether it stands for a request that failed before its first attempt."""
    started_s: float
    ended_s: float
    """Start and end, in s since the epoch, UTC."""
    first_token_s: float | None = None
    error_message: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    streamed: bool | None = None
    caller: str | None = None
    metadata: Mapping[str, object] | None = None


def read_event(kwargs: Mapping[str, object], *, succeeded: bool) -> ReportedAttempt | None:
    """Returns the attempt of a success or failure callback of LiteLLM; None when it has no standard payload."""
    payload = _mapping(kwargs.get("standard_logging_object"))
    if not payload:
        return None
    params = _mapping(kwargs.get("litellm_params"))
    routing = _routing(params)
    errors = _mapping(payload.get("error_information"))
    error_class = _name(errors.get("error_class"))
    usage = _mapping(_mapping(payload.get("metadata")).get("usage_object"))
    provider = _name(payload.get("custom_llm_provider")) or "litellm"
    message = None if succeeded else _message(payload.get("error_str") or errors.get("error_message"), kwargs)
    started = _seconds(payload.get("startTime")) or time.time()
    ended = max(started, _seconds(payload.get("endTime")) or started)
    streamed = _streamed(payload)
    first = _seconds(payload.get("completionStartTime")) if streamed and succeeded else None
    call_id = _name(payload.get("litellm_call_id") or kwargs.get("litellm_call_id"))
    return ReportedAttempt(
        call_id=call_id,
        trace_id=_name(params.get("litellm_trace_id") or payload.get("trace_id")) or call_id,
        position=_position(routing),
        may_pause=_whole(routing.get("max_retries")) > 0,
        chain_name=_chain(routing, payload),
        provider_id=provider,
        model=_model(payload.get("model"), provider),
        status=200 if succeeded else _status(errors.get("error_code")),
        answered=succeeded or _was_answered(error_class, message),
        called_no_provider=not succeeded and error_class in _PROXY_ERRORS,
        started_s=started,
        ended_s=ended,
        first_token_s=first,
        error_message=message,
        prompt_tokens=_whole(payload.get("prompt_tokens")),
        completion_tokens=_whole(payload.get("completion_tokens")),
        total_tokens=_whole(payload.get("total_tokens")) or None,
        cached_tokens=_cached_tokens(usage),
        cost_usd=_cost(payload.get("response_cost")),
        streamed=streamed,
        caller=_caller(_mapping(payload.get("metadata")), payload.get("end_user") or _parameter(payload, "user")),
        metadata=_metadata(payload, routing),
    )


def read_failure(request: Mapping[str, object], error: BaseException) -> ReportedAttempt:
    """Returns a failed attempt, or a request that failed before its first, from the exception and the arguments."""
    routing = _routing(request)
    provider = _name(getattr(error, "llm_provider", None)) or "litellm"
    message = _message(str(error), request)
    ended = time.time()
    call_id = _name(request.get("litellm_call_id"))
    return ReportedAttempt(
        call_id=call_id,
        trace_id=_name(request.get("litellm_trace_id")) or call_id,
        position=_position(routing),
        may_pause=_whole(routing.get("max_retries")) > 0,
        is_partial=True,
        chain_name=_chain(routing, request),
        provider_id=provider,
        model=_model(request.get("model"), provider),
        status=status_of(error),
        answered=_was_answered(type(error).__name__, message),
        started_s=min(ended, _call_started(request) or ended),
        ended_s=ended,
        error_message=message,
        caller=_caller(routing, request.get("user")),
        metadata={"call_type": _name(request.get("call_type"))} if request.get("call_type") else None,
    )


def status_of(error: BaseException) -> int:
    """Returns the HTTP status that LiteLLM gives an exception, or 500."""
    if type(error).__name__ in _COOLDOWN_ERRORS:
        return 429
    return _status(getattr(error, "status_code", None) or getattr(error, "code", None))


def _mapping(value: object) -> Mapping[str, object]:
    # Nearly all are dictionaries or None, and isinstance with an abstract class is slow.
    if value is None or isinstance(value, dict):
        return value or {}
    return value if isinstance(value, Mapping) else {}


def _name(value: object) -> str:
    """Returns text that fits a name: no NUL, no lone surrogate, not too long; "" for anything but text."""
    if not isinstance(value, str):
        return ""
    if value.isascii() and "\0" not in value:
        return value[:MAX_NAME_CHARS]
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:MAX_NAME_CHARS]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # NaN fails the comparison too.
    return value if -MAX_COUNT <= value <= MAX_COUNT else None


def _whole(value: object) -> int:
    number = _number(value)
    return 0 if number is None else max(0, int(number))


def _seconds(value: object) -> float | None:
    """Returns a time in s since the epoch; LiteLLM's datetimes are naive and local."""
    if isinstance(value, datetime):
        return value.timestamp()
    number = _number(value)
    return None if number is None or number <= 0 else float(number)


def _status(code: object) -> int:
    """Returns an HTTP status; LiteLLM's codes are strings, and some are not a status at all."""
    try:
        status = int(code) if isinstance(code, str | int) else 500
    except ValueError:
        return 500
    return status if 100 <= status <= 599 else 500


def _was_answered(error_class: str, message: str | None) -> bool:
    return error_class not in _UNANSWERED_ERRORS and _CONNECTION_ERROR not in (message or "")


def _cost(value: object) -> float | None:
    cost = _number(value)
    return None if cost is None or cost < 0 else float(cost)


def _message(text: object, kwargs: Mapping[str, object]) -> str | None:
    if not isinstance(text, str) or not text:
        return None
    texts = (kwargs.get("messages"), kwargs.get("input"), kwargs.get("prompt"))
    return without_content(text.encode("utf-8", "replace").decode(), texts)


def _routing(params: Mapping[str, object]) -> Mapping[str, object]:
    """Returns the metadata of the Router and the proxy about the request, which for some calls has another name."""
    other = _mapping(params.get("litellm_metadata"))
    metadata = _mapping(params.get("metadata"))
    return other if "model_group" in other and "model_group" not in metadata else metadata


def _position(routing: Mapping[str, object]) -> AttemptPosition | None:
    if "attempted_retries" not in routing:
        return None
    return _whole(routing.get("attempted_fallbacks")), _whole(routing.get("attempted_retries"))


def _chain(routing: Mapping[str, object], payload: Mapping[str, object]) -> str:
    """Returns the client's own name for the chain, else the requested model group, else the name of the model."""
    names = (
        routing.get("chain_name"),
        _mapping(routing.get("requester_metadata")).get("chain_name"),
        routing.get("original_model_group"),
        routing.get("model_group"),
        payload.get("model_group"),
        payload.get("model"),
    )
    return next((name for name in map(_name, names) if name), "default")


def _model(model: object, provider: str) -> str:
    """Removes the name of the provider from the front, where the Router puts it."""
    return _name(model).removeprefix(f"{provider}/") or "unknown"


def _streamed(payload: Mapping[str, object]) -> bool:
    return payload.get("stream") is True or _parameter(payload, "stream") is True


def _parameter(payload: Mapping[str, object], name: str) -> object:
    return _mapping(payload.get("model_parameters")).get(name)


def _cached_tokens(usage: Mapping[str, object]) -> int | None:
    cached = _number(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
    return None if cached is None else _whole(cached)


def _caller(metadata: Mapping[str, object], end_user: object) -> str | None:
    user = _name(metadata.get("user_api_key_user_id"))
    names = (
        _name(metadata.get("user_api_key_alias")),
        user if user != MASTER_USER else "",
        _name(metadata.get("user_api_key_end_user_id")),
        _name(end_user),
        _name(metadata.get("user_api_key_team_alias")),
        user,
    )
    return next((name for name in names if name), None)


def _call_started(request: Mapping[str, object]) -> float | None:
    details = _mapping(getattr(request.get("litellm_logging_obj"), "model_call_details", None))
    return _seconds(details.get("api_call_start_time"))


def _metadata(payload: Mapping[str, object], routing: Mapping[str, object]) -> Mapping[str, object]:
    described = _mapping(payload.get("metadata"))
    texts = {
        "call_type": payload.get("call_type"),
        "model_group": payload.get("model_group") or routing.get("model_group"),
        "deployment_id": payload.get("model_id"),
        "trace_id": payload.get("trace_id"),
        "session_id": payload.get("session_id"),
        "team": described.get("user_api_key_team_alias"),
        "end_user": payload.get("end_user") or described.get("user_api_key_end_user_id"),
    }
    kept: dict[str, object] = {name: text for name, value in texts.items() if (text := _name(value))}
    tags = payload.get("request_tags")
    # The proxy adds the client's User-Agent to the tags that the client set.
    if isinstance(tags, list) and (names := [tag for tag in map(_name, tags) if tag and tag[:11] != "User-Agent:"]):
        kept["tags"] = names
    if payload.get("cache_hit") is True:
        kept["cache_hit"] = True
    fits = len(msgspec.json.encode(kept)) <= MAX_PAYLOAD_METADATA_BYTES
    return kept if fits else {name: kept[name] for name in ("call_type", "deployment_id") if name in kept}
