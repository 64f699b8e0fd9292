"""How many tries a test takes that could go on for ever: `make test-thorough` multiplies them by five."""

from __future__ import annotations

import os

EFFORT = int(os.environ.get("TEST_EFFORT", "1"))


def tries(normal: int) -> int:
    """How many examples, questions or rounds."""
    return normal * EFFORT


def every(normal: int) -> int:
    """Of many steps, every so many are tried."""
    return max(normal // EFFORT, 1)
