"""How values are printed for people and as JSON; nothing printed can control the terminal."""

from __future__ import annotations

import re
import select
import sys
from datetime import UTC, datetime, timedelta

import click
import msgspec
from rich.console import Console
from rich.text import Text

# C0, DEL and C1 control a terminal; line separators break a row in two; bidirectional marks reorder it; a lone
# surrogate cannot be printed. The joiners U+200C and U+200D are kept: Persian and emoji need them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def plain(text: str) -> str:
    """Returns the text on one line; characters that could control a terminal are escaped, as in backslash-x1b."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def output() -> Console:
    """Returns a console on stdout; when that is not a terminal, lines are never cut."""
    return _console(error=False)


def errors() -> Console:
    """Returns a console on stderr."""
    return _console(error=True)


def _console(*, error: bool) -> Console:
    console = Console(stderr=error, highlight=False, markup=False, emoji=False)
    if not on_terminal(error=error):
        console.width = 100_000
    return console


def on_terminal(*, error: bool = False) -> bool:
    """Returns whether stdout, or stderr with `error`, is a terminal."""
    return (sys.stderr if error else sys.stdout).isatty()


def reader_left() -> bool:
    """Returns whether stdout is a pipe whose reader has ended, as after ``| head``."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def print_json(value: object) -> None:
    """Prints the value to stdout as one indented JSON document."""
    click.echo(_inert(msgspec.json.format(msgspec.json.encode(value), indent=2)))


def print_json_line(value: object) -> None:
    """Prints the value to stdout as JSON on one line."""
    click.echo(_inert(msgspec.json.encode(value)))


def _inert(document: bytes) -> str:
    """Escapes the C1 and bidirectional marks that JSON leaves alone; they occur in strings only."""
    return re.sub("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", _json_escape, document.decode())


def _json_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def number(value: int) -> str:
    """Formats a whole number with thousands separators."""
    return f"{value:,}"


def count_text(value: int, one: str, many: str) -> str:
    """Returns the number with its noun: `one` for 1, otherwise `many`."""
    return f"{value:,} {one if value == 1 else many}"


def duration(ms: float) -> str:
    """Formats a duration in ms as ``850 ms``, ``1.53 s``, ``2 min 05 s`` or ``1 h 02 min``."""
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_995:
        return f"{ms / 1000:.2f} s"
    seconds = round(ms / 1000)
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def utc_text(ms: int | None) -> str:
    """Formats a time in ms since the epoch as ``2026-01-31 23:59:59``, UTC.

    None is ``never``; a time beyond the year 9999 stays a number.
    """
    if ms is None:
        return "never"
    try:
        return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return str(ms)


def age(ms: int | None, *, now: int) -> str:
    """Formats how long before `now` (both in ms since the epoch) a time was, as ``3 min ago``; None as ``""``."""
    if ms is None:
        return ""
    seconds = abs(now - ms) // 1000
    for size, unit in _AGES:
        if seconds >= size:
            text = f"{seconds // size:,} {unit}"
            return f"{text} ago" if ms <= now else f"in {text}"
    return "now"


def status(code: int) -> Text:
    """Returns an HTTP status coloured by its class."""
    styles = {2: "green", 3: "cyan", 4: "yellow"}
    return Text(str(code), style=styles.get(code // 100, "red"))
