"""Classes of tokens, the provider's words, session and tags: fields that most entries have none of."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from chainlog_async import Attempt, ChainLog
from chainlog_async.entry.json_input import entry_from_json
from chainlog_async.entry.line import check_line, encode_line, line_as_json
from chainlog_async.entry.model import ENTRY_FIELDS, LATER_FIELDS, MAX_NAME_CHARS, MAX_TAGS
from chainlog_async.entry.redaction import REDACTED, Redactor
from chainlog_async.entry.repair import REPAIRED_KEY, encode_repaired
from chainlog_async.errors import InvalidEntryError
from tests.support.entries import entry
from tests.support.writing import settings_for

CLASSES: dict[str, object] = {
    "cache_write_tokens": 1_000,
    "cache_write_1h_tokens": 400,
    "reasoning_tokens": 64,
    "prompt_audio_tokens": 10,
    "completion_audio_tokens": 0,
    "finish_reason": "tool_use",
    "service_tier": "priority",
    "response_id": "msg_01",
    "session_id": "thread-7",
    "tags": ["team:search", "env:prod:eu"],
    "cost_source": "provider",
}
SECRET = "sk-proj-" + "a1B2" * 10


async def test_every_field_is_read_back_as_it_was_logged(tmp_path: Path) -> None:
    """In a row of the log; an entry without them has None."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await chainlog.write(entry(**CLASSES, cost_usd=0.5))
        await chainlog.write(entry())
        plain, full = await chainlog.usage.get_recent_requests(2)
    if full.tags is None:
        plain, full = full, plain
    assert {name: getattr(full, name) for name in CLASSES} == CLASSES
    assert {getattr(plain, name) for name in CLASSES} == {None}


@pytest.mark.parametrize(
    ("details", "last"),
    [
        ({}, "attempts"),
        ({"caller": "team"}, "cached_tokens"),
        ({"metadata": {"a": 1}}, "attempt_trail"),
        ({"reasoning_tokens": 0}, ENTRY_FIELDS[-1]),
    ],
)
def test_a_line_ends_before_fields_that_the_entry_does_not_have(details: dict[str, object], last: str) -> None:
    """So that most entries cost little, in the journal and in the database."""
    assert len(json.loads(encode_line(entry(**details)))) == ENTRY_FIELDS.index(last) + 1


def test_the_later_fields_are_these() -> None:
    """And in this order."""
    assert tuple(CLASSES) == LATER_FIELDS


def test_json_in_either_spelling_gives_the_same_entry() -> None:
    """An entry, its line and its JSON in both spellings are one and the same."""
    line = encode_line(entry(**CLASSES, attempt_trail=[Attempt(provider_id="p", model="m", cache_write_1h_tokens=3)]))
    assert encode_line(entry_from_json(line_as_json(line))) == line
    camel = entry_from_json(
        '{"chainName": "c", "providerId": "p", "model": "m", "latencyMs": 1, "httpStatus": 200,'
        '"cacheWrite1hTokens": 4, "responseId": "r", "tags": ["a:b"],'
        '"attemptTrail": [{"providerId": "p", "model": "m", "costUsd": 0.5}]}'
    )
    assert (camel.cache_write_1h_tokens, camel.response_id, camel.tags) == (4, "r", ["a:b"])
    assert msgspec.convert(camel.attempt_trail, list[Attempt])[0].cost_usd == 0.5


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cache_write_tokens", -1, "cache_write_tokens"),
        ("reasoning_tokens", 1.5, "reasoning_tokens"),
        ("finish_reason", b"stop", "finish_reason is bytes"),
        ("service_tier", 3, "service_tier"),
        ("session_id", "a\0b", "session_id contains a NUL"),
        ("response_id", "x" * (MAX_NAME_CHARS + 1), "response_id"),
        ("tags", "team:search", "tags is str"),
        ("tags", ["no colon"], r"tags\[0\]"),
        ("tags", ["a:\0"], "a tag contains a NUL"),
        ("tags", ["a:b"] * (MAX_TAGS + 1), "tags"),
        ("attempt_trail", [Attempt(provider_id="p", model="m", cost_usd=-1)], "cost_usd"),
    ],
)
def test_a_value_that_cannot_be_stored_is_named(field: str, value: object, words: str) -> None:
    """Each wrong value is refused with the field's name."""
    with pytest.raises(InvalidEntryError, match=words):
        encode_line(entry(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("cache_write_tokens", 7.0, 7),
        ("reasoning_tokens", -1, None),
        ("prompt_audio_tokens", "many", None),
        ("finish_reason", b"stop", "stop"),
        ("service_tier", "x" * 300, "x" * MAX_NAME_CHARS),
        ("response_id", object(), None),
        ("session_id", 42, "42"),
        ("tags", {"team": "search", "tier": 1}, ["team:search", "tier:1"]),
        ("tags", ["a:b", 7, "no colon", "c:d", ":x", "y:"], ["a:b", "c:d"]),
        ("tags", [f"k{number}:v" for number in range(20)], [f"k{number}:v" for number in range(MAX_TAGS)]),
        ("tags", ["a:" + "x" * MAX_NAME_CHARS], None),
        ("tags", 5, None),
    ],
)
def test_an_odd_value_is_made_storable_or_left_out(field: str, value: object, kept: object) -> None:
    """The row is stored, and says which field was repaired."""
    line, fields = encode_repaired(entry(**{field: value}), Redactor())
    check_line(line)
    values = dict(zip(ENTRY_FIELDS, json.loads(line), strict=False))
    assert values.get(field) == kept
    assert fields == (field,)
    assert values["metadata"] == {REPAIRED_KEY: [field]}


def test_the_tokens_and_the_cost_of_an_attempt_are_repaired_one_by_one() -> None:
    """What is sound of an attempt is kept."""
    odd = {"provider_id": "p", "model": "m", "prompt_tokens": 5, "reasoning_tokens": -2, "cost_usd": float("inf")}
    line, fields = encode_repaired(entry(attempt_trail=[odd]), Redactor())
    assert fields == ("attempt_trail",)
    assert json.loads(line)[ENTRY_FIELDS.index("attempt_trail")] == [
        {"provider_id": "p", "model": "m", "prompt_tokens": 5}
    ]


@pytest.mark.parametrize(
    ("tag", "stored"),
    [
        (f"user:{SECRET}", f"user:{REDACTED}"),
        ("api_key:hunter2", f"api_key:{REDACTED}"),
        (SECRET[:20] + ":" + SECRET, None),
        ("team:search", "team:search"),
    ],
)
def test_secrets_are_redacted_of_tags(tag: str, stored: str | None) -> None:
    """By their form, or by the key that they stand under; what is left is a tag."""
    line = encode_line(entry(tags=[tag]))
    (kept,) = json.loads(line)[ENTRY_FIELDS.index("tags")]
    assert "a1B2a1B2" not in kept
    assert all(kept.partition(":"))
    assert stored in {None, kept}


async def test_tags_of_any_length_never_cost_the_row(tmp_path: Path) -> None:
    """Not even one that is longer once its secret is redacted."""
    tag = "password_" + "x" * (MAX_NAME_CHARS - 11) + ":y"
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await chainlog.write(entry(tags=[tag]))
        (row,) = await chainlog.usage.get_recent_requests(1)
    assert row.tags is not None
    assert len(row.tags[0]) <= MAX_NAME_CHARS
