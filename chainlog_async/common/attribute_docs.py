"""The docstrings that stand below the attributes of a class, which Python itself does not keep."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache


def attribute_docs(cls: type) -> dict[str, str]:
    """Returns the docstring of each attribute that has one, inherited ones included, each in one line.

    They are read from the source; where that is not installed the result is empty.
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs |= _docs_of_module(base.__module__).get(base.__qualname__, {})
    return docs


@cache
def _docs_of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    module = sys.modules.get(name)
    try:
        tree = ast.parse(inspect.getsource(module)) if module is not None else None
    except (OSError, TypeError):
        return {}
    return (
        {}
        if tree is None
        else {node.name: dict(_docs_of(node)) for node in tree.body if isinstance(node, ast.ClassDef)}
    )


def _docs_of(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for attribute, below in zip(node.body, node.body[1:], strict=False):
        if not isinstance(attribute, ast.AnnAssign) or not isinstance(attribute.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            yield attribute.target.id, " ".join(below.value.value.split())
