"""The code blocks of the pages, and what a comment above one says of it.

Every block has a language. A block of `sh`, `python`, `yaml`, `json`, `sql` or `js` is run by a test, or says why not:

    <!-- not run: the reason -->
    <!-- tests/docs/test_something.py … -->      a test of its own

docs/tutorial.md is followed step by step, and has more of them: see `test_tutorial`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "examples/gateway/README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: Path
    line: int
    language: str
    text: str
    comment: str

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def reason(self) -> str:
        """Why it is not run, or the test that runs it; nothing if the rule for its language does."""
        return self.comment if self.comment.startswith(("not run: ", "tests/")) else ""


def blocks_of(page: Path) -> Iterator[Block]:
    """Yields the blocks of a page in order."""
    text = page.read_text("utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(page, line, match["language"], match["text"], match["comment"] or "")
