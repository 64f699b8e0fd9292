"""docs/reference/metrics.md: every metric of a scrape."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import httpx
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from chainlog_async import Attempt, ChainLog, RequestLogEntry, Settings
from chainlog_async.server import create_app

from .markdown import code, page, table

INTRODUCTION = """\
`GET /metrics` responds in Prometheus's text format, or in OpenMetrics if the scraper asks for it.
`?collect=process` and `?collect=database` limit it to one of the tables below.
[operations.md](../how-to/operations.md#metrics) has the set-up, the number of series, and the alerts."""


def metrics_page() -> str:
    """Returns the page."""
    process = anyio.run(_scrape, "process")
    database = anyio.run(_scrape, "database")
    return page(
        "Metrics",
        INTRODUCTION,
        "## Of the process",
        "Each process has its own counters, which start at 0 with the process. "
        "`submitted == written + pending + sum(dropped)` holds in every scrape.",
        table(TITLES, _rows(process)),
        "## Of the database",
        "All-time totals, from tables that outlive retention. They are the same from every process.",
        table(TITLES, _rows(database)),
    )


TITLES = ("Metric", "Type", "Labels", "Meaning")


async def _scrape(collect: str) -> list[Metric]:
    with tempfile.TemporaryDirectory() as folder:
        chainlog = ChainLog(Settings(db_path=Path(folder) / "log.db"))
        app = create_app(chainlog, already_running=True)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with chainlog, httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            trail = [Attempt(provider_id="groq", model="llama-3.1-8b", http_status=200)]
            entry = RequestLogEntry(
                chain_name="default",
                provider_id="groq",
                model="llama-3.1-8b",
                latency_ms=412.5,
                ttft_ms=180,
                http_status=200,
                attempt_trail=trail,
            )
            await chainlog.write(entry)
            text = (await client.get("/metrics", params={"collect": collect})).text
    return list(text_string_to_metric_families(text))


def _rows(families: Sequence[Metric]) -> Iterator[Sequence[str]]:
    for family in families:
        labels = dict.fromkeys(name for sample in family.samples for name in sample.labels if name != "le")
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield code(name), family.type, ", ".join(map(code, labels)), family.documentation
