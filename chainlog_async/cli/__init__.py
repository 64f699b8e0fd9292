"""The command line ``chainlog``; each command is a module of `commands`."""

from __future__ import annotations

from .app import chainlog, run

__all__ = ["chainlog", "run"]
