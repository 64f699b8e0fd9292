"""What a database is made of, in terms that can be compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from chainlog_async.storage.sqlite.identity import APPLICATION_ID, ORIGINAL_VERSION
from chainlog_async.storage.sqlite.migration_steps import Migration, migrations

Rows = list[tuple[object, ...]]


def query(path: Path, sql: str, *parameters: object) -> Rows:
    """Ask the database, on a connection of its own."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, parameters).fetchall()


def instructions(path: Path, sql: str, parameters: Mapping[str, object] | tuple[object, ...]) -> int:
    """How many instructions SQLite takes for the answer."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with closing(sqlite3.connect(path)) as connection:
        connection.set_progress_handler(count, 1)
        connection.execute(sql, parameters).fetchall()
    return taken


def version_of(path: Path) -> int:
    """Give what `PRAGMA user_version` says."""
    ((version,),) = query(path, "PRAGMA user_version")
    assert isinstance(version, int)
    return version


def apply(path: Path, steps: Iterable[Migration], *, number: bool = True) -> None:
    """Run migrations without the code that is under test; without their numbers, as a kill of 429chain leaves them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for step in steps:
            for statement in step.statements:
                run(connection, statement.sql)
            if number:
                connection.execute(f"PRAGMA user_version = {step.version}")


def run(connection: sqlite3.Connection, statement: str) -> None:
    """Run one statement of a migration; where it looks at the log in slices, at all of it at once."""
    connection.execute(statement, {"after": -1, "until": 2**62} if ":after" in statement else ())


def make_original(path: Path, version: int) -> Path:
    """Make a database as 429chain leaves it at version 1 or 2, with nothing in it."""
    apply(path, migrations()[:version])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def make_version(path: Path, version: int) -> None:
    """Make an empty database as the release left it that knew no more steps."""
    apply(path, migrations()[:version])
    if version > ORIGINAL_VERSION:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def schema_of(path: Path) -> dict[str, Rows]:
    """Give every table with its columns and indexes, by meaning rather than by its text, and every trigger's table."""
    with closing(sqlite3.connect(path)) as connection:

        def ask(sql: str) -> Rows:
            return connection.execute(sql).fetchall()

        schema: dict[str, Rows] = {}
        for kind, table in ask(
            "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'"
        ):
            schema[f"{kind} {table}"] = ask(f"PRAGMA table_xinfo({table})")
            for _, index, unique, origin, partial in ask(f"PRAGMA index_list({table})"):
                columns = ask(f"PRAGMA index_xinfo({index})")
                schema[f"index {index} of {table}"] = [(unique, origin, partial), *columns]
        for name, table in ask("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"):
            schema[f"trigger {name} of {table}"] = []
    return schema


def statements_of(path: Path) -> Rows:
    """Give the text of everything in the schema."""
    return query(path, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")


def totals_of(path: Path) -> dict[str, Rows]:
    """Give what the triggers of 429chain keep."""
    columns = "total_requests, total_tokens, total_prompt_tokens, total_completion_tokens, last_request_timestamp"
    return {
        "providers": query(path, f"SELECT provider_id, {columns} FROM usage_by_provider ORDER BY provider_id"),
        "chains": query(path, f"SELECT chain_name, {columns} FROM usage_by_chain ORDER BY chain_name"),
    }


def totals_of_rows(path: Path) -> dict[str, Rows]:
    """Give the same, counted from the rows themselves."""
    sums = "COUNT(*), SUM(total_tokens), SUM(prompt_tokens), SUM(completion_tokens), MAX(timestamp)"
    return {
        "providers": query(path, f"SELECT provider_id, {sums} FROM request_logs GROUP BY 1 ORDER BY 1"),
        "chains": query(path, f"SELECT chain_name, {sums} FROM request_logs GROUP BY 1 ORDER BY 1"),
    }


def summary_of(path: Path) -> Rows:
    """Give the kept summary: requests, those with more than one attempt, the sum of latencies in ms."""
    return query(path, "SELECT total_requests, waterfall_requests, total_latency_ms FROM usage_summary")


def summary_of_rows(path: Path) -> Rows:
    """Give the same, counted from the rows themselves."""
    return query(path, "SELECT COUNT(*), SUM(attempts > 1), SUM(latency_ms) FROM request_logs")
