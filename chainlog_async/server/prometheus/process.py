"""Metrics of this process; the only labels are states, reasons and versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

import chainlog_async
from chainlog_async.common.sqlite import sqlite3
from chainlog_async.entry.model import ENTRY_FIELDS
from chainlog_async.statistics import DropReason, Health, OtelExportCounts, Statistics

from .histograms import cumulative_buckets

HEALTH_STATES = ("ok", "degraded", "failed")
JOURNAL_STATES = ("on", "off", "failing")


def process_metrics(health: Health, statistics: Statistics | None) -> Iterator[Metric]:
    """Yields the metrics of this process; without `statistics`, because the log was never open, only its health."""
    build = GaugeMetricFamily("chainlog_build_info", "Always 1; the versions are labels.", labels=["version", "sqlite"])
    build.add_metric([chainlog_async.__version__, sqlite3.sqlite_version], 1)
    yield build
    yield _states("chainlog_health_state", "Whether entries reach the database.", HEALTH_STATES, health.status)
    if statistics is not None:
        yield from _entry_metrics(statistics)
        yield from _pending_metrics(statistics)
        yield from _writer_metrics(statistics)
        if statistics.otel_export is not None:
            yield from _export_metrics(statistics.otel_export)


def _entry_metrics(statistics: Statistics) -> Iterator[Metric]:
    yield CounterMetricFamily("chainlog_entries_submitted", "Entries submitted, valid or not.", statistics.submitted)
    yield CounterMetricFamily("chainlog_entries_written", "Entries committed to the database.", statistics.written)
    dropped = CounterMetricFamily(
        "chainlog_entries_dropped", "Entries that will not reach the database.", labels=["reason"]
    )
    # Every reason from the start: a series that first appears with the value 1 does not count as an increase.
    for reason in get_args(DropReason):
        dropped.add_metric([reason], statistics.dropped.get(reason, 0))
    yield dropped
    yield CounterMetricFamily(
        "chainlog_entries_replayed", "Entries of dead writers committed by this process.", statistics.replayed
    )
    yield CounterMetricFamily(
        "chainlog_journal_truncated_lines",
        "Truncated lines at the ends of dead writers' journals.",
        statistics.truncated,
    )
    repaired = CounterMetricFamily(
        "chainlog_repaired_fields", "Values that were cut, converted or left out to store an entry.", labels=["field"]
    )
    for field in ENTRY_FIELDS:
        repaired.add_metric([field], statistics.repaired.get(field, 0))
    yield repaired


def _pending_metrics(statistics: Statistics) -> Iterator[Metric]:
    yield GaugeMetricFamily("chainlog_entries_pending", "Entries accepted but not committed yet.", statistics.pending)
    yield GaugeMetricFamily(
        "chainlog_entries_pending_peak", "Largest number of pending entries so far.", statistics.peak_pending
    )
    yield GaugeMetricFamily("chainlog_pending_bytes", "Size of the pending entries.", statistics.pending_bytes)
    yield GaugeMetricFamily(
        "chainlog_oldest_pending_age_seconds",
        "Age of the oldest pending entry; 0 when there is none.",
        statistics.oldest_pending_ms / 1_000,
    )
    yield _states(
        "chainlog_journal_state", "Whether pending entries survive a kill.", JOURNAL_STATES, statistics.journal
    )
    yield GaugeMetricFamily(
        "chainlog_journal_bytes", "Size of the lines in this process's journal.", statistics.journal_bytes
    )


def _writer_metrics(statistics: Statistics) -> Iterator[Metric]:
    yield HistogramMetricFamily(
        "chainlog_batch_entries", "Sizes of committed batches.", *cumulative_buckets(statistics.batch_entries)
    )
    yield HistogramMetricFamily(
        "chainlog_commit_duration_seconds",
        "Duration of successful commits.",
        *cumulative_buckets(statistics.commit_ms, unit=1_000),
    )
    yield CounterMetricFamily("chainlog_commit_retries", "Commits that failed and were retried.", statistics.retries)
    checkpoints = CounterMetricFamily(
        "chainlog_checkpoints",
        "Checkpoints besides SQLite's own, by whether a reader blocked them.",
        labels=["result"],
    )
    checkpoints.add_metric(["complete"], statistics.checkpoints_complete)
    checkpoints.add_metric(["partial"], statistics.checkpoints_partial)
    yield checkpoints
    yield GaugeMetricFamily("chainlog_wal_bytes", "Size of the write-ahead log.", statistics.wal_bytes)
    yield GaugeMetricFamily("chainlog_database_bytes", "Size of the database file.", statistics.database_bytes)
    yield CounterMetricFamily(
        "chainlog_gil_yield_seconds",
        "Time for which the event loop yielded the GIL to the writer's thread.",
        statistics.gil_yield_ms / 1_000,
    )
    yield GaugeMetricFamily(
        "chainlog_last_commit_timestamp_seconds",
        "When the last batch was committed, in seconds since the epoch, UTC; 0 before the first.",
        (statistics.last_commit_at or 0) / 1_000,
    )


def _export_metrics(counts: OtelExportCounts) -> Iterator[Metric]:
    yield CounterMetricFamily("chainlog_otel_export_requests", "Requests sent as spans and taken.", counts.requests)
    yield CounterMetricFamily("chainlog_otel_export_spans", "Spans of these requests.", counts.spans)
    yield CounterMetricFamily(
        "chainlog_otel_export_rejected_spans", "Spans that the endpoint said it rejected.", counts.rejected_spans
    )
    yield CounterMetricFamily(
        "chainlog_otel_export_refused_requests", "Requests that the endpoint refused for good.", counts.refused_requests
    )
    yield CounterMetricFamily("chainlog_otel_export_failures", "Tries to export that failed.", counts.failures)
    yield GaugeMetricFamily("chainlog_otel_export_pending", "Requests that were not exported yet.", counts.pending)


def _states(name: str, documentation: str, states: Sequence[str], present: str) -> Metric:
    family = GaugeMetricFamily(name, f"{documentation} 1 for the current state, 0 for the others.", labels=["state"])
    for state in states:
        family.add_metric([state], state == present)
    return family
