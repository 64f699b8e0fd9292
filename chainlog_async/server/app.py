"""The Starlette application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

from chainlog_async.chainlog import ChainLog
from chainlog_async.server.http.responses import HANDLED_ERRORS, answer_error
from chainlog_async.server.routes.dashboard import Dashboard
from chainlog_async.server.routes.health import HealthEndpoints
from chainlog_async.server.routes.ingest import ingest_operation
from chainlog_async.server.routes.metrics import metrics_operation
from chainlog_async.server.routes.openapi import openapi_operation
from chainlog_async.server.routes.requests import RequestEndpoints
from chainlog_async.server.routes.stats import StatsEndpoints
from chainlog_async.server.routes.stream import EventEndpoints
from chainlog_async.server.routes.usage import UsageEndpoints

from .access import AccessControl


def create_app(chainlog: ChainLog, *, already_running: bool = False) -> Starlette:
    """The service as an application.

    Its lifespan opens ``chainlog`` and drains it at the end. With ``already_running`` it leaves both to the caller:
    for a gateway that runs its own ChainLog and mounts the service under a path of its own. Either way callers need
    one of ``server.api_keys``; without any, only this machine is answered, under one of its own names.
    ``app.state.end_streams()`` ends the streams of new requests, which would hold up a server that waits for its
    requests to end.
    """
    events = EventEndpoints(chainlog)
    operations = [
        *HealthEndpoints(chainlog).operations(),
        metrics_operation(chainlog),
        ingest_operation(chainlog),
        *StatsEndpoints(chainlog).operations(),
        *events.operations(),
        *RequestEndpoints(chainlog).operations(),
        *UsageEndpoints(chainlog).operations(),
    ]
    described = openapi_operation(operations, with_keys=bool(chainlog.settings.server.api_keys))
    app = Starlette(
        routes=[*Dashboard().routes(), *(operation.route() for operation in (*operations, described))],
        middleware=[Middleware(AccessControl, settings=chainlog.settings.server)],
        exception_handlers=dict.fromkeys(HANDLED_ERRORS, answer_error),
        lifespan=None if already_running else chainlog.lifespan,
    )
    # With a slash too many a path does not exist; a redirect would cost a POST its body with many a client.
    app.router.redirect_slashes = False
    app.state.end_streams = events.stop
    return app
