"""Opens connections: host after host, each within its time, and tells what stands at the other end."""

from __future__ import annotations

import logging
from pathlib import Path

import asyncpg

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.errors import DatabaseError

from .errors import DRIVER_ERRORS, PoolerError, UnsuitableServerError, database_error, describe
from .url import PostgresUrl

logger = logging.getLogger(__name__)

OLDEST_SERVER = 140_000
"""`server_version_num` of the oldest release that is supported."""

IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
"""After how long the server ends a session that began a transaction and went silent, in ms."""

ANSWER_MARGIN_S = 5.0
"""How much longer than the server's own limit a statement may take before the connection counts as lost, in seconds."""

_FACTS = """
SELECT
  pg_backend_pid(), current_setting('server_version_num')::integer, current_setting('server_encoding'),
  current_setting('server_version')
"""
_SESSION = """
SELECT
  set_config('statement_timeout', $1, FALSE), set_config('idle_in_transaction_session_timeout', $2, FALSE),
  set_config('default_transaction_isolation', 'read committed', FALSE), set_config('jit', 'off', FALSE)
"""


class PooledConnection(asyncpg.Connection):
    """A connection through a pooler, such as PgBouncer, which may give each transaction another session.

    Nothing lasts longer than a transaction, no setting and no prepared statement: everything has to run in one.
    """


async def open_connection(url: PostgresUrl, *, name: str = "chainlog") -> asyncpg.Connection:
    """Connects to the first host that answers and is what the URL asks for (``target_session_attrs``).

    `name` is shown in ``pg_stat_activity``. Behind a pooler the session's own settings are left as they are: the next
    transaction may be another session's. Raises `DatabaseError` with what is wrong with each host.
    """
    await _require_files(url)
    failed: list[tuple[str, BaseException]] = []
    for host, port in url.hosts:
        try:
            return await _open(url, host, port, name)
        except DRIVER_ERRORS as error:
            failed.append((f"{host or 'localhost'}:{port or 5432}", error))
        except ValueError as error:
            raise DatabaseError(f"{url.shown}: {error}; correct db_url") from error
    # An answer tells more than silence.
    cause = next((error for _, error in failed if isinstance(error, asyncpg.PostgresError)), failed[-1][1])
    if len(failed) == 1:
        raise database_error(url.shown, cause) from cause
    each = "; ".join(f"{place}: {describe(error)}" for place, error in failed)
    raise DatabaseError(f"{url.shown}: no host can be used: {each}") from cause


async def _require_files(url: PostgresUrl) -> None:
    """The driver would not say which one is missing."""
    for name, file in url.files:
        if not await run_in_thread(Path(file).exists):
            raise DatabaseError(f"{url.shown}: there is no file {file}; correct {name} in db_url")


async def _open(url: PostgresUrl, host: str | None, port: int | None, name: str) -> asyncpg.Connection:
    connection = await _connect(url, host, port, name, asyncpg.Connection)
    try:
        if not await _is_pooled(connection, url):
            await _set_up(connection, url)
            return connection
    except BaseException:
        connection.terminate()
        raise
    connection.terminate()
    logger.info("a connection pooler stands between this process and %s", url.shown)
    return await _connect(url, host, port, name, PooledConnection)


async def _connect(
    url: PostgresUrl, host: str | None, port: int | None, name: str, kind: type[asyncpg.Connection]
) -> asyncpg.Connection:
    return await asyncpg.connect(
        url.dsn,
        host=host,
        port=port,
        timeout=url.connect_timeout_s,
        command_timeout=url.statement_timeout_ms / 1_000 + ANSWER_MARGIN_S,
        server_settings={"application_name": name},
        connection_class=kind,
        statement_cache_size=0 if kind is PooledConnection else 100,
    )


async def _is_pooled(connection: asyncpg.Connection, url: PostgresUrl) -> bool:
    """Whether a process answers that is not the one we are connected to. Raises `UnsuitableServerError`."""
    try:
        # Within a transaction even a pooler keeps to one process.
        async with connection.transaction():
            ((pid, version, encoding, release),) = await connection.fetch(_FACTS, timeout=url.connect_timeout_s)
            is_pooled = bool(pid != connection.get_server_pid())
            if is_pooled:
                await connection.execute("DEALLOCATE ALL")
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
        raise PoolerError(
            f"{url.shown} is a connection pooler that gives each statement another session: {describe(error)}; pool by "
            "transaction or by session, or connect to the server itself"
        ) from error
    if version < OLDEST_SERVER:
        raise UnsuitableServerError(f"{url.shown} is PostgreSQL {release}; chainlog-async needs 14 or newer")
    if encoding != "UTF8":
        raise UnsuitableServerError(f"the database {url.shown} has the encoding {encoding}; create one with UTF8")
    return is_pooled


async def _set_up(connection: asyncpg.Connection, url: PostgresUrl) -> None:
    await connection.fetchrow(
        _SESSION, str(url.statement_timeout_ms), str(IDLE_IN_TRANSACTION_TIMEOUT_MS), timeout=url.connect_timeout_s
    )
