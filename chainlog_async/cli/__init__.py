"""The command line ``chainlog``; one module for each group of commands."""

from __future__ import annotations

from .app import chainlog, run

__all__ = ["chainlog", "run"]
