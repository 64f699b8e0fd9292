"""The request log for async Python LLM gateways, on one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chainlog import ChainLog
from .common.histogram import Histogram
from .entry.model import Attempt, RequestLogEntry
from .errors import ChainlogError
from .request_logger import RequestLogger
from .requests.filter import RequestFilter
from .requests.model import LoggedAttempt, LoggedRequest, RequestLogRow, RequestPage
from .statistics import Health, Statistics
from .storage.sqlite.connection import initialize_database
from .storage.sqlite.schema import migrate_schema
from .usage.percentiles import Percentiles
from .usage.points import LatencyPoint, UsagePoint
from .usage.provider_health import ProviderHealth
from .usage.query import UsageFilter, UsageQuery
from .usage.time_window import Window
from .usage.totals import ChainUsage, ProviderUsage, SummaryStats
from .usage_aggregator import UsageAggregator

if TYPE_CHECKING:
    from .settings import Settings

__all__ = [
    "Attempt",
    "ChainLog",
    "ChainUsage",
    "ChainlogError",
    "Health",
    "Histogram",
    "LatencyPoint",
    "LoggedAttempt",
    "LoggedRequest",
    "Percentiles",
    "ProviderHealth",
    "ProviderUsage",
    "RequestFilter",
    "RequestLogEntry",
    "RequestLogRow",
    "RequestLogger",
    "RequestPage",
    "Settings",
    "Statistics",
    "SummaryStats",
    "UsageAggregator",
    "UsageFilter",
    "UsagePoint",
    "UsageQuery",
    "Window",
    "__version__",
    "initialize_database",
    "migrate_schema",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # pydantic takes longer to import than all the rest; a gateway that has settings of its own kind never needs it.
    if name == "Settings":
        from .settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
