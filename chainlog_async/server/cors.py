"""Cross-origin requests (CORS): which pages of other origins a browser lets use the service; none by default."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from chainlog_async.settings import ServerSettings

PREFLIGHT_MAX_AGE_S = 600
"""How long a browser may remember what is allowed, in seconds."""

REQUEST_HEADERS = ("Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key", "Last-Event-ID")
RESPONSE_HEADERS = ("Retry-After",)


def cross_origin(settings: ServerSettings) -> list[Middleware]:
    """Returns the middleware that lets pages of `server.cors_origins` use the service; none without any.

    It stands above access control: browsers ask for permission without a key, and must be able to read a 401.
    """
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
            max_age=PREFLIGHT_MAX_AGE_S,
        )
    ]
