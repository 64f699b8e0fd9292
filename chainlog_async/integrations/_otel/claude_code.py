"""Events of Claude Code as entries: each is one request, with its session."""

from __future__ import annotations

from chainlog_async.entry.model import MAX_COST_USD, MAX_COUNT, RequestLogEntry

from . import attributes as names
from .decoded import LogEvent
from .mapping import count_of, number_of, text_of

PROVIDER = "anthropic"
DEFAULT_CHAIN = "claude-code"
UNKNOWN = "unknown"


def entry_of_event(event: LogEvent) -> RequestLogEntry:
    """Returns the entry of one request. Claude Code's input tokens are those that were neither read nor written."""
    found = event.found
    fresh = count_of(found.get("input_tokens")) or 0
    cached = count_of(found.get("cache_read_tokens"))
    written = count_of(found.get("cache_creation_tokens"))
    failed = event.name == names.CLAUDE_ERROR
    status = _status(count_of(found.get("status_code")), failed=failed)
    resource = event.resource
    tags = {"source": text_of(found.get("query_source")), "organization": text_of(found.get("organization.id"))}
    return RequestLogEntry(
        timestamp=event.time_ns // 1_000_000,
        chain_name=resource.chain or resource.service or DEFAULT_CHAIN,
        provider_id=PROVIDER,
        model=text_of(found.get("model")) or UNKNOWN,
        prompt_tokens=fresh + (cached or 0) + (written or 0),
        completion_tokens=count_of(found.get("output_tokens")) or 0,
        latency_ms=number_of(found.get("duration_ms"), MAX_COUNT) or 0,
        http_status=status,
        attempts=max(count_of(found.get("attempt")) or 1, 1),
        error_message="api_error" if failed else None,
        request_id=text_of(found.get("request_id")),
        caller=_caller(event),
        ttft_ms=number_of(found.get("ttft_ms"), MAX_COUNT),
        cost_usd=number_of(found.get("cost_usd"), MAX_COST_USD),
        cached_tokens=cached,
        cache_write_tokens=written,
        session_id=text_of(found.get("session.id")) or resource.session,
        tags=[f"{key}:{value}" for key, value in tags.items() if value] or None,
        metadata={"otel_scope": "com.anthropic.claude_code"},
    )


def _status(status: int | None, *, failed: bool) -> int:
    if status is not None and 100 <= status <= 599:
        return status
    return 500 if failed else 200


def _caller(event: LogEvent) -> str | None:
    known = (text_of(event.found.get(name)) for name in ("user.email", "user.account_uuid", "user.id"))
    return next((text for text in known if text), event.resource.caller)
