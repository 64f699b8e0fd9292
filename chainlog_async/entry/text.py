"""Texts as SQLite and UTF-8 can hold them."""

from __future__ import annotations

_REPLACEMENTS = dict.fromkeys((0, *range(0xD800, 0xE000)), "\N{REPLACEMENT CHARACTER}")


def clean_text(text: str) -> str:
    """Replaces each NUL, at which SQLite would end the text, and each lone surrogate, by U+FFFD."""
    if "\0" not in text:
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return text
    return text.translate(_REPLACEMENTS)


def as_text(value: object) -> str:
    """Returns any value as a text that can be stored: bytes decoded, an exception with its type. Never raises."""
    if isinstance(value, str):
        return clean_text(str.__str__(value))
    if isinstance(value, bytes | bytearray):
        return clean_text(bytes(value).decode("utf-8", "replace"))
    try:
        text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else f"{value}"
    except Exception:  # noqa: BLE001  # an object of somebody else's may fail when it is asked for its text
        return type(value).__name__
    return clean_text(text)
