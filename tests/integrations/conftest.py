"""What holds for every test of the integrations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chainlog_async import ChainLog
from chainlog_async.settings import Settings


@pytest.fixture
def chainlog(make_settings: Callable[..., Settings]) -> ChainLog:
    """A log of the test's own, which `serving` opens."""
    return ChainLog(make_settings(flush_interval_ms=10))
