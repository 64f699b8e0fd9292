"""Cancels the request of a client that disconnects; otherwise providers would charge for the answer."""

from __future__ import annotations

from collections.abc import Awaitable

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response


async def answer_nobody(_request: Request, _error: Exception) -> Response:
    """Return a response that only the log sees."""
    return Response(status_code=499)


HANG_UP_HANDLERS = {ClientDisconnect: answer_nobody}
"""Exception handlers: a client that disconnects before its request is read is not an error of the application."""


async def unless_hung_up(request: Request, answer: Awaitable[Response]) -> Response:
    """Await the answer; cancel it if the client disconnects first, and return a response with status 499.

    The request body must have been read. Raises what the answer raises.
    """
    response = Response(status_code=499)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        try:
            response = await answer
        except Exception as error:  # noqa: BLE001  # raised below: the task group would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return response
