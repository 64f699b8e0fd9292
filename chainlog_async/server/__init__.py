"""The HTTP service (extra ``server``), on Starlette and uvicorn; the core never imports it."""

from .app import create_app
from .listen import check_bind
from .run import serve

__all__ = ["check_bind", "create_app", "serve"]
