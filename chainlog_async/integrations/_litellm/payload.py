"""Reads what LiteLLM reports about one attempt, without importing LiteLLM: its payloads are plain dictionaries.

Prompts, responses and keys are never read into an entry: every field that is kept is named here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from .attempt import LEFT_STATUS, UNKNOWN_PROVIDER, BegunAttempt, ReportedAttempt
from .content_mask import without_content
from .request_facts import (
    caller_of,
    chain_of,
    described_by,
    facts_of_key,
    is_inner_call,
    metadata_of,
    position_of,
    request_tags,
    route_of,
    routing_of,
)
from .usage import finish_reason_of, response_id_of, service_tier_of, tags_of, token_classes
from .values import cost, error_status, first_name, mapping, name, seconds, whole

# LiteLLM's own word for what the proxy refused; guardrails refuse after the provider was called, too.
_REFUSED = "litellm_no_upstream_llm_call"
# Errors whose status is LiteLLM's own, because there was no response.
_UNANSWERED_ERRORS = frozenset({"APIConnectionError", "ReadError", "Timeout", "APITimeoutError"})
# Raised by the Router when every deployment cools down; it has no status, and the proxy answers 429.
_COOLDOWN_ERRORS = frozenset({"RouterRateLimitError", "RouterRateLimitErrorBasic"})
# Errors of the proxy itself, for payloads without its word; errors of providers have other names.
_PROXY_ERRORS = frozenset(
    {
        *_COOLDOWN_ERRORS,
        "BudgetExceededError",
        "HTTPException",
        "ModelAccessDeniedHTTPException",
        "ModelAccessDeniedProxyException",
        "ProxyException",
        "ProxyMissingRequiredParamError",
        "ProxyModelNotFoundError",
        "ProxyRateLimitError",
    }
)
_CONNECTION_ERROR = "Connection error"


def read_event(kwargs: Mapping[str, object], *, succeeded: bool) -> ReportedAttempt | None:
    """Returns the attempt of a success or failure callback of LiteLLM; None when it has no standard payload."""
    payload = mapping(kwargs.get("standard_logging_object"))
    if not payload:
        return None
    params = mapping(kwargs.get("litellm_params"))
    routing = routing_of(params)
    described = mapping(payload.get("metadata"))
    errors = mapping(payload.get("error_information"))
    error_class = name(errors.get("error_class"))
    handoff = _handoff(kwargs)
    refused = not succeeded and (bool(kwargs.get(_REFUSED)) or error_class in _PROXY_ERRORS)
    cached = succeeded and payload.get("cache_hit") is True and handoff is None
    left = succeeded and (errors.get("error_code") == str(LEFT_STATUS) or routing.get("client_disconnected") is True)
    untouched = refused and handoff is None
    route, position = route_of(described), position_of(routing)
    provider = name(payload.get("custom_llm_provider")) or UNKNOWN_PROVIDER
    message = None
    if left or not succeeded:
        message = _message(payload.get("error_str") or errors.get("error_message"), kwargs, errors.get("error_code"))
    started = seconds(payload.get("startTime")) or time.time()
    streamed = _streamed(payload)
    call_id = name(payload.get("litellm_call_id") or kwargs.get("litellm_call_id"))
    prompt_tokens = whole(payload.get("prompt_tokens"))
    usage = mapping(described.get("usage_object"))
    return ReportedAttempt(
        call_id=call_id,
        trace_id=name(params.get("litellm_trace_id") or payload.get("trace_id")) or call_id,
        position=position,
        may_pause=whole(routing.get("max_retries")) > 0,
        route=route,
        is_inner=is_inner_call(route, position, name(payload.get("call_type"))),
        chain_name=chain_of(routing, payload, route),
        provider_id=UNKNOWN_PROVIDER if untouched else provider,
        model=_requested_model(payload) if untouched else _model(payload.get("model"), provider),
        status=_status(errors, succeeded=succeeded, left=left),
        answered=succeeded or _was_answered(error_class, message),
        provider_status=_provider_status(kwargs, left=left, refused=refused),
        called_no_provider=untouched or cached,
        is_cached=cached,
        started_s=started,
        ended_s=max(started, seconds(payload.get("endTime")) or started),
        handoff_s=handoff,
        first_token_s=seconds(payload.get("completionStartTime")) if streamed and succeeded else None,
        error_message=message,
        prompt_tokens=prompt_tokens,
        completion_tokens=whole(payload.get("completion_tokens")),
        total_tokens=whole(payload.get("total_tokens")) or None,
        classes={"cached_tokens": prompt_tokens} if cached else token_classes(usage),
        finish_reason=finish_reason_of(payload),
        service_tier=service_tier_of(payload),
        response_id=response_id_of(payload, call_id),
        session_id=first_name(payload.get("session_id"), payload.get("trace_id")) or None,
        tags=tags_of(described, _end_user(payload), request_tags(payload.get("request_tags"))),
        cost_usd=0.0 if cached else _cost(payload, is_unpriced=refused and not untouched),
        streamed=streamed,
        caller=caller_of(described, _end_user(payload)),
        metadata=_metadata(payload, routing, untouched=untouched),
    )


def read_failure(request: Mapping[str, object], error: BaseException) -> ReportedAttempt:
    """Returns a failed attempt, from the exception and the arguments of the call."""
    routing, described = routing_of(request), described_by(request)
    details = mapping(getattr(request.get("litellm_logging_obj"), "model_call_details", None))
    # The arguments of a call without the Router have another id than LiteLLM's payload.
    call_id = first_name(details.get("litellm_call_id"), request.get("litellm_call_id"))
    provider = name(getattr(error, "llm_provider", None)) or UNKNOWN_PROVIDER
    message = _message(str(error), request, getattr(error, "status_code", None))
    ended = time.time()
    handoff = seconds(details.get("api_call_start_time"))
    route, position = route_of(described), position_of(routing)
    return ReportedAttempt(
        call_id=call_id,
        trace_id=name(request.get("litellm_trace_id")) or call_id,
        position=position,
        may_pause=whole(routing.get("max_retries")) > 0,
        is_partial=True,
        route=route,
        is_inner=is_inner_call(route, position, name(request.get("call_type"))),
        chain_name=chain_of(routing, request, route),
        provider_id=provider,
        model=_model(request.get("model"), provider),
        status=status_of(error),
        answered=_was_answered(type(error).__name__, message),
        started_s=min(ended, handoff or ended),
        ended_s=ended,
        handoff_s=handoff,
        error_message=message,
        streamed=request.get("stream") is True,
        caller=caller_of(described, request.get("user")),
        session_id=_session_of(request, described),
        tags=tags_of(described, request.get("user"), request_tags(described.get("tags"))),
        metadata=_request_metadata(
            request, described, call_type=first_name(request.get("call_type"), details.get("call_type"))
        ),
    )


def read_refusal(request: Mapping[str, object], error: BaseException, key: object) -> ReportedAttempt:
    """Returns how the proxy ended a request that failed, from the exception, the request and its key."""
    # What the proxy knows about the key counts: a pass-through request is as its client wrote it.
    routing, described = routing_of(request), {**described_by(request), **facts_of_key(key)}
    handoff = _handoff(request)
    provider = (name(getattr(error, "llm_provider", None)) if handoff else "") or UNKNOWN_PROVIDER
    message = _message(str(error), request, getattr(error, "status_code", None))
    ended = time.time()
    call_id = name(request.get("litellm_call_id"))
    route = route_of(described)
    return ReportedAttempt(
        call_id=call_id,
        trace_id=name(request.get("litellm_trace_id")) or call_id,
        position=position_of(routing),
        may_pause=False,
        is_partial=True,
        route=route,
        chain_name=chain_of(routing, request, route),
        provider_id=provider,
        model=_model(request.get("model"), provider),
        status=status_of(error),
        answered=_was_answered(type(error).__name__, message),
        called_no_provider=handoff is None,
        started_s=min(ended, seconds(request.get("start_time")) or handoff or ended),
        ended_s=ended,
        handoff_s=handoff,
        error_message=message,
        streamed=request.get("stream") is True,
        caller=caller_of(described, request.get("user")),
        session_id=_session_of(request, described),
        tags=tags_of(described, request.get("user"), request_tags(described.get("tags"))),
        metadata=_request_metadata(request, described, call_type=request.get("call_type")),
    )


def read_begun(model: object, kwargs: Mapping[str, object]) -> BegunAttempt | None:
    """Returns the attempt that LiteLLM begins; None when the proxy only reports a refusal."""
    if kwargs.get(_REFUSED):
        return None
    call_id, trace_id = name(kwargs.get("litellm_call_id")), name(kwargs.get("litellm_trace_id"))
    if kwargs.get("stream") is not True:
        return BegunAttempt(call_id=call_id, trace_id=trace_id)
    provider = name(kwargs.get("custom_llm_provider")) or UNKNOWN_PROVIDER
    return BegunAttempt(
        call_id=call_id,
        trace_id=trace_id,
        position=position_of(routing_of(mapping(kwargs.get("litellm_params")))),
        provider_id=provider,
        model=_model(model, provider),
    )


def status_of(error: BaseException) -> int:
    """Returns the HTTP status that LiteLLM gives an exception, or 500."""
    if type(error).__name__ in _COOLDOWN_ERRORS:
        return 429
    return error_status(getattr(error, "status_code", None) or getattr(error, "code", None))


def _handoff(details: Mapping[str, object]) -> float | None:
    return seconds(details.get("api_call_start_time")) or seconds(details.get("first_api_call_start_time"))


def _status(errors: Mapping[str, object], *, succeeded: bool, left: bool) -> int:
    if left:
        return LEFT_STATUS
    return 200 if succeeded else error_status(errors.get("error_code"))


def _provider_status(kwargs: Mapping[str, object], *, left: bool, refused: bool) -> int | None:
    if left:
        return 200
    if not refused:
        return None
    return 200 if kwargs.get("response_headers") else LEFT_STATUS


def _was_answered(error_class: str, message: str | None) -> bool:
    return error_class not in _UNANSWERED_ERRORS and _CONNECTION_ERROR not in (message or "")


def _cost(payload: Mapping[str, object], *, is_unpriced: bool) -> float | None:
    """Returns LiteLLM's cost; None where it has no price, which it reports as 0 as well."""
    if payload.get("response_cost_failure_debug_info") or payload.get("zero_cost_diagnostic"):
        return None
    known = cost(payload.get("response_cost"))
    # Of an answer that a guardrail refused, LiteLLM knows no usage.
    return None if is_unpriced and not known else known


def _message(text: object, kwargs: Mapping[str, object], code: object) -> str | None:
    if not isinstance(text, str) or not text:
        return None
    # Such an error quotes the whole answer.
    if str(code).startswith("2"):
        return "the provider answered what LiteLLM cannot read"
    texts = (kwargs.get("messages"), kwargs.get("input"), kwargs.get("prompt"))
    return without_content(text.encode("utf-8", "replace").decode(), texts)


def _model(model: object, provider: str) -> str:
    """Removes the name of the provider from the front, where the Router puts it."""
    return name(model).removeprefix(f"{provider}/") or "unknown"


def _requested_model(payload: Mapping[str, object]) -> str:
    return first_name(payload.get("model_group"), payload.get("model")) or "unknown"


def _streamed(payload: Mapping[str, object]) -> bool:
    return payload.get("stream") is True or _parameter(payload, "stream") is True


def _parameter(payload: Mapping[str, object], key: str) -> object:
    return mapping(payload.get("model_parameters")).get(key)


def _end_user(payload: Mapping[str, object]) -> object:
    return payload.get("end_user") or _parameter(payload, "user")


def _session_of(request: Mapping[str, object], described: Mapping[str, object]) -> str | None:
    given = first_name(described.get("session_id"), described.get("trace_id"), request.get("litellm_trace_id"))
    return given or None


def _metadata(payload: Mapping[str, object], routing: Mapping[str, object], *, untouched: bool) -> Mapping[str, object]:
    return metadata_of(
        mapping(payload.get("metadata")),
        names={
            "call_type": payload.get("call_type"),
            "model_group": payload.get("model_group") or routing.get("model_group"),
            "deployment_id": None if untouched else payload.get("model_id"),
            "trace_id": payload.get("trace_id"),
            "session_id": payload.get("session_id"),
        },
        end_user=payload.get("end_user"),
        tags=payload.get("request_tags"),
        cached=payload.get("cache_hit") is True,
    )


def _request_metadata(
    request: Mapping[str, object], described: Mapping[str, object], *, call_type: object
) -> Mapping[str, object]:
    """Returns what the arguments of a call tell, as far as they have it."""
    return metadata_of(
        described,
        names={
            "call_type": call_type,
            "model_group": described.get("model_group"),
            "deployment_id": mapping(described.get("model_info")).get("id"),
            "trace_id": _session_of(request, described),
        },
        end_user=request.get("user"),
        tags=described.get("tags"),
    )
