"""Requests that are unfinished when the time for a shutdown has run out."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chainlog_async.server.http.responses import ApiError


class ShutdownMiddleware:
    """ASGI middleware for uvicorn, which ends a shutdown by cancelling the requests that are left.

    Such a request is answered with 503 if no response has begun; otherwise its connection is closed. Without this,
    uvicorn treats it as an error of the application: 500 for the client, and a traceback in the log for every slow
    client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the request; when cancelled, answers it and returns."""
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
                # uvicorn closes the connection of an unfinished response, and logs one line.
                return
            refusal = ApiError(503, "the service shut down before the request was complete", "closed")
            await refusal.reply()(scope, receive, send)
