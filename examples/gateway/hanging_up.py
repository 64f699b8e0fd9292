"""A client that hangs up is not worked for any longer: providers would charge for the answer."""

from __future__ import annotations

from collections.abc import Awaitable

import anyio
from starlette.requests import Request
from starlette.responses import Response


async def unless_hung_up(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer; cancelled, and nothing, when the client hangs up before. The body has to be read already."""
    response = Response(status_code=499)  # for nobody to see, but the log
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        response = await answer
        tasks.cancel_scope.cancel()
    return response
