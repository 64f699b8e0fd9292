"""Classifies PostgreSQL's errors by SQLSTATE, and turns them into messages with a name and a remedy.

The text of messages depends on the server's language and release; SQLSTATEs do not
(https://www.postgresql.org/docs/current/errcodes-appendix.html).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import NamedTuple

import asyncpg

from chainlog_async.errors import DatabaseError, NewerDatabaseError, OlderDatabaseError
from chainlog_async.storage.base import PositionBehindError, StorageFault


class PoolerError(DatabaseError):
    """A connection pooler stands between, and does not keep prepared statements."""


class UnsuitableServerError(DatabaseError):
    """The server is too old, or the database has another encoding than UTF-8."""


LOST = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when a connection is gone; the last one when the server closes it just as it is used."""

DRIVER_ERRORS = (asyncpg.PostgresError, *LOST)
"""All that the driver raises."""


class _Kind(NamedTuple):
    fault: StorageFault
    name: str
    remedy: str = ""


_LOST = _Kind(StorageFault.STORAGE, "connection lost")
_CERTIFICATE = _Kind(
    StorageFault.STORAGE,
    "certificate not trusted",
    "name its authority in sslrootcert, and the host as the certificate does",
)
_PASSWORD = _Kind(StorageFault.STORAGE, "wrong user or password", "correct the user and password in db_url")

# The longest beginning of a SQLSTATE counts.
_KINDS = {
    "08": _LOST,
    "0A": _Kind(StorageFault.UNKNOWN, "feature not supported"),
    "21": _Kind(StorageFault.ROW, "cardinality violation"),
    "22": _Kind(StorageFault.ROW, "value refused"),
    "23": _Kind(StorageFault.ROW, "constraint violated"),
    "25006": _Kind(
        StorageFault.STORAGE, "read-only", "name the primary in db_url, or add target_session_attrs=read-write"
    ),
    "25P03": _LOST,
    "26000": _Kind(StorageFault.STORAGE, "prepared statement lost"),
    "28": _PASSWORD,
    "3D000": _Kind(StorageFault.STORAGE, "no such database", "create it, or correct its name in db_url"),
    "3F000": _Kind(StorageFault.STORAGE, "no such schema", "run `chainlog migrate --db-url …`"),
    "40001": _Kind(StorageFault.BUSY, "serialization failure"),
    "40P01": _Kind(StorageFault.BUSY, "deadlock"),
    "42501": _Kind(StorageFault.STORAGE, "missing privileges", "grant the role what docs/how-to/many-hosts.md lists"),
    "42883": _Kind(StorageFault.STORAGE, "schema missing or outdated", "run `chainlog migrate --db-url …`"),
    "42P01": _Kind(StorageFault.STORAGE, "schema missing or outdated", "run `chainlog migrate --db-url …`"),
    "53": _Kind(StorageFault.STORAGE, "server out of resources"),
    "53100": _Kind(StorageFault.STORAGE, "disk full", "free space on the server's disk"),
    "53200": _Kind(StorageFault.STORAGE, "server out of memory"),
    "53300": _Kind(StorageFault.STORAGE, "too many connections", "raise max_connections, or use a pooler"),
    "54": _Kind(StorageFault.ROW, "value too large"),
    "55006": _Kind(StorageFault.BUSY, "object in use"),
    "55P03": _Kind(StorageFault.BUSY, "lock timeout"),
    "57014": _Kind(StorageFault.BUSY, "statement timeout"),
    "57P": _LOST,
    "57P03": _Kind(StorageFault.STORAGE, "server is starting or stopping"),
    "58": _Kind(StorageFault.STORAGE, "I/O error of the server"),
    "F0": _Kind(StorageFault.STORAGE, "server's configuration file is broken"),
    "P0001": _Kind(StorageFault.ROW, "refused by a trigger"),
    "XX001": _Kind(StorageFault.DAMAGED, "table damaged"),
    "XX002": _Kind(StorageFault.DAMAGED, "index damaged"),
    "CL001": _Kind(StorageFault.UNKNOWN, "stream has ended"),
}

# What the driver raises without an error of the server; the first that fits counts.
_KINDS_OF_DRIVER: dict[type[BaseException] | tuple[type[BaseException], ...], _Kind] = {
    asyncpg.TargetServerAttributeNotMatched: _KINDS["25006"],
    ssl.SSLCertVerificationError: _CERTIFICATE,
    LOST: _LOST,
}


def classify(error: BaseException) -> StorageFault:
    """What the error means for the writer; one of ours means what the error that caused it means."""
    kind = _kind_of(error)
    return StorageFault.OTHER if kind is None else kind.fault


def describe(error: BaseException) -> str:
    """The name of the kind of error, what the server or the driver said, its SQLSTATE, and a remedy if there is one."""
    kind = _kind_of(error)
    said = str(error) or type(error).__name__
    if kind is None or isinstance(error, DatabaseError):
        return said
    state = _sqlstate(error) or type(error).__name__
    return f"{kind.name}: {said} ({state})" + (f"; {kind.remedy}" if kind.remedy else "")


def is_lost(error: BaseException) -> bool:
    """Whether the connection on which it was raised cannot be used any more, or not be trusted."""
    return isinstance(error, LOST) or (
        isinstance(error, asyncpg.PostgresError) and (_sqlstate(error) or "")[:2] in ("08", "57", "25", "26")
    )


_WAIT = ("08", "53", "55", "57", "40", "25")


def is_unreachable(error: BaseException) -> bool:
    """Whether the same may work later without anybody's doing: server away, starting, read-only or full."""
    for one in _with_causes(error):
        state = _sqlstate(one)
        if state is not None:
            return state.startswith(_WAIT)
        if isinstance(one, ssl.SSLCertVerificationError):
            return False
        if isinstance(one, (*LOST, asyncpg.TargetServerAttributeNotMatched)):
            return True
    return False


def database_error(shown: str, error: BaseException) -> DatabaseError:
    """The error as a `DatabaseError` that names the database."""
    return error if isinstance(error, DatabaseError) else DatabaseError(f"{shown}: {describe(error)}")


def _kind_of(error: BaseException) -> _Kind | None:
    for one in _with_causes(error):
        if isinstance(one, PositionBehindError):
            return _Kind(StorageFault.BEHIND, "database is behind")
        if isinstance(one, NewerDatabaseError | OlderDatabaseError | PoolerError | UnsuitableServerError):
            return _Kind(StorageFault.STORAGE, "unsuitable database")
        state = _sqlstate(one)
        if state is not None:
            known = (_KINDS.get(state[:length]) for length in (5, 3, 2))
            return next(filter(None, known), _Kind(StorageFault.UNKNOWN, "error of the server"))
        of_driver = next((kind for errors, kind in _KINDS_OF_DRIVER.items() if isinstance(one, errors)), None)
        if of_driver is not None:
            return of_driver
    return None


def _sqlstate(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None) if isinstance(error, asyncpg.PostgresError) else None
    return state if isinstance(state, str) and len(state) == 5 else None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    behind: BaseException | None = error
    while behind is not None:
        yield behind
        behind = behind.__cause__
