"""Settings: their keys, their sources, and messages for mistakes. Imports `entry` and `errors`."""

from .alerts import AlertSettings, AlertTarget
from .budgets import BudgetSettings
from .model import Settings
from .otel_export import OtelExportSettings
from .server import ScopedKey, ServerSettings

__all__ = [
    "AlertSettings",
    "AlertTarget",
    "BudgetSettings",
    "OtelExportSettings",
    "ScopedKey",
    "ServerSettings",
    "Settings",
]
