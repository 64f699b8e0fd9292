"""Paths that more than one part of the service has to know."""

from __future__ import annotations

HEALTH_PATH = "/health"
"""Answered without a key."""

HOME_PATH = "/"
"""The dashboard's page, which holds no data and is answered without a key."""

STATIC_PREFIX = "/static/"
"""The files of that page."""
