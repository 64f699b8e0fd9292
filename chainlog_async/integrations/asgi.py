"""Logs every call of an OpenAI-compatible ASGI application. Needs no framework and no extra.

``app.add_middleware(ChainLogMiddleware, chainlog=chainlog)`` records status, times and tokens from the messages that
pass through; the handler adds what only it knows with `attempt`, `record_attempt` and `describe_request`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.error_names import name_error
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.entry.cost_callback import CostCallback, with_cost
from chainlog_async.errors import ChainlogError
from chainlog_async.integrations._asgi.context import (
    Description,
    Tried,
    attempt,
    current_notes,
    describe_request,
    record_attempt,
)
from chainlog_async.integrations._asgi.recorded_call import Message, Receive, RecordedCall, Send

__all__ = [
    "OPENAI_PATHS",
    "ChainLogMiddleware",
    "Description",
    "Tried",
    "attempt",
    "describe_request",
    "record_attempt",
]

OPENAI_PATHS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/messages")
"""Path suffixes whose POST requests are recorded."""

App = Callable[..., Awaitable[None]]


class ChainLogMiddleware:
    """ASGI middleware that records each call once its response has ended; bodies pass unchanged and unbuffered.

    ``paths`` are the path suffixes whose POST requests are recorded. ``chain_name`` and ``provider_id`` are used unless
    the handler gives others. ``cost`` is called with a finished entry for its price in US dollars, unless the handler
    gave one. Errors in the middleware never affect the request; they are logged, at most once a minute.
    """

    def __init__(
        self,
        app: App,
        *,
        chainlog: ChainLog,
        paths: Sequence[str] = OPENAI_PATHS,
        chain_name: str = "default",
        provider_id: str = "unknown",
        cost: CostCallback | None = None,
    ) -> None:
        self._app = app
        self._chainlog = chainlog
        self._paths = tuple(paths)
        self._chain_name = chain_name
        self._provider_id = provider_id
        self._cost = cost
        self._log_throttle = LogThrottle()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves the request and records it. Raises what the application raises."""
        if not self._is_recorded(scope):
            await self._app(scope, receive, send)
            return
        call = RecordedCall(scope, receive, send, self._record)
        token = current_notes.set(call.notes)
        try:
            await self._app(scope, call.receive, call.send)
        except BaseException as error:
            call.end(error)
            raise
        else:
            call.end()
        finally:
            current_notes.reset(token)

    def _is_recorded(self, scope: Message) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and str(scope["path"]).rstrip("/").endswith(self._paths)
        )

    def _record(self, call: RecordedCall, error: BaseException | None) -> None:
        try:
            entry = call.entry(error, chain_name=self._chain_name, provider_id=self._provider_id)
            self._chainlog.log_request(with_cost(entry, self._cost, self._log_throttle))
        except ChainlogError as refusal:
            self._log_throttle.warn("asgi", f"a request was not recorded: {refusal}")
        except Exception as bug:  # noqa: BLE001  # a failure to record must not affect the request
            self._log_throttle.warn("asgi", f"a request was not recorded: {name_error(bug)}")
