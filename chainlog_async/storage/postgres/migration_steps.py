"""Loads the migrations: one SQL file per step in the folder `migrations`.

Names in them have no schema: the search path is the log's schema while a step runs, and functions keep it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from chainlog_async.errors import MigrationError


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: the version it leads to, its name and its statements."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All steps, in order. Raises `MigrationError` when the package is damaged."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
    steps = tuple(Migration(int(item.name[:4]), item.name[5:-4], item.read_text("utf-8")) for item in files)
    if [step.version for step in steps] != list(range(1, len(steps) + 1)):
        raise MigrationError(f"the package's migrations have a gap: {[step.version for step in steps]}; reinstall it")
    return steps


def latest_version() -> int:
    """The schema version that this release writes."""
    return len(migrations())


CREATE_SCHEMA = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = '{s}') THEN
    CREATE SCHEMA {s};
  END IF;
END $$;
CREATE TABLE IF NOT EXISTS {s}.schema_version (
  version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtext('chainlog migrations'), hashtext('{s}'))"
SEARCH_PATH = "SET LOCAL search_path = {s}, pg_temp"
NO_TIMEOUT = "SET LOCAL statement_timeout = 0"


def script(schema: str, version: int = 0) -> Iterator[str]:
    """The SQL that leads from a version to the newest one, for `psql`, each step with its transaction."""
    yield f"-- chainlog-async: schema {schema}, versions {version + 1} to {latest_version()}\n"
    yield f"BEGIN;\n{LOCK};{CREATE_SCHEMA};\nCOMMIT;\n".replace("{s}", schema)
    for step in migrations()[version:]:
        yield f"\n-- {step.version}: {step.name}\nBEGIN;\n{LOCK};\n{SEARCH_PATH};\n\n".replace("{s}", schema)
        yield step.sql
        yield f"\n{_noted(schema, step)};\nCOMMIT;\n"


def _noted(schema: str, step: Migration) -> str:
    return f"INSERT INTO {schema}.schema_version (version, name) VALUES ({step.version}, '{step.name}')"  # noqa: S608  # both are plain words of ours


def statements(schema: str, step: Migration) -> tuple[str, ...]:
    """What one step runs in its transaction, once the lock is taken."""
    return SEARCH_PATH.replace("{s}", schema), step.sql, _noted(schema, step)


# Read at import, so that the event loop never waits for the files.
migrations()
