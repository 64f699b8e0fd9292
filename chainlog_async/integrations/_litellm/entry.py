"""Turns the attempts of one request into its entry."""

from __future__ import annotations

from collections.abc import Sequence

from chainlog_async.common.clock import MAX_TIMESTAMP_MS
from chainlog_async.entry.model import MAX_ATTEMPTS, MAX_COST_USD, MAX_COUNT, Attempt, RequestLogEntry
from chainlog_async.settings import Settings

from .attempt import ReportedAttempt
from .request_facts import bounded

_OF_ONE_ATTEMPT = ("call_type", "model_group", "deployment_id")


def entry_of(
    attempts: Sequence[ReportedAttempt], *, refusal: ReportedAttempt | None = None, is_part: bool = False
) -> RequestLogEntry:
    """Returns the entry of a request, whose last attempt is its outcome.

    `refusal` is how the proxy ended it, if it did. `is_part` marks a request whose end was not reported.
    """
    last = attempts[-1]
    end = refusal or last
    tried = [item for item in attempts if not item.called_no_provider]
    asked = last if last.is_cached or not tried else tried[-1]
    started = min(item.started_s for item in (*attempts, end))
    return RequestLogEntry(
        timestamp=min(round(end.ended_s * 1000), MAX_TIMESTAMP_MS),
        chain_name=attempts[0].chain_name,
        provider_id=asked.provider_id,
        model=asked.model,
        prompt_tokens=last.prompt_tokens,
        completion_tokens=last.completion_tokens,
        total_tokens=last.total_tokens,
        latency_ms=_ms(started, end.ended_s),
        http_status=end.status,
        attempts=_count(tried, last),
        error_message=last.error_message,
        request_id=_request_id(attempts, end),
        caller=next((item.caller for item in (*reversed(attempts), end) if item.caller), None),
        ttft_ms=None if last.first_token_s is None else _ms(started, last.first_token_s),
        cost_usd=_cost(attempts),
        streamed=any(item.streamed for item in (*attempts, end)),
        cost_source=None,
        **(last.classes or {}),
        finish_reason=last.finish_reason,
        service_tier=last.service_tier,
        response_id=last.response_id,
        session_id=next((item.session_id for item in (*reversed(attempts), end) if item.session_id), None),
        tags=next((item.tags for item in (*reversed(attempts), end) if item.tags), None),
        metadata=_metadata(attempts, refusal, is_part=is_part),
        attempt_trail=_trail(tried, end.status),
    )


def is_logged(settings: Settings, entry: RequestLogEntry) -> bool:
    """Returns whether the entry is one for the log: a health check is no request of a user."""
    return settings.litellm_health_checks or not (entry.metadata or {}).get("health_check")


def _request_id(attempts: Sequence[ReportedAttempt], end: ReportedAttempt) -> str | None:
    """The client knows the id of the outer call, not that of an inner one."""
    known = attempts[0] if end.is_inner else end
    return known.call_id or None


def _count(tried: Sequence[ReportedAttempt], last: ReportedAttempt) -> int:
    """An attempt that was not reported still shows in the position of the last one."""
    fallbacks, retries = last.position or (0, 0)
    return max(len(tried), fallbacks + retries + (0 if last.called_no_provider else 1))


def _attempt_cost(item: ReportedAttempt, *, is_answered: bool) -> float | None:
    known = item.cost_usd if is_answered else item.cost_usd or None
    return None if known is None else min(known, MAX_COST_USD)


def _cost(attempts: Sequence[ReportedAttempt]) -> float | None:
    """The sum; None if that of the answer is unknown."""
    costs = [item.cost_usd for item in attempts if item.cost_usd is not None]
    sent = attempts[-1].sent_status
    if not costs or (attempts[-1].cost_usd is None and sent is not None and sent < 400):
        return None
    return min(sum(costs), MAX_COST_USD)


def _metadata(
    attempts: Sequence[ReportedAttempt], refusal: ReportedAttempt | None, *, is_part: bool
) -> dict[str, object] | None:
    """Who asked is in every full report, and in part in the others; which deployment was tried, only in its own."""
    if len(attempts) == 1 and refusal is None and not is_part:
        return dict(attempts[0].metadata or {}) or None
    partial_first = sorted(attempts, key=lambda item: not item.is_partial)
    merged: dict[str, object] = {}
    for report in (*([refusal] if refusal else ()), *partial_first):
        merged.update(report.metadata or {})
    own = attempts[-1].metadata or {}
    merged = {key: value for key, value in merged.items() if key not in _OF_ONE_ATTEMPT}
    merged.update({key: own[key] for key in _OF_ONE_ATTEMPT if key in own})
    if is_part:
        merged["part"] = True
    return bounded(merged) or None


def _trail(tried: Sequence[ReportedAttempt], status: int) -> list[Attempt] | None:
    """The attempts, if they tell more than the row."""
    if len(tried) > 1 or (tried and tried[0].sent_status not in (None, status)):
        # One more than a row holds, by which the log sees that it cuts the trail, and says so in the row.
        return [_attempt(item) for item in tried[-MAX_ATTEMPTS - 1 :]]
    return None


def _attempt(item: ReportedAttempt) -> Attempt:
    untimed = item.is_partial and item.started_s == item.ended_s
    sent = item.sent_status
    return Attempt(
        provider_id=item.provider_id,
        model=item.model,
        http_status=sent,
        latency_ms=None if untimed else _ms(item.started_s, item.ended_s),
        error_message=None if sent is not None and sent < 400 else item.error_message,
        prompt_tokens=item.prompt_tokens or None,
        completion_tokens=item.completion_tokens or None,
        # LiteLLM knows of no cost of a failure and reports 0.
        cost_usd=_attempt_cost(item, is_answered=sent is not None and sent < 400),
        cost_source=None,
        **(item.classes or {}),
    )


def _ms(started_s: float, ended_s: float) -> float:
    return min(max(0.0, (ended_s - started_s) * 1000), MAX_COUNT)
