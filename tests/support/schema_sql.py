"""Writes `schema.sql`, the schema of a new database, from what the migrations lead to.

Run `python -m tests.support.schema_sql` after a migration was added; a test fails until that is done.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from textwrap import fill

from chainlog_async.storage.sqlite.migration_steps import migrations

from .schemas import apply

HEADER = """\
-- The schema of a new database, as the folder `migrations` leads to it. A new file gets it in one transaction, which is
-- twenty times as fast as every step in turn. Not written by hand: `python -m tests.support.schema_sql` makes it.
"""


_OURS = "FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'"


def schema_sql() -> str:
    """What the file has to be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        apply(path, migrations())
        with closing(sqlite3.connect(path)) as connection:
            return "\n".join((HEADER, *_objects(connection), *_rows(connection)))


def _objects(connection: sqlite3.Connection) -> Iterator[str]:
    # In the order of their creation, which is also the order in which SQLite runs the triggers of a table.
    for (sql,) in connection.execute(f"SELECT sql {_OURS} AND sql NOT NULL ORDER BY rowid"):
        yield f"{sql};\n"


def _rows(connection: sqlite3.Connection) -> Iterator[str]:
    for (table,) in connection.execute(f"SELECT name {_OURS} AND type = 'table' ORDER BY rowid").fetchall():
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
        if rows:
            values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
            yield fill(f"INSERT INTO {table} VALUES {values};", 120, subsequent_indent="  ") + "\n"


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


if __name__ == "__main__":
    from chainlog_async.storage.sqlite import schema

    Path(schema.__file__).with_name("schema.sql").write_text(schema_sql(), "utf-8")
