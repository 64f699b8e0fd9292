"""Settings: their keys, their sources, and messages for mistakes. Imports `entry` and `errors`."""

from .model import ServerSettings, Settings

__all__ = ["ServerSettings", "Settings"]
