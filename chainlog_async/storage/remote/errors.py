"""Errors for the server's answers; each names the server, what is wrong, and the remedy."""

from __future__ import annotations

from typing import Final

import msgspec

from chainlog_async.common.zones import UnknownZoneError
from chainlog_async.errors import QueryTimeoutError, RemoteError
from chainlog_async.wire.batches import ROW_REFUSED, TOO_LARGE
from chainlog_async.wire.questions import INVALID_QUESTION, UNKNOWN_ZONE

MAX_SHOWN_CHARS: Final = 200

NO_SUCH_ROUTE: Final = "there is no `chainlog serve` at that address, or an older one; correct db_url, or update it"


class RowRefusedError(RemoteError):
    """The server cannot store a row of the batch."""


class BodyTooLargeError(RemoteError):
    """The server, or a proxy in front of it, accepts no body of that size."""

    def __init__(self, message: str, *, of_server: bool) -> None:
        super().__init__(message)
        self.of_server = of_server
        """Whether the server itself said so: then it will not store the row, however it is sent."""


class _Problem(msgspec.Struct, frozen=True):
    message: str
    code: str


class _ErrorReply(msgspec.Struct, frozen=True):
    error: _Problem


class _Versioned(msgspec.Struct, frozen=True):
    protocol: int


_decode_versioned = msgspec.json.Decoder(_Versioned).decode
_decode_error = msgspec.json.Decoder(_ErrorReply).decode


def error_of(server: str, status: int, body: bytes, location: str | None) -> Exception:
    """The error that an answer with a status other than 200 stands for."""
    problem = _problem_of(body)
    message, code = (_excerpt(body), "") if problem is None else (problem.message, problem.code)
    if code == INVALID_QUESTION:
        return ValueError(message)
    if code == UNKNOWN_ZONE:
        return UnknownZoneError(message)
    if code == ROW_REFUSED:
        return RowRefusedError(f"{server} refuses a row: {message}")
    if status == 413:
        return BodyTooLargeError(
            f"{server} takes no body of that size (413): {message}; raise the limit of the proxy, or "
            "server.max_body_bytes there",
            of_server=code == TOO_LARGE,
        )
    if status == 504 and problem is not None:
        return QueryTimeoutError(f"{server}: {message}")
    return RemoteError(f"{server} {_sentence(status, message, location, is_ours=problem is not None)}")


def _sentence(status: int, message: str, location: str | None, *, is_ours: bool) -> str:
    where = "" if is_ours else "; look at the proxy in front of it"
    match status:
        case _ if 300 <= status < 400:
            goal = _shown(location or "nowhere")
            text = f"answers with a redirect to {goal} ({status}); set db_url to the service itself"
        case 401:
            text = "does not accept db_key (401); set db_key to one of its server.api_keys"
        case 403:
            text = f"refuses this with that db_key (403): {message}; set db_key to a key that may"
        case 404 | 405:
            text = f"has no such route ({status}): {NO_SUCH_ROUTE}"
        case _ if status >= 500:
            text = f"cannot do it now ({status}): {message}{where}"
        case _:
            text = f"refuses the request ({status}): {message}{where}"
    return text


def nonsense(server: str, content_type: str, body: bytes) -> RemoteError:
    """An answer that no `chainlog serve` gives."""
    return RemoteError(
        f"{server} answers what no `chainlog serve` answers ({_shown(content_type) or 'no content type'}: "
        f"{_excerpt(body)}); correct db_url, or the proxy in front of it"
    )


def other_form(server: str, content_type: str, body: bytes, problem: Exception) -> RemoteError:
    """An answer that cannot be decoded: of another release, if it has a version, and else nonsense."""
    try:
        _decode_versioned(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return nonsense(server, content_type, body)
    return RemoteError(f"{server} answers as another release does ({_shown(str(problem))}); bring both to one release")


def other_protocol(server: str, protocol: int) -> RemoteError:
    """A server whose release speaks another version of the protocol."""
    return RemoteError(
        f"{server} speaks version {protocol} of the exchange, and this release version 1; bring both to one release"
    )


def _problem_of(body: bytes) -> _Problem | None:
    try:
        return _decode_error(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _excerpt(body: bytes) -> str:
    return repr(_shown(body[: 4 * MAX_SHOWN_CHARS].decode("utf-8", "replace"))) if body else "an empty body"


def _shown(text: str) -> str:
    plain = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return plain if len(plain) <= MAX_SHOWN_CHARS else f"{plain[:MAX_SHOWN_CHARS]}…"
