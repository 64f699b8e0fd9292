"""What the key of a request may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import Request

from .responses import ApiError

Needs = Literal["nothing", "write", "read", "read_all"]
"""What a route needs: nothing, the right to write, to read, or to read of all callers."""

RIGHTS: Final = "chainlog_async.rights"
"""Where in the scope of a request its `Rights` are."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Everything, unless a key is limited."""

    may_read: bool = True
    may_write: bool = True
    caller: str | None = None
    """Whose requests and usage may be read; None for everybody's."""


def rights_of(request: Request) -> Rights:
    """Returns the rights that `AccessControl` found."""
    rights = request.scope[RIGHTS]
    assert isinstance(rights, Rights)  # noqa: S101  # set for every request, above all routes
    return rights


def require(request: Request, needs: Needs) -> None:
    """Raises `ApiError` (403) when the key of the request may not do that."""
    if needs == "nothing":
        return
    rights = rights_of(request)
    if needs == "write":
        if not rights.may_write:
            raise _not_allowed("this key may only read; use one that may write")
        return
    if not rights.may_read:
        raise _not_allowed("this key may only write; use one that may read")
    if needs == "read_all" and rights.caller is not None:
        raise one_caller_only("this")


def one_caller_only(what: str) -> ApiError:
    """The refusal of what cannot be told of a single caller."""
    return _not_allowed(f"this key sees one caller, and {what} is known of all callers together only; use another key")


def another_caller(asked: str) -> ApiError:
    """The refusal of a question about a caller that is not the key's."""
    return _not_allowed(f"this key does not see the caller {asked!r}; leave the caller out, or use another key")


def _not_allowed(message: str) -> ApiError:
    return ApiError(403, message, "key_not_allowed")
