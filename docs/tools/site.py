"""Builds the site from docs/, in build/site: ``python -m docs.tools``.

Pages link to files of the repository, such as examples, that are not below docs/. On the site each of them is a page
that shows the file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "build" / "docs"
"""What the generator reads: the pages of docs/, with their links made to stay on the site."""

LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}


def build_site() -> None:
    """Builds the site. Raises `subprocess.CalledProcessError` for a link that leads nowhere."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for path in sorted(DOCS.rglob("*")):
        relative = path.relative_to(DOCS)
        if path.is_dir() or relative.parts[0] in {"tools", "__pycache__", "__init__.py"}:
            continue
        target = SOURCE / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(_with_links_on_site(path, target), encoding="utf-8")
        else:
            shutil.copyfile(path, target)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", "zensical.toml"]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603  # no part of the command comes from outside


def _with_links_on_site(page: Path, target: Path) -> str:
    def link(match: re.Match[str]) -> str:
        text, path, anchor = match[1], match[2], match[3] or ""
        if re.match("[a-z]+:", path):
            return match[0]
        linked = (page.parent / path).resolve()
        if linked.is_relative_to(DOCS):
            return match[0]
        if not linked.is_file():
            return text
        shown = os.path.relpath(_file_page(linked), target.parent)
        return f"[{text}]({shown}{anchor})"

    # Code is left alone: what looks like a link there is none.
    parts = re.split(r"(^```.*?^```$|`[^`\n]*`(?!\]))", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return "".join(part if place % 2 else LINK.sub(link, part) for place, part in enumerate(parts))


def _file_page(file: Path) -> Path:
    """Makes a page that shows a file of the repository. Returns its path."""
    name = file.relative_to(ROOT)
    target = SOURCE / "files" / f"{name}.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = file.read_text("utf-8")
    if file.suffix == ".md":
        target.write_text(re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text), encoding="utf-8")
    else:
        target.write_text(f"# {name}\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{text}````\n", encoding="utf-8")
    return target
