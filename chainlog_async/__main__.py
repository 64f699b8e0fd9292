"""``python -m chainlog_async`` and the console script ``chainlog``."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its code; 2 when the extra ``server`` is not installed."""
    try:
        from .cli import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"click", "rich"}:
            raise
        from .common.extras import install_command

        sys.stderr.write(f"error: the command line needs {missing}; {install_command('server')}\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
