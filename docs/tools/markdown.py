"""Small pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTICE = "<!-- made from the code by docs/tools; do not edit: run `make docs` -->"
"""The first line of a page that is made from the code."""


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; vertical bars and line breaks in cells are escaped."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: object) -> str:
    """Returns the text as inline code, or nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def page(title: str, introduction: str, *parts: str) -> str:
    """Returns a page that is made from the code."""
    return "\n\n".join([NOTICE, f"# {title}", introduction, *(part.strip("\n") for part in parts)]) + "\n"
