"""Whose database it is, and which migrations it still needs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources

import aiosqlite

from chainlog_async.common.cancellation import run_shielded
from chainlog_async.common.progress import LoggedProgress, Progress
from chainlog_async.errors import ForeignDatabaseError, MigrationError, NewerDatabaseError, OlderDatabaseError

from .errors import describe

APPLICATION_ID = 0x636C6F67
"""What `PRAGMA application_id` says in our databases: "clog" in ASCII."""

ORIGINAL_VERSION = 2
"""Highest `PRAGMA user_version` that 429chain has written."""

_ORIGINAL_TABLES = frozenset({"request_logs", "usage_by_provider", "usage_by_chain"})
_ORIGINAL_COLUMNS = frozenset(
    {
        "id",
        "timestamp",
        "chain_name",
        "provider_id",
        "model",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "latency_ms",
        "http_status",
        "attempts",
    }
)

SLICE_ROWS = 200_000
"""How many rows of the log one statement of a migration looks at, where it has the parameters for it."""

# One statement, so that all of it is from one moment: read one after the other, the answers would be from before and
# from after a migration that another process commits in between, and its new file would pass for somebody else's.
_IDENTITY = r"""
SELECT
  application_id,
  user_version,
  (SELECT json_group_array(name) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'),
  (SELECT json_group_array(name) FROM pragma_table_info('request_logs'))
FROM pragma_application_id, pragma_user_version
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: the version it leads to and its statements."""

    version: int
    name: str
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a database says of itself."""

    application_id: int
    version: int
    tables: frozenset[str]
    columns: frozenset[str]
    """Those of `request_logs`; empty where there is no such table."""

    @property
    def is_original(self) -> bool:
        """Whether 429chain made it, or was killed while it did: its tables come one by one, then the version."""
        if self.application_id != 0 or not self.columns >= _ORIGINAL_COLUMNS:
            return False
        return self.tables >= _ORIGINAL_TABLES or (self.version == 0 and self.tables <= _ORIGINAL_TABLES)


@cache
def migrations() -> tuple[Migration, ...]:
    """Every step, in order; each is a file of its own in the package's folder `migrations`."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
    steps = tuple(
        Migration(int(item.name[:4]), item.name[5:-4], tuple(_statements(item.read_text("utf-8")))) for item in files
    )
    if [step.version for step in steps] != list(range(1, len(steps) + 1)):
        raise MigrationError(f"the package's migrations have a gap: {[step.version for step in steps]}; reinstall it")
    return steps


def latest_version() -> int:
    """The schema version this release writes."""
    return len(migrations())


async def migrate_schema(connection: aiosqlite.Connection, *, on_progress: Progress | None = None) -> int:
    """Brings the database to the newest schema and returns its version. Does nothing when it is there already.

    A large file takes minutes; `on_progress` is told how far it is, without it the log.

    Each step and its number are one transaction, so a kill leaves the version before or the one after. Processes
    that start together wait for each other, as long as the connection's busy timeout allows.

    Raises `ForeignDatabaseError` or `NewerDatabaseError` before anything is touched, and `MigrationError` when a
    step fails, be it for want of the lock; the database is then as it was before that step.
    """
    on_progress = on_progress or LoggedProgress()
    try:
        identity = await read_identity(connection)
        check_identity(identity)
        while identity.version < latest_version():
            # Left in the middle, the transaction would stay open.
            await run_shielded(_take_one_step(connection, on_progress))
            identity = await read_identity(connection)
    except sqlite3.Error as error:
        raise MigrationError(
            f"the schema cannot be brought up to date: {describe(error)}; the database is as it was "
            "before the step that failed: free the cause and start again"
        ) from error
    return identity.version


async def read_identity(connection: aiosqlite.Connection) -> Identity:
    """Reads what the database says of itself, all at one moment; touches nothing. Raises `sqlite3.Error`."""
    ((application_id, version, tables, columns),) = await connection.execute_fetchall(_IDENTITY)
    return Identity(int(application_id), int(version), frozenset(json.loads(tables)), frozenset(json.loads(columns)))


def check_identity(identity: Identity, name: str = "the database") -> None:
    """Raises `ForeignDatabaseError` or `NewerDatabaseError` unless it is ours, 429chain's or empty."""
    if identity.application_id == APPLICATION_ID:
        known = latest_version()
    elif identity.is_original:
        known = ORIGINAL_VERSION
    elif identity.application_id == 0 and identity.version == 0 and not identity.tables:
        return
    else:
        raise ForeignDatabaseError(
            f"{name} belongs to another program (application_id {identity.application_id}, user_version "
            f"{identity.version}, tables: {', '.join(sorted(identity.tables)[:5]) or 'none'}); "
            "it was left as it is: set db_path to another file"
        )
    if identity.version > known:
        raise NewerDatabaseError(
            f"{name} has schema version {identity.version}, and this release knows versions up to {known}; "
            "it was left as it is: install a newer chainlog-async, or set db_path to another file"
        )


def check_readable(identity: Identity, name: str) -> None:
    """Raises the same, and `OlderDatabaseError` when migrations are missing."""
    check_identity(identity, name)
    if identity.version < latest_version():
        raise OlderDatabaseError(
            f"{name} has schema version {identity.version}, and reading needs {latest_version()}; "
            "run `chainlog migrate`, or start the gateway or service that writes it"
        )


async def _take_one_step(connection: aiosqlite.Connection, on_progress: Progress) -> None:
    await connection.execute_fetchall("BEGIN IMMEDIATE")
    try:
        # Another process may have got here first: what was read before the lock is worth nothing now.
        identity = await read_identity(connection)
        check_identity(identity)
        if identity.version < latest_version():
            await _apply(connection, migrations()[identity.version], identity, on_progress)
        await connection.execute_fetchall("COMMIT")
    finally:
        # Some errors, SQLITE_FULL among them, end the transaction by themselves; a second ROLLBACK would hide them.
        if connection.in_transaction:
            await connection.execute_fetchall("ROLLBACK")


async def _apply(connection: aiosqlite.Connection, step: Migration, identity: Identity, on_progress: Progress) -> None:
    # 429chain adds the column and then sets the version, without a transaction: a kill in between left it half done.
    half_done = step.name == "error_message" and "error_message" in identity.columns
    try:
        for statement in () if half_done else step.statements:
            on_progress(f"migration {step.version} ({step.name})", 0, None)
            await _run(connection, statement, partial(on_progress, f"migration {step.version} ({step.name})"))
        await connection.execute_fetchall(f"PRAGMA user_version = {step.version:d}")
        if step.version > ORIGINAL_VERSION:
            await connection.execute_fetchall(f"PRAGMA application_id = {APPLICATION_ID:d}")
    except sqlite3.Error as error:
        raise MigrationError(
            f"migration {step.version} ({step.name}) failed: {describe(error)}; "
            f"the database is still at version {identity.version}: free the cause and start again"
        ) from error


async def _run(connection: aiosqlite.Connection, statement: str, on_progress: Callable[[int, int], None]) -> None:
    if ":after" not in statement:
        await connection.execute_fetchall(statement)
        return
    # The whole of a large log in one statement could not say how far it is.
    ((first, last),) = await connection.execute_fetchall("SELECT MIN(id), MAX(id) FROM request_logs")
    for after in range(first - 1, last, SLICE_ROWS) if last is not None else ():
        await connection.execute_fetchall(statement, {"after": after, "until": after + SLICE_ROWS})
        on_progress(after + SLICE_ROWS - first, last - first)


def _statements(script: str) -> Iterator[str]:
    """Splits a script; `executescript` is no use here, because it commits the open transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        if statement or (line.strip() and not line.startswith("--")):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement.strip()
                statement = ""
    if statement.strip():
        raise MigrationError(f"a migration ends in the middle of a statement: {statement.strip()[:60]!r}")


# Once, while the module is imported: later it would be the event loop that waits for the files.
migrations()
