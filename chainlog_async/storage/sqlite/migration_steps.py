"""Loads the migrations, one SQL file per step in the folder `migrations`, and the schema of a new database.

A comment that begins with ``-- @`` says how a file or its next statement is run:

``-- @skip-if-column NAME``, anywhere in the file: the step is skipped if `request_logs` has that column already.
``-- @slices``, before a statement: it is run for one range of ids at a time, ``id > :after AND id <= :until``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from chainlog_async.common.sqlite import sqlite3
from chainlog_async.errors import MigrationError

_SKIP, _SLICES = "-- @skip-if-column ", "-- @slices"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a step."""

    sql: str
    in_slices: bool = False
    """Whether it has the parameters ``:after`` and ``:until`` and is run for one range of ids at a time."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: the version it leads to and its statements."""

    version: int
    name: str
    statements: tuple[Statement, ...]
    skip_if_column: str | None = None
    """A column of `request_logs` whose presence means that the step was done and only its version was not stored."""


@cache
def migrations() -> tuple[Migration, ...]:
    """All steps, in order. Raises `MigrationError` when the package is damaged."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
    steps = tuple(_migration(item.name, item.read_text("utf-8")) for item in files)
    if [step.version for step in steps] != list(range(1, len(steps) + 1)):
        raise MigrationError(f"the package's migrations have a gap: {[step.version for step in steps]}; reinstall it")
    return steps


@cache
def new_schema() -> tuple[Statement, ...]:
    """The statements that create in an empty file what all steps lead to, in a fifth of their time."""
    return tuple(_statements((resources.files(__package__) / "schema.sql").read_text("utf-8")))


def latest_version() -> int:
    """The schema version that this release writes."""
    return len(migrations())


def _migration(file_name: str, script: str) -> Migration:
    columns = [line.removeprefix(_SKIP).strip() for line in script.splitlines() if line.startswith(_SKIP)]
    return Migration(int(file_name[:4]), file_name[5:-4], tuple(_statements(script)), *columns)


def _statements(script: str) -> Iterator[Statement]:
    """Splits a script into statements; `executescript` would commit the open transaction."""
    sql, in_slices = "", False
    for line in script.splitlines(keepends=True):
        if not sql and line.startswith("--"):
            in_slices = in_slices or line.startswith(_SLICES)
        elif sql or line.strip():
            sql += line
            # The first check spares the second, which reads the whole statement again.
            if line.rstrip().endswith(";") and sqlite3.complete_statement(sql):
                yield Statement(sql.strip(), in_slices)
                sql, in_slices = "", False
    if sql.strip():
        raise MigrationError(f"a migration ends in the middle of a statement: {sql.strip()[:60]!r}")


# Read at import, so that the event loop never waits for the files.
migrations()
new_schema()
