"""What all responses share: JSON bodies, one shape for errors, and the error handler."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from chainlog_async.errors import ClosedError, DatabaseError, MissingExtraError, QueryTimeoutError

MAX_ECHOED_PATH_CHARS = 200
"""How many characters of a path an error message repeats."""


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a request, or with the service."""

    message: str
    """For people: what is wrong, the value and the remedy."""
    type: str
    """``invalid_request_error``, or ``server_error`` when the request is not at fault."""
    param: str | None
    """The parameter at fault, if any."""
    code: str
    """For programs: a fixed code."""


class ErrorReply(msgspec.Struct, frozen=True):
    """The body of every error."""

    error: Problem


class ApiError(Exception):
    """An error that the client is answered with.

    ``status`` is the HTTP status, ``code`` a fixed code for programs, ``param`` the query parameter at fault, if any.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers

    @property
    def problem(self) -> Problem:
        """The error as it is sent."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return Problem(self.message, kind, self.param, self.code)

    def reply(self) -> Response:
        """Returns the error as a response."""
        return json_reply(ErrorReply(self.problem), status=self.status, headers=self.headers)


def json_reply(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns ``content`` encoded by msgspec, as a response that must not be cached."""
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/json",
    )


def closing_headers(request: Request) -> dict[str, str]:
    """Returns the headers that end the connection after the response: HTTP/1 has such a header, HTTP/2 forbids it."""
    return {"Connection": "close"} if request.scope["http_version"].startswith("1") else {}


async def answer_error(request: Request, error: Exception) -> Response:
    """Returns the response to an exception raised while serving `request`."""
    return _as_refusal(request, error).reply()


def _as_refusal(request: Request, error: Exception) -> ApiError:
    match error:
        case ApiError():
            return error
        case HTTPException(status_code=status):
            path = request.scope["path"]
            shown = path if len(path) <= MAX_ECHOED_PATH_CHARS else f"{path[:MAX_ECHOED_PATH_CHARS]}…"
            allowed = sorted({*(error.headers or {}).get("Allow", "GET").split(", ")} - {"HEAD"})
            messages = {
                404: f"there is nothing at {shown}",
                405: f"{request.method[:20]} is not allowed at {shown}; use {' or '.join(allowed)}",
            }
            message = messages.get(status, error.detail)
            return ApiError(status, message, HTTPStatus(status).name.lower(), headers=error.headers)
        case DatabaseError() | ClosedError():
            return _unavailable(error)
        case MissingExtraError():
            return ApiError(501, str(error), "not_installed")
        case ClientDisconnect():
            return ApiError(400, "the request ended before its body did", "incomplete_body")
        case _:
            # Starlette raises an unexpected error again for uvicorn to log; the client gets no details.
            return ApiError(500, "the server failed to answer; see its log", "internal_error")


def _unavailable(error: DatabaseError | ClosedError) -> ApiError:
    match error:
        case QueryTimeoutError():
            return ApiError(504, str(error), "query_timeout")
        case DatabaseError():
            return ApiError(503, str(error), "database_unavailable")
        case _:
            return ApiError(503, str(error), "closed")


HANDLED_ERRORS = (ApiError, HTTPException, DatabaseError, ClosedError, MissingExtraError, ClientDisconnect, Exception)
"""The exception classes to register `answer_error` for."""
