"""``GET /metrics``: the metrics of this process, and the usage in the database, for Prometheus."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.extras import install_command
from chainlog_async.errors import ClosedError, DatabaseError, MissingExtraError
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.operation import Operation
from chainlog_async.server.http.parameters import ParsedParameters, pattern_parameter
from chainlog_async.server.http.responses import ErrorReply
from chainlog_async.statistics import Health, Statistics
from chainlog_async.usage.metric_totals import MetricTotals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

logger = logging.getLogger(__name__)

COLLECT = pattern_parameter(
    "collect", "Only one part: the metrics of this process, or the usage in the database.", "process|database",
    "process or database",
)  # fmt: skip
METRICS_MEDIA_TYPES = ("text/plain", "application/openmetrics-text")


def metrics_operation(chainlog: ChainLog, counters: ServiceCounters) -> Operation:
    """Returns the route that answers a scrape, in the text format or OpenMetrics, as negotiated."""

    async def get_metrics(request: Request, parameters: ParsedParameters) -> Response:
        """Metrics for Prometheus, in its text format or OpenMetrics; docs/how-to/operations.md lists them."""
        part = parameters[COLLECT]
        of_process = (*_process(chainlog), copy.deepcopy(counters)) if part != "database" else None
        totals = await _totals(chainlog) if part != "process" else None
        # Rendering thousands of lines takes time: not on the event loop, which may be a gateway's.
        accept = request.headers.get("accept", "")
        text, content_type = await run_in_thread(_render, accept, of_process, totals, part != "process")
        return Response(text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return Operation(
        "/metrics",
        get_metrics,
        parameters=(COLLECT,),
        media_types=METRICS_MEDIA_TYPES,
        other_answers={501: ErrorReply},
        needs="read_all",
    )


def _process(chainlog: ChainLog) -> tuple[Health, Statistics | None]:
    try:
        return chainlog.health(), chainlog.statistics()
    except ClosedError:
        return chainlog.health(), None


async def _totals(chainlog: ChainLog) -> MetricTotals | None:
    try:
        return await chainlog.usage.get_metric_totals(chainlog.settings.server.max_metric_groups)
    except (ClosedError, DatabaseError) as error:
        # The rest of the scrape reports what is wrong.
        logger.debug("cannot read the totals for /metrics: %s", error)
        return None


def _render(
    accept: str,
    of_process: tuple[Health, Statistics | None, ServiceCounters] | None,
    totals: MetricTotals | None,
    is_database_asked: bool,
) -> tuple[bytes, str]:
    # Imported by the first scrape, in its thread.
    try:
        from prometheus_client import CollectorRegistry
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"/metrics needs prometheus-client; {install_command('server')}") from error
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    from chainlog_async.server.prometheus.process import process_metrics
    from chainlog_async.server.prometheus.service import service_metrics
    from chainlog_async.server.prometheus.usage import usage_metrics

    class Scrape(Collector):
        def collect(self) -> Iterable[Metric]:
            if of_process is not None:
                health, statistics, counters = of_process
                yield from process_metrics(health, statistics)
                if statistics is not None:
                    yield from service_metrics(counters)
            if is_database_asked:
                yield from usage_metrics(totals)

    # A separate registry: the global one belongs to the gateway.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Scrape())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
