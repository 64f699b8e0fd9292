"""How much a test tries where there is no natural end; `make test-thorough` sets the factor to five."""

from __future__ import annotations

import os

EFFORT = int(os.environ.get("TEST_EFFORT", "1"))


def tries(normal: int) -> int:
    """Returns how many examples, questions or rounds to run."""
    return normal * EFFORT


def every(normal: int) -> int:
    """Returns the stride between the steps that are tried."""
    return max(normal // EFFORT, 1)
