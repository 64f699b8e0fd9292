"""The request log for async Python LLM gateways, on one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainlog_async.common.histogram import Histogram
from chainlog_async.entry.model import Attempt, RequestLogEntry
from chainlog_async.requests.filter import RequestFilter
from chainlog_async.requests.model import LoggedAttempt, LoggedRequest, RequestLogRow, RequestPage
from chainlog_async.storage.sqlite.connection import initialize_database
from chainlog_async.storage.sqlite.schema import migrate_schema
from chainlog_async.usage.budget import BudgetStatus
from chainlog_async.usage.cache_savings import CacheSavings
from chainlog_async.usage.percentiles import Percentiles
from chainlog_async.usage.points import LatencyPoint, UsagePoint
from chainlog_async.usage.provider_health import ProviderHealth
from chainlog_async.usage.query import UsageFilter, UsageQuery
from chainlog_async.usage.time_window import Window
from chainlog_async.usage.totals import ChainUsage, ProviderUsage, SummaryStats

from .chainlog import ChainLog
from .errors import ChainlogError
from .request_logger import RequestLogger
from .statistics import Health, Statistics
from .usage_aggregator import UsageAggregator
from .watch.options import describe_calls

if TYPE_CHECKING:
    from .settings import Settings

__all__ = [
    "Attempt",
    "BudgetStatus",
    "CacheSavings",
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
    "describe_calls",
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
