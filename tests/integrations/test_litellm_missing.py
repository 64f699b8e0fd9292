"""``chainlog_async.integrations.litellm`` where LiteLLM is not installed."""

from __future__ import annotations

import importlib
import sys

import pytest

from chainlog_async.errors import MissingExtraError


def test_without_litellm_the_error_names_it_and_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a ModuleNotFoundError of somebody else's module."""
    monkeypatch.delitem(sys.modules, "chainlog_async.integrations.litellm", raising=False)
    for module in ("litellm", "litellm.integrations", "litellm.integrations.custom_logger"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"needs LiteLLM .*\[litellm\]"):
        importlib.import_module("chainlog_async.integrations.litellm")
