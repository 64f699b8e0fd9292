"""What holds for the tree as a whole, beside what import-linter checks (see pyproject.toml)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "chainlog_async"
STATEMENT = re.compile(r"\s*(?:WITH|SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|COMMIT)\s+[\w(:*?]")
MODULES = sorted(PACKAGE.rglob("*.py"))


def texts_of(module: Path) -> Iterator[str]:
    """Every string in the code that is no docstring, the constant parts of f-strings included."""
    tree = ast.parse(module.read_text("utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("module", [m for m in MODULES if m.relative_to(PACKAGE).parts[0] not in ("storage", "admin")])
def test_sql_stands_in_storage_and_admin_alone(module: Path) -> None:
    """Everything above and below speaks in values; a second engine would otherwise not be enough."""
    assert [text for text in texts_of(module) if STATEMENT.match(text)] == []


@pytest.mark.parametrize("folder", sorted({module.parent for module in MODULES} - {PACKAGE}))
def test_every_folder_says_what_is_in_it(folder: Path) -> None:
    """The first thing in its `__init__` is a docstring."""
    tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
    assert len(ast.get_docstring(tree) or "") > 20


def test_few_modules_stand_beside_the_folders() -> None:
    """Whoever opens the package for the first time sees the public whole and a dozen folders."""
    assert len(list(PACKAGE.glob("*.py"))) <= 12
