"""An odd value of an optional field never costs the row: it is cut, converted or left out, and the row says so."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async import Attempt, ChainLog, RequestLogEntry
from chainlog_async.entry.line import check_line, encode_line
from chainlog_async.entry.model import ENTRY_FIELDS, MAX_ATTEMPTS, MAX_NAME_CHARS
from chainlog_async.entry.redaction import REDACTED, Redactor
from chainlog_async.entry.repair import REPAIRED_KEY, encode_repaired, encode_storable
from chainlog_async.errors import InvalidEntryError
from tests.support.entries import entry
from tests.support.odd_values import CUT, SOUND, Hostile, Model, Mute, Real, Unreadable, Whole, bool_, repaired
from tests.support.writing import settings_for

REQUIRED = ("timestamp", "chain_name", "provider_id", "model", "latency_ms", "http_status")
OPTIONAL = [name for name in ENTRY_FIELDS if name not in REQUIRED]


ODD_VALUES: list[tuple[str, object, object]] = [
    ("model", "m" * 300, "m" * MAX_NAME_CHARS),
    ("model", CUT, SOUND),
    ("provider_id", "a\0b", "a\N{REPLACEMENT CHARACTER}b"),
    ("chain_name", "c" * 10_000, "c" * MAX_NAME_CHARS),
    ("error_message", CUT, SOUND),
    ("error_message", "a\0b", "a\N{REPLACEMENT CHARACTER}b"),
    ("error_message", b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
    ("error_message", ValueError("late"), "ValueError: late"),
    ("error_message", Hostile(), "Hostile"),
    ("request_id", 7, "7"),
    ("request_id", "r" * 257, "r" * MAX_NAME_CHARS),
    ("request_id", b"abc", "abc"),
    ("caller", ["team"], None),
    ("caller", "a\0b", "a\N{REPLACEMENT CHARACTER}b"),
    ("prompt_tokens", 120.0, 120),
    ("prompt_tokens", -1, 0),
    ("prompt_tokens", None, 0),
    ("completion_tokens", "9", 0),
    ("completion_tokens", math.nan, 0),
    ("total_tokens", 10**30, None),
    ("total_tokens", 3.0, 3),
    ("attempts", -1, 1),
    ("attempts", None, 1),
    ("ttft_ms", math.nan, None),
    ("ttft_ms", -0.5, None),
    ("ttft_ms", Decimal("1.5"), 1.5),
    ("cost_usd", Decimal("0.25"), 0.25),
    ("cost_usd", Decimal("NaN"), None),
    ("cost_usd", Decimal("sNaN"), None),
    ("cost_usd", math.nan, None),
    ("cost_usd", math.inf, None),
    ("cost_usd", -1, None),
    ("cost_usd", 10**400, None),
    ("cost_usd", "0.01", None),
    ("cost_usd", True, None),
    ("streamed", 1, True),
    ("streamed", "yes", None),
    ("cached_tokens", 64.0, 64),
    ("cached_tokens", 1.5, None),
    ("timestamp", 1_764_000_000_000.5, 1_764_000_000_000),
    ("http_status", 429.0, 429),
    ("latency_ms", Decimal("12.5"), 12.5),
    ("timestamp", Whole(1_764_000_000_000), 1_764_000_000_000),
    ("timestamp", Real(1_764_000_000_000.0), 1_764_000_000_000),
    ("latency_ms", Whole(12), 12),
    ("latency_ms", Real(0.5), 0.5),
    ("latency_ms", Fraction(1, 4), 0.25),
    ("http_status", Whole(429), 429),
    ("http_status", Decimal(429), 429),
    ("prompt_tokens", Whole(7), 7),
    ("prompt_tokens", Real(7.0), 7),
    ("prompt_tokens", Real(7.5), 0),
    ("completion_tokens", Real(math.nan), 0),
    ("cost_usd", Real(math.inf), None),
    ("cost_usd", bool_(1), None),
    ("cost_usd", complex(1, 2), None),
    ("attempts", Whole(3), 3),
    ("streamed", bool_(1), True),
    ("streamed", bool_(0), False),
    ("streamed", Whole(1), True),
    ("streamed", math.nan, None),
    ("streamed", -math.inf, None),
    ("cached_tokens", math.nan, None),
    ("cached_tokens", math.inf, None),
    ("reasoning_tokens", math.nan, None),
    ("cache_write_1h_tokens", -math.inf, None),
    ("completion_audio_tokens", Whole(7), 7),
    ("finish_reason", b"stop", "stop"),
    ("chain_name", b"caf\xc3\xa9", "caf\xe9"),
    ("provider_id", bytearray(b"groq"), "groq"),
    ("model", b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ("attempt_trail", "groq", None),
    ("attempt_trail", [{"provider_id": "groq"}], None),
]


@pytest.mark.parametrize(("field", "value", "stored"), ODD_VALUES, ids=lambda value: type(value).__name__)
def test_an_odd_value_is_made_storable_or_left_out(field: str, value: object, stored: object) -> None:
    """The row is kept, holds what could be kept of the value, and names the field in its metadata."""
    with pytest.raises(InvalidEntryError):
        encode_line(entry(**{field: value}))
    values = repaired(**{field: value})
    assert values.get(field) == stored
    assert values["metadata"] == {REPAIRED_KEY: [field]}


def test_an_odd_attempt_costs_only_its_odd_values() -> None:
    """Attempts are repaired one by one; only one that names no provider or model is left out."""
    trail = [
        Attempt(provider_id="a" * 300, model=CUT, http_status=99, latency_ms=math.nan, error_message="x\0y"),
        {"provider_id": "b", "model": "m", "http_status": 200.0, "status": 1},
        {"provider_id": "c"},
        5,
        Attempt(provider_id="d", model="m", http_status=200),
    ]
    assert repaired(attempt_trail=trail)["attempt_trail"] == [
        {"provider_id": "a" * MAX_NAME_CHARS, "model": SOUND, "error_message": "x\N{REPLACEMENT CHARACTER}y"},
        {"provider_id": "b", "model": "m", "http_status": 200},
        {"provider_id": "d", "model": "m", "http_status": 200},
    ]


@pytest.mark.parametrize("attempts", [1, 10_000, 12_000, None, "many"])
def test_of_too_many_attempts_the_last_are_kept_and_all_are_counted(attempts: object) -> None:
    """The last attempt answered, or failed finally; what is cut still was an attempt, unless more were said."""
    trail = [Attempt(provider_id=f"p{n}", model="m") for n in range(10_000)]
    values = repaired(attempt_trail=trail, attempts=attempts)
    assert [attempt["provider_id"] for attempt in values["attempt_trail"]] == [
        f"p{n}" for n in range(10_000 - MAX_ATTEMPTS, 10_000)
    ]
    assert values["attempts"] == (12_000 if attempts == 12_000 else 10_000)
    assert "attempt_trail" in values["metadata"][REPAIRED_KEY]


@pytest.mark.parametrize(
    ("attempt", "stored"),
    [
        (Attempt(provider_id=b"groq", model=b"caf\xc3\xa9"), {"provider_id": "groq", "model": "caf\xe9"}),  # type: ignore[arg-type]  # that is the point
        ({"provider_id": "p", "model": bytearray(b"m")}, {"provider_id": "p", "model": "m"}),
        ({"provider_id": "p", "model": UUID(int=7)}, {"provider_id": "p", "model": str(UUID(int=7))}),
        ({"provider_id": "p", "model": 4}, {"provider_id": "p", "model": "4"}),
        (Attempt(provider_id="p", model="m", latency_ms=math.nan), {"provider_id": "p", "model": "m"}),
        ({"provider_id": "p", "model": "m", "latency_ms": -math.inf}, {"provider_id": "p", "model": "m"}),
        ({"provider_id": "p", "model": "m", "http_status": math.nan}, {"provider_id": "p", "model": "m"}),
        (
            Attempt(provider_id="p", model="m", cost_usd=math.nan, reasoning_tokens=math.inf),  # type: ignore[arg-type]  # likewise
            {"provider_id": "p", "model": "m"},
        ),
        (
            {"provider_id": "p", "model": "m", "http_status": Whole(429), "latency_ms": Real(1.5)},
            {"provider_id": "p", "model": "m", "http_status": 429, "latency_ms": 1.5},
        ),
    ],
)
def test_what_a_line_would_hide_in_an_attempt_is_repaired_and_marked(attempt: object, stored: object) -> None:
    """Bytes would be base64 in a line and NaN null, and neither would show."""
    with pytest.raises(InvalidEntryError):
        encode_line(entry(attempt_trail=[attempt]))
    values = repaired(attempt_trail=[attempt])
    assert values["attempt_trail"] == [stored]
    assert values["metadata"] == {REPAIRED_KEY: ["attempt_trail"]}


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("provider_id", UUID(int=7), str(UUID(int=7))),
        ("model", Model.LARGE, "large"),
        ("latency_ms", Decimal("1.5"), 1.5),
        ("latency_ms", Whole(2), 2),
        ("http_status", Decimal(429), 429),
    ],
)
def test_a_value_that_equals_what_is_stored_is_repaired_all_the_same(field: str, value: object, stored: object) -> None:
    """A Decimal is equal to its number, and is encoded as a text."""
    fields: dict[str, Any] = {"provider_id": "p", "model": "m", field: value}
    assert repaired(attempt_trail=[Attempt(**fields)])["attempt_trail"][0][field] == stored


@dataclasses.dataclass
class _OwnAttempt:
    provider_id: str
    model: str


def test_an_attempt_of_any_class_survives_a_repair_of_another() -> None:
    """What the log takes without a repair, it takes with one."""
    trail = [_OwnAttempt("a", "m"), {"provider_id": "b", "model": "m", "latency_ms": math.nan}]
    assert [attempt["provider_id"] for attempt in repaired(attempt_trail=trail)["attempt_trail"]] == ["a", "b"]


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_value_that_cannot_even_be_asked_for_its_class_is_left_out(field: str) -> None:
    """Whatever an object does, the row is stored, and names the field."""
    _, fields = encode_repaired(entry(**{field: Unreadable()}), Redactor())
    assert fields == (field,)


def test_a_secret_is_redacted_before_anything_is_cut() -> None:
    """No part of a key that lies across a cut, or follows a NUL, is stored."""
    secret = "sk-proj-" + "a1B2" * 10
    values = repaired(
        metadata={"note": "x " * 250 + secret + " y" * 4_000}, error_message="\0" + "z " * 4_085 + secret, cost_usd=-1
    )
    assert REDACTED in values["metadata"]["note"]
    assert "a1B2" not in json.dumps(values)


def test_sound_values_are_not_called_repaired() -> None:
    """The mark names the odd field alone, whatever types the sound ones have."""
    trail: list[Mapping[str, object]] = [{"provider_id": "b", "model": "m", "http_status": None}]
    values = repaired(cost_usd=-1, attempt_trail=trail, metadata={"tags": ("a", "b")}, streamed=True, total_tokens=None)
    assert values["metadata"] == {"tags": ["a", "b"], REPAIRED_KEY: ["cost_usd"]}


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_that_cannot_be_made_sound_is_refused(field: str) -> None:
    """It is refused by its name, as it is without a repair."""
    with pytest.raises(InvalidEntryError, match=field):
        encode_repaired(entry(**{field: [1]}), Redactor())


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.just(Mute()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(details=st.fixed_dictionaries({}, optional=dict.fromkeys(OPTIONAL, anything)))
def test_whatever_the_optional_fields_hold_the_entry_is_stored(details: dict[str, object]) -> None:
    """A line that can be read back comes out, for any value at all."""
    odd = entry(**details)
    try:
        line = encode_line(odd)
    except InvalidEntryError:
        line, fields = encode_repaired(odd, Redactor())
        assert set(fields) <= set(OPTIONAL)
        assert fields
    check_line(line)


async def test_a_repair_is_counted_by_field_and_the_row_is_written(tmp_path: Path) -> None:
    """`log_request`, `submit` and `write` all accept the entry; the law of the accounting holds."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        odd: RequestLogEntry = entry(cost_usd=-1, model="m" * 300)
        assert chainlog.log_request(odd)
        chainlog.submit(odd)
        await chainlog.write(odd)
        statistics = chainlog.statistics()
        assert (statistics.submitted, statistics.written, statistics.dropped) == (3, 3, {})
        assert statistics.repaired == {"cost_usd": 3, "model": 3}
        (newest, *_) = await chainlog.usage.get_recent_requests(1)
    assert newest.model == "m" * MAX_NAME_CHARS
    assert newest.metadata == {REPAIRED_KEY: ["model", "cost_usd"]}


class _Detached(list[object]):
    """A collection that fails when it is looked at, as one of a closed session does."""

    def __len__(self) -> int:
        raise RuntimeError("detached")


def test_a_collection_that_fails_is_left_out() -> None:
    """Whatever a value does when it is looked at, the row is stored without it."""
    _, fields = encode_repaired(entry(attempt_trail=_Detached()), Redactor())
    assert fields == ("attempt_trail",)


def test_an_unknown_field_of_an_attempt_is_left_out() -> None:
    """The attempt is stored with the fields that there are."""
    line, fields = encode_repaired(entry(attempt_trail=[{"provider_id": "p", "model": "m", "zzz": 1}]), Redactor())
    assert fields == ("attempt_trail",)
    assert b"zzz" not in line


@pytest.mark.parametrize("field", OPTIONAL)
@pytest.mark.parametrize("others", [{}, {"caller": "c"}, {"request_id": "r", "metadata": {"a": 1}, "session_id": "s"}])
def test_what_claims_to_equal_none_is_left_out_with_a_mark(field: str, others: dict[str, object]) -> None:
    """As a `mock.ANY` does that a test double left in an entry: it is no value that was not given."""
    line = json.loads(encode_storable(entry(**{**others, field: ANY}), Redactor()))
    metadata = dict(zip(ENTRY_FIELDS, line, strict=False))["metadata"]
    assert metadata[REPAIRED_KEY] == [field]
