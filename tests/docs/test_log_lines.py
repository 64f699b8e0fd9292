"""docs/how-to/operations.md quotes log lines as the code writes them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_quoted_log_line_is_in_the_code() -> None:
    """Each part of a quoted line, between its variable parts, is a part of some string of the package."""
    section = (
        (ROOT / "docs" / "how-to" / "operations.md").read_text("utf-8").split("\n## Log lines\n")[1].split("\n## ")[0]
    )
    quoted = re.findall(r"`([^`]+)`", section.split("|---|---|---|\n")[1])
    parts = [part.strip(" ():") for line in quoted if "…" in line for part in line.split("…")]
    texts = [
        node.value
        for path in (ROOT / "chainlog_async").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(quoted) >= 10
    assert [part for part in parts if part and not any(part in text for text in texts)] == []
