"""The pages of docs/reference that are made from the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .cli_page import cli_page
from .entry_page import entry_page
from .metrics_page import metrics_page
from .routes_page import routes_page
from .schema_page import schema_page
from .settings_page import settings_page

DOCS = Path(__file__).resolve().parents[1]

PAGES: Mapping[Path, Callable[[], str]] = {
    DOCS / "reference" / "cli.md": cli_page,
    DOCS / "reference" / "entry.md": entry_page,
    DOCS / "reference" / "metrics.md": metrics_page,
    DOCS / "reference" / "routes.md": routes_page,
    DOCS / "reference" / "schema.md": schema_page,
    DOCS / "reference" / "settings.md": settings_page,
}


def write_pages() -> None:
    """Writes every page."""
    for path, make in PAGES.items():
        path.write_text(make(), encoding="utf-8")
