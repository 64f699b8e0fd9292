"""A route and its description in one: what it is asked with, what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .parameters import Parameter, ParsedParameters, read_parameters
from .responses import ErrorReply

Endpoint = Callable[[Request, ParsedParameters], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Body:
    """A body that a route takes: one entry, an array of entries, or one a line."""

    entry: object
    """The type of an entry."""
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: its parameters are checked by what describes them, and the endpoint gets them read.

    The endpoint's docstring is the description. A parameter that is not named here is refused.
    """

    path: str
    endpoint: Endpoint
    answer: object = None
    """The type of the JSON that a success is, or None where it is no JSON."""
    parameters: Sequence[Parameter[object]] = ()
    method: str = "GET"
    success: int = 200
    other_answers: Mapping[int, object] = field(default_factory=dict)
    """The type of other answers by status, or a tuple of types; beside those that every route may give."""
    media_types: Sequence[str] = ("application/json",)
    """What a success may be."""
    body: Body | None = None

    def route(self) -> Route:
        """The route for Starlette."""

        async def answer(request: Request) -> Response:
            return await self.endpoint(request, read_parameters(request, self.parameters))

        return Route(self.path, answer, methods=[self.method])


NOT_FOUND = {404: ErrorReply}
"""For `Operation.other_answers`: what was asked for may not be there."""
