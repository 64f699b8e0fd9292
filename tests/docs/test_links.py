"""Links between the pages lead somewhere, to the heading too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .blocks import PAGES, ROOT

_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]+))?\)")


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    prose = _FENCED.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    plain = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every file that a page links to is there, and every heading."""
    prose = _CODE.sub("code", _FENCED.sub("", page.read_text("utf-8")))
    links = _LINK.findall(prose)
    for path, anchor in links:
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors_of(target), f"{path}#{anchor}"


def test_pages_that_messages_and_comments_name_are_there() -> None:
    """A path such as docs/faq.md, in the package, the example of the settings or the list of changes, is a file."""
    package = (one for one in (ROOT / "chainlog_async").rglob("*") if one.suffix in {".py", ".js", ".html", ".sql"})
    named = {
        found
        for file in (*package, ROOT / "config.example.yaml", ROOT / "CHANGELOG.md")
        for found in re.findall(r"\bdocs/[\w./-]+\.md\b", file.read_text("utf-8"))
    }
    assert len(named) > 5
    assert [one for one in sorted(named) if not (ROOT / one).is_file()] == []


def test_pages_are_on_the_site() -> None:
    """The navigation of the site names every page of docs, and no other."""
    navigation = re.findall(r'= "([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text("utf-8"))
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert sorted(navigation) == sorted(pages)
