"""Masks what a client sent, its texts and its key, in error messages: LiteLLM and providers often quote them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

MASK = "[content]"

# How LiteLLM's proxy quotes an unknown key: the key, shortened or not, and its SHA-256.
_KEY = re.compile(r"(Received(?: API Key)?\s*=\s*)[^\s,]+|\b[0-9a-f]{64}\b")

MIN_MASKED_CHARS = 4
"""Shorter texts are not masked: "hi" is also part of "this"."""

MAX_MASKED_TEXTS = 1000
"""How many texts of a request are masked, the newest first."""


def without_content(message: str, content: object) -> str:
    """Masks keys, and the texts in `content`, which is any nesting of lists and mappings, in the message."""
    texts = sorted({text.strip() for text in _texts(content)}, key=len, reverse=True)
    for text in texts:
        # No form is shorter than its text, so a text longer than the message, as most prompts are, cannot be in it.
        if MIN_MASKED_CHARS <= len(text) <= len(message):
            for form in _forms(text):
                message = message.replace(form, MASK)
    return _KEY.sub(lambda found: f"{found[1] or ''}[key]", message)


def _forms(text: str) -> set[str]:
    """Returns the text unchanged, and as Python and JSON quote it."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _texts(content: object) -> Iterator[str]:
    """Yields texts from the last to the first, without the names and roles around them."""
    waiting: list[object] = [content]
    found = 0
    while waiting and found < MAX_MASKED_TEXTS:
        item = waiting.pop()
        if isinstance(item, str):
            found += 1
            yield item
        elif isinstance(item, dict):
            waiting.extend(value for name, value in item.items() if name not in {"role", "type", "model"})
        elif isinstance(item, list | tuple):
            waiting.extend(item)
