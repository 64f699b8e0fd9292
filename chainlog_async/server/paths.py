"""Paths that several parts of the service use."""

from __future__ import annotations

HEALTH_PATH = "/health"
"""Answered without an API key."""

HOME_PATH = "/"
"""The page of the dashboard, which holds no data and is answered without an API key."""

STATIC_PREFIX = "/static/"
"""The files that this page loads."""

DOCS_PATH = "/docs"
"""The page about the HTTP API, which holds no data and is answered without an API key."""
