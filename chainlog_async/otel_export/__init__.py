"""Sends every request of the log to another program as spans of OpenTelemetry.

A follower reads the database after the writer, and keeps where it is in a file of its own. May import what stands below
`chainlog`.
"""

from .exporter import OtelExporter

__all__ = ["OtelExporter"]
