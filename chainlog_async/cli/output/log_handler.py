"""Log records on stderr, one line each."""

from __future__ import annotations

import logging
import sys

from .render import plain


class StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`, which a progress bar replaces so that it stays below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record with control characters escaped."""
        try:
            for line in self.format(record).splitlines():
                sys.stderr.write(f"{plain(line)}\n")
        except Exception:  # noqa: BLE001  # a failure to log must not end the command
            self.handleError(record)


def log_to_stderr(level: int, *, with_time: bool = False) -> None:
    """Sends this process's log records of at least `level` to stderr; calling it again changes level and format."""
    _HANDLER.setFormatter(logging.Formatter(("%(asctime)s " if with_time else "") + "%(levelname)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(_HANDLER)
    root.setLevel(level)


_HANDLER = StderrHandler()
