"""Turns the attempts of one request into its entry."""

from __future__ import annotations

from collections.abc import Sequence

from chainlog_async.common.clock import MAX_TIMESTAMP_MS
from chainlog_async.entry.model import MAX_ATTEMPTS, MAX_COST_USD, MAX_COUNT, Attempt, RequestLogEntry

from .payload import ReportedAttempt


def entry_of(attempts: Sequence[ReportedAttempt], *, status: int | None = None) -> RequestLogEntry:
    """Returns the entry of a request, whose last attempt is its outcome.

    `status` is what the client got, if known.
    """
    last = attempts[-1]
    started = min(item.started_s for item in attempts)
    costs = [item.cost_usd for item in attempts if item.cost_usd is not None]
    fallbacks, retries = last.position or (0, 0)
    return RequestLogEntry(
        timestamp=min(round(last.ended_s * 1000), MAX_TIMESTAMP_MS),
        chain_name=attempts[0].chain_name,
        provider_id=last.provider_id,
        model=last.model,
        prompt_tokens=last.prompt_tokens,
        completion_tokens=last.completion_tokens,
        total_tokens=last.total_tokens,
        latency_ms=_ms(started, last.ended_s),
        http_status=status or last.status,
        # An attempt that was not reported still shows in the position of the last one.
        attempts=0 if len(attempts) == 1 and last.called_no_provider else max(len(attempts), 1 + fallbacks + retries),
        error_message=last.error_message,
        request_id=last.call_id or None,
        caller=next((item.caller for item in reversed(attempts) if item.caller), None),
        ttft_ms=None if last.first_token_s is None else _ms(started, last.first_token_s),
        cost_usd=min(sum(costs), MAX_COST_USD) if costs else None,
        streamed=last.streamed,
        cached_tokens=last.cached_tokens,
        metadata=last.metadata,
        attempt_trail=[_attempt(item) for item in attempts[-MAX_ATTEMPTS:]] if len(attempts) > 1 else None,
    )


def _attempt(item: ReportedAttempt) -> Attempt:
    untimed = item.is_partial and item.started_s == item.ended_s
    return Attempt(
        provider_id=item.provider_id,
        model=item.model,
        http_status=item.status if item.answered else None,
        latency_ms=None if untimed else _ms(item.started_s, item.ended_s),
        error_message=item.error_message,
    )


def _ms(started_s: float, ended_s: float) -> float:
    return min(max(0.0, (ended_s - started_s) * 1000), MAX_COUNT)
