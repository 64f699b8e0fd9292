"""Where journals are kept and how their files are named."""

from __future__ import annotations

from pathlib import Path

LOCK_SUFFIX = ".lock"

SEGMENT_SUFFIX = ".jsonl"


def journal_folder(db_path: str | Path, journal_path: Path | None = None) -> Path:
    """The folder where writers keep their locks and journals: the one named, else one beside the database."""
    if journal_path is not None:
        return journal_path.absolute()
    path = Path(db_path).absolute()
    return path.with_name(path.name + ".journal")


def segment_path(folder: Path, writer_id: str, start: int) -> Path:
    """The segment whose first byte is at stream position `start`."""
    return folder / f"{writer_id}.{start:020d}{SEGMENT_SUFFIX}"


def segments_of(folder: Path, writer_id: str) -> list[tuple[int, Path]]:
    """A writer's segments with their start positions, in order."""
    found = folder.glob(f"{writer_id}.*{SEGMENT_SUFFIX}")
    return sorted((int(path.name.split(".")[1]), path) for path in found if path.name.split(".")[1].isdigit())
