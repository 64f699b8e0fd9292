"""Makes the spans of a request: one for the request, and a child for each attempt of its trail.

Attributes follow OpenTelemetry's conventions for generative AI, semantic-conventions-genai 0.1.0. What these have no
name for begins with ``chainlog.``. A request gets the same ids whenever its spans are made again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from chainlog_async.requests.model import LoggedAttempt, RequestLogRow

Json = dict[str, object]

SCOPE: Final = "chainlog-async"
"""The name of the scope. A request that came from spans of this scope is not sent again, or it would go in circles."""

CLIENT: Final = 3
"""The kind of a span that calls a service."""

ERROR: Final = 2
"""The status code of a span that failed; one that did not has no status."""

MAX_MESSAGE_CHARS: Final = 256
"""How much of an error message is sent, in characters."""

PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Names of the conventions for providers that gateways call otherwise; all others are sent as they are."""

_TOKENS: Final = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "cache_write_1h_tokens": "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "prompt_audio_tokens": "llm.token_count.prompt_details.audio",
    "completion_audio_tokens": "llm.token_count.completion_details.audio",
}

_MS: Final = 1_000_000
"""In ns."""

_ATTEMPT_GAP_NS: Final = 1_000
"""How much later an attempt begins than the one before at least, so that their order can be seen."""

_CLASS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_SPAN_OF_REQUEST = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


def spans_of(row: RequestLogRow) -> list[Json]:
    """Returns the spans of a request, as OTLP/JSON has them."""
    identity = f"{row.id}\0{row.timestamp}\0{row.request_id or ''}\0{row.provider_id}\0{row.model}\0{row.latency_ms}"
    trace_id, parent_id = _context_of(row)
    trace_id = trace_id or _hex_id(f"trace\0{identity}", 16)
    span_id = _hex_id(f"span\0{identity}", 8)
    end_ns = row.timestamp * _MS
    start_ns = max(end_ns - row.latency_ms * _MS, 0)
    spans = [
        _span(
            (trace_id, span_id, parent_id),
            name=f"{_operation_of(row)} {row.model}",
            times_ns=(start_ns, end_ns),
            attributes=_attributes(row),
            status=row.http_status,
            message=row.error_message,
        )
    ]
    begin_ns = start_ns
    for number, attempt in enumerate(row.attempt_trail or (), 1):
        # A sum of floats would be rounded to some hundred ns.
        ended_ns = max(min(begin_ns + round((attempt.latency_ms or 0) * _MS), end_ns), begin_ns)
        spans.append(
            _span(
                (trace_id, _hex_id(f"attempt\0{number}\0{identity}", 8), span_id),
                name=f"provider attempt {attempt.provider_id}",
                times_ns=(begin_ns, ended_ns),
                attributes=_attempt_attributes(row, attempt, number),
                status=attempt.http_status,
                message=attempt.error_message,
            )
        )
        begin_ns = max(ended_ns, begin_ns + _ATTEMPT_GAP_NS)
    return spans


def is_own(row: RequestLogRow) -> bool:
    """Returns whether a request came from spans that this module made."""
    return (row.metadata or {}).get("otel_scope") == SCOPE


def request_of(spans: Sequence[Json], *, service: str, version: str) -> Json:
    """Returns a request of OTLP with these spans."""
    scoped = {"scope": {"name": SCOPE, "version": version}, "spans": spans}
    resource = {"attributes": _encoded({"service.name": service})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}


def _context_of(row: RequestLogRow) -> tuple[str, str]:
    """Returns the ids of the trace and the span in which the request was made, as far as they are known."""
    metadata = row.metadata or {}
    for pattern, text in ((_TRACE_PARENT, metadata.get("traceparent")), (_SPAN_OF_REQUEST, row.request_id)):
        found = pattern.fullmatch(text) if isinstance(text, str) else None
        if found and found[1].strip("0") and found[2].strip("0"):
            return found[1], found[2]
    text = metadata.get("trace_id")
    # LiteLLM's is a UUID.
    trace_id = text.replace("-", "").lower() if isinstance(text, str) else ""
    return (trace_id if _TRACE_ID.fullmatch(trace_id) and trace_id.strip("0") else ""), ""


def _operation_of(row: RequestLogRow) -> str:
    call_type = (row.metadata or {}).get("call_type")
    is_embedding = "embed" in row.model.lower() or (isinstance(call_type, str) and "embedding" in call_type)
    return "embeddings" if is_embedding and not row.completion_tokens else "chat"


def _attributes(row: RequestLogRow) -> Json:
    return {
        "gen_ai.operation.name": _operation_of(row),
        "gen_ai.provider.name": _provider(row.provider_id),
        "gen_ai.request.model": row.model,
        "gen_ai.response.model": row.model,
        "gen_ai.response.id": row.response_id,
        "gen_ai.response.finish_reasons": [row.finish_reason] if row.finish_reason else None,
        "gen_ai.response.service_tier": row.service_tier,
        "gen_ai.response.time_to_first_chunk": None if row.ttft_ms is None else row.ttft_ms / 1_000,
        "gen_ai.request.stream": row.streamed,
        "gen_ai.conversation.id": row.session_id,
        **{name: getattr(row, field) for field, name in _TOKENS.items()},
        "gen_ai.usage.total_tokens": row.total_tokens,
        "user.id": row.caller,
        "http.response.status_code": row.http_status,
        "http.request.resend_count": row.attempts - 1 if row.attempts > 1 else None,
        "error.type": _error_type(row.http_status, row.error_message),
        "chainlog.chain.name": row.chain_name,
        "chainlog.provider.id": row.provider_id,
        "chainlog.request.id": row.request_id,
        "chainlog.attempts": row.attempts,
        "chainlog.cost_usd": row.cost_usd,
        "chainlog.tags": row.tags,
    }


def _attempt_attributes(row: RequestLogRow, attempt: LoggedAttempt, number: int) -> Json:
    return {
        "gen_ai.operation.name": _operation_of(row),
        "gen_ai.provider.name": _provider(attempt.provider_id),
        "gen_ai.request.model": attempt.model,
        "gen_ai.response.model": attempt.model,
        **{name: getattr(attempt, field) for field, name in _TOKENS.items()},
        "http.response.status_code": attempt.http_status,
        "http.request.resend_count": number - 1 if number > 1 else None,
        "error.type": _error_type(attempt.http_status, attempt.error_message),
        "chainlog.provider.id": attempt.provider_id,
        "chainlog.cost_usd": attempt.cost_usd,
    }


def _span(  # the parts of a span
    ids: tuple[str, str, str],
    *,
    name: str,
    times_ns: tuple[int, int],
    attributes: Mapping[str, object],
    status: int | None,
    message: str | None,
) -> Json:
    trace_id, span_id, parent_id = ids
    span: Json = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": name,
        "kind": CLIENT,
        # Numbers of 64 bits are texts in OTLP/JSON.
        "startTimeUnixNano": str(times_ns[0]),
        "endTimeUnixNano": str(times_ns[1]),
        "attributes": _encoded(attributes),
    }
    if parent_id:
        span["parentSpanId"] = parent_id
    if status is None or status >= 400:
        span["status"] = {"code": ERROR, **({"message": message[:MAX_MESSAGE_CHARS]} if message else {})}
    return span


def _error_type(status: int | None, message: str | None) -> str | None:
    """Returns the class of an error where its message is one, else its status."""
    if status is not None and status < 400:
        return None
    if message and _CLASS_NAME.fullmatch(message):
        return message
    return "_OTHER" if status is None else str(status)


def _provider(provider_id: str) -> str:
    return PROVIDERS.get(provider_id.lower(), provider_id)


def _hex_id(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def _encoded(attributes: Mapping[str, object]) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items() if value is not None]


def _value(value: object) -> Json:
    # A truth value is an int as well.
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}
