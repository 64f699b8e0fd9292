"""The figures in the pages are those of the last full run, and none was copied by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import pages


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_the_pages_have_the_figures_of_the_results(page: Path) -> None:
    """Every page with figures is what `python -m benchmarks.report.pages` makes of results.json."""
    text = page.read_text("utf-8")
    assert pages.MARK in text
    assert text == pages.filled(text, pages.load())
