"""Keeping what a client wrote out of error messages: LiteLLM and providers like to quote it."""

from __future__ import annotations

import json
from collections.abc import Iterator

MASK = "[content]"

MIN_CHARS = 4
"""Shorter texts stay: "hi" is in "this"."""

MAX_TEXTS = 1000
"""How many texts of a request are looked for, the newest first."""


def without_content(message: str, content: object) -> str:
    """The message without the texts that `content`, any nesting of lists and mappings, holds."""
    texts = sorted({text.strip() for text in _texts(content)}, key=len, reverse=True)
    for text in texts:
        if len(text) >= MIN_CHARS:
            for form in _forms(text):
                message = message.replace(form, MASK)
    return message


def _forms(text: str) -> set[str]:
    """The text as it is, and as Python and JSON quote it."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _texts(content: object) -> Iterator[str]:
    """Texts from the last to the first, without the names and roles around them."""
    waiting: list[object] = [content]
    found = 0
    while waiting and found < MAX_TEXTS:
        item = waiting.pop()
        if isinstance(item, str):
            found += 1
            yield item
        elif isinstance(item, dict):
            waiting.extend(value for name, value in item.items() if name not in {"role", "type", "model"})
        elif isinstance(item, list | tuple):
            waiting.extend(item)
