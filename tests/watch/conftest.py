"""What the tests of watched clients have in common."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chainlog_async import ChainLog
from chainlog_async.settings import Settings
from tests.support.stub_provider import StubProvider


@pytest.fixture
def chainlog(make_settings: Callable[..., Settings]) -> ChainLog:
    """A log of the test's own, without prices."""
    return ChainLog(make_settings(prices=False))


@pytest.fixture
def provider() -> StubProvider:
    """A provider that does not serve yet."""
    return StubProvider()
