"""LiteLLM offline, with a handler of the test's own."""

from __future__ import annotations

import os

# Before LiteLLM is imported: nothing of it may ask the net.
os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", HF_HUB_OFFLINE="1", LITELLM_LOG="CRITICAL")

from collections.abc import Callable, Iterator

import litellm
import pytest

from chainlog_async.integrations.litellm import ChainlogHandler
from chainlog_async.settings import Settings

from .stub import Stub
from .support import Logged


@pytest.fixture
def logged(make_settings: Callable[..., Settings], request: pytest.FixtureRequest) -> Iterator[Logged]:
    """A handler in LiteLLM's shared list of callbacks, and the rows that it has written.

    Its parameter, if the test gives one, is a mapping of settings.
    """
    settings = make_settings(**getattr(request, "param", {}))
    handler = ChainlogHandler(lambda: settings)
    litellm.callbacks = [handler]
    yield Logged(handler, settings.db_path)
    handler.close()
    # LiteLLM copies the list into others, and takes in only one handler of a class.
    litellm.logging_callback_manager._reset_all_callbacks()


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A provider on this machine."""
    with Stub() as running:
        yield running
