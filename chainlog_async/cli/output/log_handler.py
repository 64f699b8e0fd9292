"""Log records on stderr, one line each."""

from __future__ import annotations

import logging
import sys

from .render import plain


class StderrHandler(logging.Handler):
    """Writes to whatever stderr is at that moment, so that a progress bar stays below it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record; whatever came from outside has its control characters escaped."""
        try:
            for line in self.format(record).splitlines():
                sys.stderr.write(f"{plain(line)}\n")
        except Exception:  # noqa: BLE001 - what every handler does: logging must not end what it logs
            self.handleError(record)


def log_to_stderr(level: int, *, with_time: bool = False) -> None:
    """Sends this process's log records of at least `level` to stderr; called again, it changes level and form."""
    _HANDLER.setFormatter(logging.Formatter(("%(asctime)s " if with_time else "") + "%(levelname)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(_HANDLER)
    root.setLevel(level)


_HANDLER = StderrHandler()
