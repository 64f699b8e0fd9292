"""Suggestions for misspelt names, whatever is sent as a name."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest

from chainlog_async.common import spelling
from chainlog_async.common.spelling import did_you_mean
from chainlog_async.entry.model import ENTRY_FIELDS


def test_the_nearest_name_is_found() -> None:
    """Whatever its case and its punctuation, and without the name of its group."""
    assert did_you_mean("promt_tokens", ENTRY_FIELDS) == "prompt_tokens"
    assert did_you_mean("HTTP-Status", ENTRY_FIELDS) == "http_status"
    assert did_you_mean("portt", ["server.host", "server.port"]) == "server.port"
    assert did_you_mean("zzz", ENTRY_FIELDS) is None
    assert did_you_mean("anything", []) is None


def test_a_name_costs_little_however_long_it_is_and_however_often_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long one is compared with nothing, and one that comes again is remembered."""
    compared: list[str] = []

    class Counting(SequenceMatcher[str]):
        def __init__(self, junk: None, one: str, other: str) -> None:
            compared.append(one)
            super().__init__(junk, one, other)

    monkeypatch.setattr(spelling, "SequenceMatcher", Counting)
    assert did_you_mean("z" * 1_000_000, ENTRY_FIELDS) is None
    assert compared == []
    for _ in range(1_000):
        assert did_you_mean("latncy_ms", ENTRY_FIELDS) == "latency_ms"
    assert len(compared) <= 3 * len(ENTRY_FIELDS)
