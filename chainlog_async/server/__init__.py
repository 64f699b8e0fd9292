"""The HTTP face of chainlog-async (extra ``server``): Starlette and uvicorn; the core never imports it."""

from chainlog_async.server.app import create_app
from chainlog_async.server.bind import check_bind
from chainlog_async.server.run import serve

__all__ = ["check_bind", "create_app", "serve"]
