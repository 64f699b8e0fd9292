"""What belongs to a database and lies beside it."""

from __future__ import annotations

from pathlib import Path

SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
"""What SQLite appends to the name of a database for its own files."""


def journal_folder(db_path: str | Path, journal_path: Path | None = None) -> Path:
    """The folder where writers keep their locks and journals: the one named, else one beside the database."""
    if journal_path is not None:
        return journal_path.absolute()
    path = Path(db_path).absolute()
    return path.with_name(path.name + ".journal")
