"""Whose database a file is, and which version of the schema it has."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import aiosqlite

from chainlog_async.errors import ForeignDatabaseError, NewerDatabaseError, OlderDatabaseError

from .migration_steps import latest_version

APPLICATION_ID = 0x636C6F67
"""Value of `PRAGMA application_id` in our databases: "clog" in ASCII."""

ORIGINAL_VERSION = 2
"""Highest `PRAGMA user_version` that 429chain writes."""

_OTHERS_TABLES = re.compile(
    r"_litestream_(seq|lock)"  # Litestream, as soon as it replicates a file
    r"|__marmot__\w+"  # Marmot
    r"|libsql_wasm_func_table"  # libSQL
)
"""Tables that a replication tool adds to whatever database it opens; they do not say whose database it is.

SQLite's own (`sqlite_sequence`, `sqlite_stat1` and others) are never looked at.
"""

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


# One statement, so that everything is from one moment. Read one after the other, the values could come from before and
# after a migration by another process, and its new file would look like another program's.
_IDENTITY = r"""
SELECT
  application_id,
  user_version,
  (SELECT json_group_array(name) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'),
  (SELECT json_group_array(name) FROM pragma_table_info('request_logs'))
FROM pragma_application_id, pragma_user_version
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What identifies a database."""

    application_id: int
    version: int
    tables: frozenset[str]
    """Without those that say nothing about the program, such as Litestream's."""
    columns: frozenset[str]
    """The columns of `request_logs`; empty when there is no such table."""

    @property
    def is_empty(self) -> bool:
        """Whether no program has created anything in the file yet."""
        return self.application_id == 0 and self.version == 0 and not self.tables

    @property
    def is_original(self) -> bool:
        """Whether 429chain created it, or was killed while creating it: it adds table after table, then the version."""
        if self.application_id != 0 or not self.columns >= _ORIGINAL_COLUMNS:
            return False
        return self.tables >= _ORIGINAL_TABLES or (self.version == 0 and self.tables <= _ORIGINAL_TABLES)


async def read_identity(connection: aiosqlite.Connection) -> Identity:
    """Reads everything in one statement and changes nothing. Raises `sqlite3.Error`."""
    ((application_id, version, tables, columns),) = await connection.execute_fetchall(_IDENTITY)
    names = frozenset(name for name in json.loads(tables) if not _OTHERS_TABLES.fullmatch(name))
    return Identity(int(application_id), int(version), names, frozenset(json.loads(columns)))


def check_identity(identity: Identity, name: str = "the database") -> None:
    """Raises `ForeignDatabaseError` or `NewerDatabaseError` unless the database is ours, 429chain's or empty."""
    if identity.application_id == APPLICATION_ID:
        known = latest_version()
    elif identity.is_original:
        known = ORIGINAL_VERSION
    elif identity.is_empty:
        return
    else:
        raise ForeignDatabaseError(
            f"{name} belongs to another program (application_id {identity.application_id}, user_version "
            f"{identity.version}, tables: {', '.join(sorted(identity.tables)[:5]) or 'none'}); "
            "it was not changed: set db_path to another file"
        )
    if identity.version > known:
        raise NewerDatabaseError(
            f"{name} has schema version {identity.version}, and this release knows versions up to {known}; "
            "it was not changed: install a newer chainlog-async, or set db_path to another file"
        )


def check_readable(identity: Identity, name: str) -> None:
    """Raises what `check_identity` raises, and `OlderDatabaseError` when migrations are missing."""
    check_identity(identity, name)
    if identity.version < latest_version():
        raise OlderDatabaseError(
            f"{name} has schema version {identity.version}, and reading needs {latest_version()}; "
            "run `chainlog migrate`, or start the gateway or service that writes it"
        )
