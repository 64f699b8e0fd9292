"""A client that hangs up is not worked for any longer: providers would charge for the answer."""

from __future__ import annotations

from collections.abc import Awaitable

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response


async def answer_nobody(_request: Request, _error: Exception) -> Response:
    """For nobody to see, but the log."""
    return Response(status_code=499)


HANG_UP_HANDLERS = {ClientDisconnect: answer_nobody}
"""Exception handlers: a client that leaves before its question is read is no error of the application's."""


async def unless_hung_up(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer; it is cancelled when the client hangs up before.

    The body has to be read already. Raises what the answer raises.
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
