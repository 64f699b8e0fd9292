"""The request log for async Python LLM gateways, on one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .database import initialize_database
from .durations import Percentiles
from .entry import Attempt, RequestLogEntry
from .errors import ChainlogError
from .histogram import Histogram
from .logger import RequestLogger
from .provider_health import ProviderHealth
from .request_filter import RequestFilter
from .requests import LoggedAttempt, LoggedRequest, RequestPage
from .schema import migrate_schema
from .service import ChainLog
from .statistics import Health, Statistics
from .usage import ChainUsage, ProviderUsage, RequestLogRow, SummaryStats, UsageAggregator
from .usage_over_time import LatencyPoint, UsageFilter, UsagePoint
from .window import Window

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
