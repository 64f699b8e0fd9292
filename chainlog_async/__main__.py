"""``python -m chainlog_async`` and the console script ``chainlog``."""

from __future__ import annotations

import sys

_HINT = "error: the command line needs {missing}; pip install 'chainlog-async[server]'\n"


def main() -> None:
    """Runs the command line and exits with its code; 2 when the extra ``server`` is not installed."""
    try:
        from .cli import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"click", "rich"}:
            raise
        sys.stderr.write(_HINT.format(missing=missing))
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
