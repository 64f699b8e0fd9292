"""Metrics of the HTTP service: what its clients hold, and how often its limits were applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from chainlog_async.server.counters import Disconnection, Refusal, ServiceCounters, ShippedOutcome, StreamKind


def service_metrics(counters: ServiceCounters) -> Iterator[Metric]:
    """Yields the metrics of the service."""
    yield GaugeMetricFamily("chainlog_http_connections", "Open connections.", counters.connections)
    streams = GaugeMetricFamily(
        "chainlog_http_streams", "Responses that are produced while they are sent.", labels=["kind"]
    )
    for kind in get_args(StreamKind):
        streams.add_metric([kind], counters.streams[kind])
    yield streams
    yield GaugeMetricFamily(
        "chainlog_http_body_bytes", "Size of the request bodies that are held.", counters.body_bytes
    )
    yield GaugeMetricFamily(
        "chainlog_http_unread_bytes", "Size of the responses that wait for clients to read.", counters.unread_bytes
    )
    # Every reason from the start: a series that first appears with the value 1 does not count as an increase.
    refused = CounterMetricFamily("chainlog_http_refused", "Clients answered with 503.", labels=["reason"])
    for refusal in get_args(Refusal):
        refused.add_metric([refusal], counters.refused[refusal])
    yield refused
    disconnected = CounterMetricFamily(
        "chainlog_http_disconnected", "Clients that were too slow or held too much.", labels=["reason"]
    )
    for reason in get_args(Disconnection):
        disconnected.add_metric([reason], counters.disconnected[reason])
    yield disconnected
    shipped = CounterMetricFamily(
        "chainlog_shipped_rows", "Rows that gateways on other machines have shipped here.", labels=["outcome"]
    )
    for outcome in get_args(ShippedOutcome):
        shipped.add_metric([outcome], counters.shipped_rows[outcome])
    yield shipped
