"""What is used of the requests and responses of httpx, httpx2 and whatever else behaves like them."""

from __future__ import annotations

from typing import Protocol


class Url(Protocol):
    """Where a request goes."""

    host: str
    port: int | None
    path: str


class Headers(Protocol):
    """Headers by their names, whatever the case."""

    def get(self, key: str, default: str = "") -> str:
        """Returns a header."""


class HttpRequest(Protocol):
    """A request that is about to be sent."""

    method: str
    url: Url
    headers: Headers
    content: bytes
    """Raises when the body is streamed."""


class HttpResponse(Protocol):
    """A response whose body may still be on its way."""

    status_code: int
    headers: Headers
    stream: object
    is_closed: bool
    content: bytes
