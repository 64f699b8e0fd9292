"""The statistics of this process as metrics: no labels but those that say which of several states or reasons."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

import chainlog_async
from chainlog_async.statistics import DropReason, Health, Statistics

from .histograms import cumulative_buckets

HEALTH_STATES = ("ok", "degraded", "failed")
JOURNAL_STATES = ("on", "off", "failing")


def process_metrics(health: Health, statistics: Statistics | None) -> Iterator[Metric]:
    """What this process knows of itself; only its health when the log was never open."""
    build = GaugeMetricFamily("chainlog_build_info", "Always 1; the versions are labels.", labels=["version", "sqlite"])
    build.add_metric([chainlog_async.__version__, sqlite3.sqlite_version], 1)
    yield build
    yield _states("chainlog_health_state", "Whether entries reach the database.", HEALTH_STATES, health.status)
    if statistics is not None:
        yield from _entry_metrics(statistics)
        yield from _pending_metrics(statistics)
        yield from _writer_metrics(statistics)


def _entry_metrics(statistics: Statistics) -> Iterator[Metric]:
    yield CounterMetricFamily("chainlog_entries_submitted", "Entries handed in, good or bad.", statistics.submitted)
    yield CounterMetricFamily("chainlog_entries_written", "Entries committed to the database.", statistics.written)
    dropped = CounterMetricFamily(
        "chainlog_entries_dropped", "Entries that will not reach the database.", labels=["reason"]
    )
    # All reasons from the beginning: a series that first appears with a 1 in it does not look like an increase.
    for reason in get_args(DropReason):
        dropped.add_metric([reason], statistics.dropped.get(reason, 0))
    yield dropped
    yield CounterMetricFamily(
        "chainlog_entries_replayed", "Entries of dead writers committed by this one.", statistics.replayed
    )
    yield CounterMetricFamily(
        "chainlog_journal_truncated_lines",
        "Unfinished lines at the ends of dead writers' journals.",
        statistics.truncated,
    )


def _pending_metrics(statistics: Statistics) -> Iterator[Metric]:
    yield GaugeMetricFamily("chainlog_entries_pending", "Entries accepted and not committed yet.", statistics.pending)
    yield GaugeMetricFamily("chainlog_entries_pending_peak", "Most entries that ever waited.", statistics.peak_pending)
    yield GaugeMetricFamily("chainlog_pending_bytes", "Size of the entries that wait.", statistics.pending_bytes)
    yield GaugeMetricFamily(
        "chainlog_oldest_pending_age_seconds",
        "For how long the oldest entry has waited; 0 when none waits.",
        statistics.oldest_pending_ms / 1_000,
    )
    yield _states("chainlog_journal_state", "Whether what waits survives a kill.", JOURNAL_STATES, statistics.journal)
    yield GaugeMetricFamily(
        "chainlog_journal_bytes", "Size of this process's journal on disk.", statistics.journal_bytes
    )


def _writer_metrics(statistics: Statistics) -> Iterator[Metric]:
    yield HistogramMetricFamily(
        "chainlog_batch_entries", "Sizes of committed batches.", *cumulative_buckets(statistics.batch_entries)
    )
    yield HistogramMetricFamily(
        "chainlog_commit_duration_seconds",
        "Time that successful commits took.",
        *cumulative_buckets(statistics.commit_ms, unit=1_000),
    )
    yield CounterMetricFamily(
        "chainlog_commit_retries", "Commits that failed and were tried again.", statistics.retries
    )
    checkpoints = CounterMetricFamily(
        "chainlog_checkpoints",
        "Checkpoints beyond SQLite's own, by whether a reader was in the way.",
        labels=["result"],
    )
    checkpoints.add_metric(["complete"], statistics.checkpoints_complete)
    checkpoints.add_metric(["partial"], statistics.checkpoints_partial)
    yield checkpoints
    yield GaugeMetricFamily("chainlog_wal_bytes", "Size of the write-ahead log.", statistics.wal_bytes)
    yield GaugeMetricFamily("chainlog_database_bytes", "Size of the database's file.", statistics.database_bytes)
    yield CounterMetricFamily(
        "chainlog_gil_yield_seconds",
        "Pauses of the event loop for the writer's thread.",
        statistics.gil_yield_ms / 1_000,
    )
    yield GaugeMetricFamily(
        "chainlog_last_commit_timestamp_seconds",
        "When the last batch was committed, in seconds since the epoch, UTC; 0 before the first.",
        (statistics.last_commit_at or 0) / 1_000,
    )


def _states(name: str, documentation: str, states: Sequence[str], present: str) -> Metric:
    family = GaugeMetricFamily(name, f"{documentation} 1 for the present state, 0 for the others.", labels=["state"])
    for state in states:
        family.add_metric([state], state == present)
    return family
