"""A route together with its description: its parameters and its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .parameters import Parameter, ParsedParameters, read_parameters
from .responses import ErrorReply
from .rights import Needs, require

Endpoint = Callable[[Request, ParsedParameters], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Body:
    """A request body."""

    entry: object
    """The type of an entry, or of the whole body."""
    description: str
    kind: Literal["entries", "one", "one_or_protobuf", "lines"] = "entries"
    """One entry, an array of entries or one per line; one JSON value; the same or protobuf; or lines of our own,
    compressed with gzip."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: requests are validated by the same parameters that describe it, and parsed for the endpoint.

    The docstring of the endpoint is the description. A parameter that is not listed is refused.
    """

    path: str
    endpoint: Endpoint
    answer: object = None
    """The type of the JSON of a success, or None when it is not JSON."""
    parameters: Sequence[Parameter[object]] = ()
    method: str = "GET"
    success: int = 200
    other_answers: Mapping[int, object] = field(default_factory=dict)
    """The types of other answers by status, as a type or a tuple of types, besides those that every route has."""
    media_types: Sequence[str] = ("application/json",)
    """The media types of a success that is not JSON."""
    body: Body | None = None
    needs: Needs = field(kw_only=True)
    """What the key must be allowed. A route that needs `read` answers a key with a caller about that caller alone: it
    reads through `own_reads`."""

    def routes(self) -> list[Route]:
        """Returns the route for Starlette, and the same with a slash at its end.

        A redirect would cost a POST its body with many clients. A name at the end of a path may itself end in a slash.
        """

        async def answer(request: Request) -> Response:
            require(request, self.needs)
            return await self.endpoint(request, read_parameters(request, self.parameters))

        route = Route(self.path, answer, methods=[self.method])
        if self.path.endswith(":chainlog_name}"):
            return [route]
        return [route, Route(f"{self.path}/", answer, methods=[self.method], include_in_schema=False)]


NOT_FOUND = {404: ErrorReply}
"""For `Operation.other_answers` of a route whose resource may not exist."""
