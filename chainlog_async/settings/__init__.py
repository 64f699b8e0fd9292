"""Settings: their keys, their sources, and messages for mistakes. Imports `entry` and `errors`."""

from .budgets import BudgetSettings
from .model import ScopedKey, ServerSettings, Settings

__all__ = ["BudgetSettings", "ScopedKey", "ServerSettings", "Settings"]
