"""Keeping what a client sent out of error messages, its texts and its key: LiteLLM and providers like to quote them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

MASK = "[content]"

# What LiteLLM's proxy writes about a key that it does not know: the key, shortened or not, and its SHA-256.
_KEY = re.compile(r"(Received(?: API Key)?\s*=\s*)[^\s,]+|\b[0-9a-f]{64}\b")

MIN_MASKED_CHARS = 4
"""Shorter texts stay: "hi" is in "this"."""

MAX_MASKED_TEXTS = 1000
"""How many texts of a request are looked for, the newest first."""


def without_content(message: str, content: object) -> str:
    """The message without keys and without the texts that `content`, any nesting of lists and mappings, holds."""
    texts = sorted({text.strip() for text in _texts(content)}, key=len, reverse=True)
    for text in texts:
        # No form of a text is shorter than the text, and a prompt is longer than most messages.
        if MIN_MASKED_CHARS <= len(text) <= len(message):
            for form in _forms(text):
                message = message.replace(form, MASK)
    return _KEY.sub(lambda found: f"{found[1] or ''}[key]", message)


def _forms(text: str) -> set[str]:
    """The text as it is, and as Python and JSON quote it."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _texts(content: object) -> Iterator[str]:
    """Texts from the last to the first, without the names and roles around them."""
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
