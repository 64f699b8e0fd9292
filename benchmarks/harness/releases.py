"""The release before as a contender: it runs this checkout's benchmarks, with an interpreter that has it installed."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.harness.common import CACHE

BEFORE = "the release before, journal on"
"""What the release before is called in every table."""

_PACKAGE = Path(__file__).resolve().parents[1]
_PYTHON = _PACKAGE.parent / ".venv-before" / "bin" / "python"


def interpreter(contender: str) -> list[str]:
    """The command that starts Python for that contender. Raises `FileNotFoundError` without the release before."""
    if contender != BEFORE:
        return [sys.executable]
    if not _PYTHON.exists():
        raise FileNotFoundError("the release before is not installed: make .venv-before/.installed")
    # -P, or the folder that this was started in would come first, and this checkout's package with it.
    return [str(_PYTHON), "-P"]


def module_path(contender: str) -> dict[str, str]:
    """The environment in which the release before finds the benchmarks, and no package of this checkout."""
    if contender != BEFORE:
        return {}
    folder = CACHE / "only-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / _PACKAGE.name
    if not link.exists():
        link.symlink_to(_PACKAGE)
    return {"PYTHONPATH": str(folder)}
