"""Metrics of the totals in the database: the same from every process that has the file open."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from chainlog_async.usage.metric_totals import AttemptTotals, MetricTotals, UsageTotals

from .histograms import cumulative_buckets

LABELS = ("chain", "provider", "model")

COUNTERS: tuple[tuple[str, str, Callable[[UsageTotals], float]], ...] = (
    ("chainlog_requests", "Requests logged.", lambda usage: usage.requests),
    ("chainlog_request_errors", "Requests that failed, without cancelled ones.", lambda usage: usage.errors),
    ("chainlog_requests_cancelled", "Requests whose client hung up (499).", lambda usage: usage.cancelled),
    ("chainlog_requests_rate_limited", "Requests that ended with the status 429.", lambda usage: usage.rate_limited),
    ("chainlog_requests_waterfalled", "Requests that took more than one attempt.", lambda usage: usage.waterfalls),
    ("chainlog_prompt_tokens", "Prompt tokens.", lambda usage: usage.prompt_tokens),
    ("chainlog_completion_tokens", "Completion tokens.", lambda usage: usage.completion_tokens),
    ("chainlog_cached_tokens", "Prompt tokens that came from a cache.", lambda usage: usage.cached_tokens),
    ("chainlog_cache_write_tokens", "Prompt tokens written to a cache.", lambda usage: usage.cache_write_tokens),
    ("chainlog_reasoning_tokens", "Completion tokens spent on reasoning.", lambda usage: usage.reasoning_tokens),
    ("chainlog_tokens", "Total tokens, as stated by the entries.", lambda usage: usage.total_tokens),
    ("chainlog_cost_usd", "Cost, in US dollars.", lambda usage: usage.cost_usd),
    (
        "chainlog_unanswered_cost_usd",
        "Cost of attempts that did not answer, in US dollars.",
        lambda usage: usage.unanswered_cost_usd,
    ),
)

OUTCOMES: tuple[tuple[str, Callable[[AttemptTotals], int]], ...] = (
    ("success", lambda attempts: attempts.successes),
    ("rate_limited", lambda attempts: attempts.rate_limited),
    ("failure", lambda attempts: attempts.failures),
    (
        "abandoned",
        lambda attempts: attempts.tries - attempts.successes - attempts.rate_limited - attempts.failures,
    ),
)


def usage_metrics(totals: MetricTotals | None) -> Iterator[Metric]:
    """Yields all-time counters and histograms; without totals, only that they could not be read."""
    yield GaugeMetricFamily(
        "chainlog_totals_readable", "Whether the totals could be read for this scrape.", totals is not None
    )
    if totals is None:
        return
    for name, documentation, value_of in COUNTERS:
        counter = CounterMetricFamily(name, documentation, labels=LABELS)
        for usage in totals.usage:
            counter.add_metric((usage.chain, usage.provider, usage.model), value_of(usage))
        yield counter
    latency = HistogramMetricFamily("chainlog_request_latency_seconds", "Latency of answered requests.", labels=LABELS)
    ttft = HistogramMetricFamily(
        "chainlog_request_ttft_seconds", "Time to the first token of answered requests.", labels=LABELS
    )
    unanswered = HistogramMetricFamily(
        "chainlog_unanswered_request_latency_seconds", "Latency of failed and cancelled requests.", labels=LABELS
    )
    for usage in totals.usage:
        labels = (usage.chain, usage.provider, usage.model)
        latency.add_metric(labels, *cumulative_buckets(usage.latency_ms, unit=1_000))
        ttft.add_metric(labels, *cumulative_buckets(usage.ttft_ms, unit=1_000))
        # Without a sum, which is not kept.
        unanswered.add_metric(labels, cumulative_buckets(usage.unanswered_latency_ms, unit=1_000)[0], None)
    yield latency
    yield ttft
    yield unanswered
    yield _attempts(totals)


def _attempts(totals: MetricTotals) -> Metric:
    family = CounterMetricFamily(
        "chainlog_attempts",
        "Attempts at each provider, whichever provider answered in the end.",
        labels=("provider", "model", "outcome"),
    )
    for attempts in totals.attempts:
        for outcome, count_of in OUTCOMES:
            family.add_metric((attempts.provider, attempts.model, outcome), count_of(attempts))
    return family
