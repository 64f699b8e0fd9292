"""How the files of a journal are named."""

from __future__ import annotations

from pathlib import Path

LOCK_SUFFIX = ".lock"

SEGMENT_SUFFIX = ".jsonl"


def segment_path(folder: Path, writer_id: str, start: int) -> Path:
    """The segment whose first byte is at stream position `start`."""
    return folder / f"{writer_id}.{start:020d}{SEGMENT_SUFFIX}"


def segments_of(folder: Path, writer_id: str) -> list[tuple[int, Path]]:
    """A writer's segments with their start positions, in order."""
    found = folder.glob(f"{writer_id}.*{SEGMENT_SUFFIX}")
    return sorted((int(path.name.split(".")[1]), path) for path in found if path.name.split(".")[1].isdigit())
