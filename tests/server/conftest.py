"""What holds for every test of the service."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chainlog_async.settings import Settings


@pytest.fixture(autouse=True)
def _own_environment(make_settings: Callable[..., Settings]) -> None:
    """Lets no CHAINLOG_ variable of whoever runs the tests in; making settings here, too, begins with that."""
