"""The service as a Starlette application."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from chainlog_async.chainlog import ChainLog
from chainlog_async.integrations.litellm_posts import PostIntake
from chainlog_async.integrations.otel import SpanIntake
from chainlog_async.server.http.responses import HANDLED_ERRORS, answer_error
from chainlog_async.server.routes.api_page import ApiPage
from chainlog_async.server.routes.batches import BatchEndpoints
from chainlog_async.server.routes.budgets import BudgetEndpoints
from chainlog_async.server.routes.dashboard import Dashboard
from chainlog_async.server.routes.health import HealthEndpoints
from chainlog_async.server.routes.ingest import ingest_operation
from chainlog_async.server.routes.litellm import LitellmEndpoints
from chainlog_async.server.routes.metrics import metrics_operation
from chainlog_async.server.routes.openapi import ApiDescription
from chainlog_async.server.routes.otlp import OtlpEndpoints
from chainlog_async.server.routes.read import read_operation
from chainlog_async.server.routes.requests import RequestEndpoints
from chainlog_async.server.routes.sessions import SessionEndpoints
from chainlog_async.server.routes.stats import StatsEndpoints
from chainlog_async.server.routes.stream import EventEndpoints
from chainlog_async.server.routes.usage import UsageEndpoints

from .access import AccessControl
from .cors import cross_origin
from .counters import ServiceCounters
from .received_ids import ReceivedIds


def create_app(chainlog: ChainLog, *, already_running: bool = False) -> Starlette:
    """Returns the service as an ASGI application.

    Its lifespan opens ``chainlog``, and drains it at the end. With ``already_running`` the caller does both: a gateway
    that runs its own ChainLog and mounts the service under a path of its own.

    Clients need one of ``server.api_keys`` in either case; without any, only clients on this machine are answered, and
    only under its own names. ``app.state.end_streams()`` ends the streams of new requests, which would delay a server
    that waits for its requests to end. ``async with app.state.running()`` goes on with the spans and the attempts of
    LiteLLM that a killed process left, and logs those that wait at the end; without it they wait for the next request
    of their kind.
    """
    counters = ServiceCounters()
    events = EventEndpoints(chainlog, counters)
    spans, posts = SpanIntake(chainlog), PostIntake(chainlog)
    received = ReceivedIds(chainlog.settings)
    otlp = OtlpEndpoints(chainlog, spans, received, counters)
    operations = [
        *HealthEndpoints(chainlog).operations(),
        metrics_operation(chainlog, counters),
        ingest_operation(chainlog, counters, received, otlp),
        *StatsEndpoints(chainlog).operations(),
        *events.operations(),
        *RequestEndpoints(chainlog, counters).operations(),
        *SessionEndpoints(chainlog).operations(),
        *BudgetEndpoints(chainlog).operations(),
        *UsageEndpoints(chainlog).operations(),
        *otlp.operations(),
        *LitellmEndpoints(chainlog, posts, received, counters).operations(),
        *BatchEndpoints(chainlog, counters).operations(),
        read_operation(chainlog, counters),
    ]
    description = ApiDescription(operations, with_keys=bool(chainlog.settings.server.api_keys))

    @asynccontextmanager
    async def running() -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for intake in (spans, posts):
                await stack.enter_async_context(intake.running())
            yield

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, ChainLog]]:
        async with chainlog.lifespan(app) as state, running():
            yield state

    app = Starlette(
        routes=[
            *Dashboard().routes(),
            *ApiPage(description).routes(),
            *(route for one in (*operations, description.operation) for route in one.routes()),
        ],
        middleware=[
            *cross_origin(chainlog.settings.server),
            Middleware(AccessControl, settings=chainlog.settings.server),
        ],
        exception_handlers=dict.fromkeys(HANDLED_ERRORS, answer_error),
        lifespan=None if already_running else lifespan,
    )
    # Each path is there with a slash at its end too; on a redirect, many clients would drop the body of a POST.
    app.router.redirect_slashes = False
    app.state.end_streams = events.stop
    app.state.counters = counters
    app.state.running = running
    return app
