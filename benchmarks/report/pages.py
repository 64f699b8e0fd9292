"""``python -m benchmarks.report.pages`` writes the figures of results.json into the pages; none is copied by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.report.results import Results
from benchmarks.report.summary import summary
from benchmarks.report.tables import heading, promises, tables
from benchmarks.report.text_table import as_markdown

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results.json"
CHART = ROOT / "docs" / "explanation" / "performance.svg"
NOTES = ROOT / "docs" / "explanation" / "performance-notes.md"
PAGES = (ROOT / "README.md", ROOT / "docs" / "explanation" / "performance.md", NOTES)

UNMEASURED = "Run `make bench`: its figures are put here."
"""What the pages say before the first full run."""

MARK = "<!-- made by benchmarks/report/pages.py: "
"""How a part of a page begins that is filled in; its name and the end of the comment follow."""

_PART = re.compile(rf"({MARK}(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def load() -> Results | None:
    """The results of the last full run, or None before the first."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Results) if RESULTS.exists() else None


def filled(page: str, results: Results | None) -> str:
    """The page with every marked part as the results have it. Raises `KeyError` for a part that nobody makes."""
    parts = {"summary": summary, "tables": _tables}

    def fill(part: re.Match[str]) -> str:
        begin, name, end = part.groups()
        text = UNMEASURED if results is None else "\n".join(parts[name](results))
        return f"{begin}{text}\n{end}"

    return _PART.sub(fill, page)


def write(results: Results | None) -> None:
    """Fills the pages."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def _tables(results: Results) -> Iterator[str]:
    yield f"![What a busy gateway keeps of its log, and what it pays]({CHART.name})"
    yield ""
    yield from heading(results)
    for table in (*tables(results), promises(results.targets)):
        yield from as_markdown(table)


if __name__ == "__main__":
    write(load())
