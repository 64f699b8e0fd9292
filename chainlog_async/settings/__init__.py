"""Settings: every key, where its value comes from, and how a mistake is explained. Imports `entry` and `errors`."""

from .model import ServerSettings, Settings

__all__ = ["ServerSettings", "Settings"]
