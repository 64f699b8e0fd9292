"""Metadata that cannot be stored as they are become what can be."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from chainlog_async.entry.line import encode_line
from chainlog_async.entry.repair import REPAIRED_KEY
from chainlog_async.entry.sanitize import MAX_METADATA_BYTES
from chainlog_async.errors import InvalidEntryError
from tests.support.entries import entry
from tests.support.odd_values import CUT, SOUND, HostileMapping, Real, Whole, bool_, repaired


def test_metadata_that_json_cannot_hold_becomes_what_it_can() -> None:
    """Keys and values become text, numbers that JSON lacks become null, and what is sound stays as it is."""
    metadata = {"env": "prod", 7: (1, {2}), "bad": CUT, "big": 2**80, "at": Path("/tmp/x"), "raw": b"x"}
    assert repaired(metadata=metadata)["metadata"] == {
        "env": "prod",
        "7": [1, [2]],
        "bad": SOUND,
        "big": float(2**80),
        "at": "/tmp/x",
        "raw": "x",
        REPAIRED_KEY: ["metadata"],
    }


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (math.nan, None),
        ([1, math.inf], [1, None]),
        ({"deep": -math.inf}, {"deep": None}),
        (b"caf\xc3\xa9", "caf\xe9"),
        ({b"name": 1}, {"name": 1}),
        (Whole(5), 5),
        (Real(0.5), 0.5),
        (bool_(1), True),
    ],
)
def test_what_json_would_hide_in_metadata_is_repaired_and_marked(value: object, stored: object) -> None:
    """NaN would be null without a word, and bytes base64."""
    with pytest.raises(InvalidEntryError):
        encode_line(entry(metadata={"value": value}))
    assert repaired(metadata={"value": value})["metadata"] == {"value": stored, REPAIRED_KEY: ["metadata"]}


def test_metadata_that_is_too_large_is_cut_in_its_order() -> None:
    """First items stay, a long text is cut, and the mark always has room."""
    values = repaired(metadata={"first": 1, "text": "é" * 5_000, "list": ["x" * 5_000], "last": 2})
    assert values["metadata"]["first"] == 1
    assert values["metadata"]["text"].startswith("é" * 500)
    assert "list" not in values["metadata"]
    assert len(json.dumps(values["metadata"], ensure_ascii=False).encode()) <= MAX_METADATA_BYTES


def test_metadata_that_refers_to_itself_ends() -> None:
    """A loop is followed to a bounded depth and size."""
    loop: dict[str, object] = {}
    loop["again"] = [loop] * 50
    assert repaired(metadata=loop)["metadata"][REPAIRED_KEY] == ["metadata"]


@pytest.mark.parametrize(
    "metadata", [["a"], "text", 5, HostileMapping(a=object())], ids=["list", "str", "int", "hostile"]
)
def test_metadata_that_is_no_mapping_is_left_out(metadata: object) -> None:
    """Only the mark remains."""
    assert repaired(metadata=metadata)["metadata"] == {REPAIRED_KEY: ["metadata"]}
