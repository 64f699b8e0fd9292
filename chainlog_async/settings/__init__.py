"""Settings: their keys, their sources, and messages for mistakes. Imports `entry` and `errors`."""

from .model import ScopedKey, ServerSettings, Settings

__all__ = ["ScopedKey", "ServerSettings", "Settings"]
