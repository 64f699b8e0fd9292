"""What a request gets that is still unfinished when the time for a shutdown has run out."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chainlog_async.server.http.responses import ApiError


class ShutdownMiddleware:
    """ASGI middleware for uvicorn, which ends a shutdown by cancelling the requests it is left with.

    Such a request is answered with 503 if it can be; a download that has begun is cut off. Left alone, uvicorn would
    call it an exception in the application: 500 for the client, and a traceback in the log for every client that was
    slow.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request; cancelled, answer it and end."""
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if begun:
                # uvicorn closes the connection of a reply without an end, and says so in one line.
                return
            refusal = ApiError(503, "the service shut down before it had the whole request", "closed")
            await refusal.reply()(scope, receive, send)
