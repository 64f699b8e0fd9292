"""The pages of docs/reference that repeat the code are what the code says, and leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.tools.reference_pages import PAGES

from .blocks import ROOT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_what_is_made_of_the_code(page: Path) -> None:
    """After a change of the code, `make docs` (or `python -m docs.tools --pages`) makes the page anew."""
    assert page.read_text("utf-8") == PAGES[page](), f"run: python -m docs.tools --pages, and commit {page.name}"


@pytest.mark.parametrize("name", ["entry", "metrics", "schema", "settings"])
def test_every_row_says_what_it_is(name: str) -> None:
    """Each field, metric, column and setting has a meaning."""
    rows = re.findall(r"^\| `.*\|$", (ROOT / "docs" / "reference" / f"{name}.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 20
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []
