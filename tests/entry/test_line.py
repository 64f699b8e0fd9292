"""What is promised about one entry: anything can be built, what is accepted is stored, what is not is named."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import http
import math
import uuid
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.common.clock import MAX_TIMESTAMP_MS, now_ms
from chainlog_async.entry.line import check_line, encode_line
from chainlog_async.entry.model import LATER_FIELDS, MAX_COUNT, MAX_ERROR_CHARS, MAX_NAME_CHARS
from chainlog_async.entry.redaction import Redactor
from chainlog_async.entry.repair import encode_repaired
from chainlog_async.errors import InvalidEntryError
from tests.support.entries import entry
from tests.support.writing import opened, query, settings_for

NAMES = ("chain_name", "provider_id", "model")
COUNTS = ("prompt_tokens", "completion_tokens", "attempts")
FIELDS = RequestLogEntry.__struct_fields__


class Text(str):
    """A str of somebody's own."""

    __slots__ = ()


class Number(int):
    """An int of somebody's own."""


class Real(float):
    """A float of somebody's own, as numpy's float64 is one."""


class Colour(enum.Enum):
    """No str, though its value is one."""

    RED = "red"


class Provider(enum.StrEnum):
    """A str that is an enum."""

    GROQ = "groq"


class Hostile:
    """A value that raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]  # that is the point


def bent(field: str, value: object) -> RequestLogEntry:
    """An entry that is good but for one field."""
    return entry(**{field: value})


class Thing:
    """Something that no field takes; its name is the same in every process, as pytest-xdist needs."""

    def __repr__(self) -> str:
        return "thing"


THING = Thing()

NO_NAMES: list[object] = [None, 3, 1.5, True, b"groq", bytearray(b"groq"), ["groq"], {}, THING]
NO_LATENCIES: list[object] = [None, "3", b"3", True, False, decimal.Decimal("1.5"), [], THING]
WRONG_TYPES = [
    *[(name, value) for name in NAMES for value in NO_NAMES],
    *[(name, value) for name in NAMES for value in (Colour.RED, uuid.UUID(int=7), dt.date(2026, 1, 1), Hostile())],
    *[
        (name, value)
        for name in COUNTS
        for value in (None, "3", b"3", True, False, 3.0, 3.5, math.nan, decimal.Decimal(3), [3])
    ],
    *[("total_tokens", value) for value in ("3", b"3", True, False, 3.0, 3.5, math.nan, math.inf, THING)],
    *[("timestamp", value) for value in (None, "3", True, 1.5, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), Hostile())],
    *[("latency_ms", value) for value in NO_LATENCIES],
    *[("http_status", value) for value in (None, "200", b"200", True, 200.0, 200.5, [200])],
    *[("error_message", value) for value in (3, 1.5, True, b"timeout", ["timeout"], ValueError("timeout"), Hostile())],
]
OUT_OF_RANGE = [
    *[(name, value) for name in COUNTS for value in (-1, MAX_COUNT + 1, 2**63, 10**30, -(10**30))],
    *[("total_tokens", value) for value in (-1, MAX_COUNT + 1, 2**63, 10**30)],
    *[("timestamp", value) for value in (-1, MAX_TIMESTAMP_MS + 1, 2**63, 10**30)],
    *[("latency_ms", value) for value in (-1, -0.001, math.nan, math.inf, -math.inf, MAX_COUNT + 1, 1e300, 10**400)],
    *[("http_status", value) for value in (99, 600, 0, -200, 1000, 10**30)],
]
BAD_TEXTS = [
    *[(name, "x" * (MAX_NAME_CHARS + 1)) for name in NAMES],
    *[(name, text) for name in (*NAMES, "error_message") for text in ("a\0b", "\0", "a\ud800b", "\udcff")],
]


def name_of(value: object) -> str:
    """A short name for a parameter that may have no repr."""
    try:
        return ascii(value)[:24]
    except RuntimeError:
        return type(value).__name__


@pytest.mark.parametrize(("field", "value"), [*WRONG_TYPES, *OUT_OF_RANGE, *BAD_TEXTS], ids=name_of)
def test_a_value_that_cannot_be_stored_is_refused_by_name(field: str, value: object) -> None:
    """A wrong type, a number out of range, a text that cannot be stored: the error names the field."""
    with pytest.raises(InvalidEntryError, match=rf"\b{field}\b"):
        encode_line(bent(field, value))


@pytest.mark.parametrize(
    "value", [None, 3, "entry", {}, [1, "c", "p", "m", 0, 0, None, 1.0, 200, 1, None], THING], ids=name_of
)
def test_what_is_no_entry_is_refused(value: object) -> None:
    """Something that is no entry at all is refused like a bad one, and the error says what it is."""
    with pytest.raises(InvalidEntryError, match=type(value).__name__):
        encode_line(value)  # type: ignore[arg-type]  # that is the point


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc"])),
    st.binary(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.none()),
    st.datetimes(),
    st.decimals(),
    st.uuids(),
    st.builds(object),
    st.builds(Hostile),
)


# On a busy machine the first examples take long to make, which says nothing about the library.
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, anything)))
def test_building_never_judges(values: dict[str, object]) -> None:
    """An entry can be built of any values; only encoding it judges them, and with one kind of error."""
    built = entry(**values)
    try:
        line = encode_line(built)
    except InvalidEntryError:
        return
    # A line ends before the optional fields that the entry does not have, and is what a strict decoder takes.
    assert len(msgspec.json.decode(line)) in {10, 17, len(FIELDS) - len(LATER_FIELDS), len(FIELDS)}
    check_line(line)
    assert b"\n" not in line


def test_a_field_may_be_left_out() -> None:
    """Tokens are 0, attempts 1, no error and the time of building, when nothing is said."""
    before = now_ms()
    built = RequestLogEntry(chain_name="default", provider_id="groq", model="llama", latency_ms=5, http_status=200)
    assert before <= built.timestamp <= now_ms()
    assert (built.prompt_tokens, built.completion_tokens, built.total_tokens) == (0, 0, None)
    assert (built.attempts, built.error_message) == (1, None)


def test_an_entry_does_not_change() -> None:
    """What was logged stays what it was: an entry is frozen."""
    with pytest.raises(AttributeError):
        entry().model = "another"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            (name, value)
            for name in NAMES
            for value in ("", "x" * MAX_NAME_CHARS, "😀" * MAX_NAME_CHARS, Text("mine"), Provider.GROQ)
        ],
        *[(name, value) for name in COUNTS for value in (0, MAX_COUNT, Number(7))],
        *[("total_tokens", value) for value in (None, 0, MAX_COUNT, Number(7))],
        *[("timestamp", value) for value in (0, MAX_TIMESTAMP_MS)],
        *[("latency_ms", value) for value in (0, -0.0, 5e-324, 7, MAX_COUNT, float(MAX_COUNT), Real(2.5), Number(7))],
        *[("http_status", value) for value in (100, 599, http.HTTPStatus.TOO_MANY_REQUESTS)],
        *[("error_message", value) for value in (None, "", "x" * MAX_ERROR_CHARS, Text("mine"))],
    ],
    ids=name_of,
)
def test_the_bounds_themselves_are_stored(tmp_path: Path, field: str, value: object) -> None:
    """The least and the most of each field is stored as it is, and so is a subclass of a right type."""
    good = bent(field, value)
    with opened(settings_for(tmp_path / "log.db")) as (chainlog, portal):
        portal.call(chainlog.write, good)
        ((row,),) = (query(tmp_path / "log.db", f"SELECT {field} FROM request_logs"),)
    if field == "total_tokens" and value is None:
        value = good.prompt_tokens + good.completion_tokens
    if field == "latency_ms":
        value = half_up(good.latency_ms)
    assert row == (value,)


def half_up(latency_ms: float) -> int:
    """The whole number next to it; of two, the greater."""
    return math.floor(latency_ms + 0.5)


names = st.text(st.characters(), max_size=MAX_NAME_CHARS + 1)
counts = st.integers(min_value=-1, max_value=MAX_COUNT)
texts_worth_trying = st.sampled_from(
    [
        '"',
        "'",
        "\\",
        "\n",
        "\r\n",
        "\t",
        "\x7f",
        "\x01",
        "\\u0000",
        "\\n",
        "😀🏽",
        "é",
        "\ufeff",
        "\u2028",
        "\U0010ffff",
        "[1,2]",
        "null",
        "%s",
    ]
)
entries = st.builds(
    RequestLogEntry,
    timestamp=st.integers(min_value=0, max_value=MAX_TIMESTAMP_MS),
    chain_name=names | texts_worth_trying,
    provider_id=names | texts_worth_trying,
    model=names | texts_worth_trying,
    prompt_tokens=counts,
    completion_tokens=counts,
    total_tokens=st.none() | counts,
    latency_ms=st.floats()
    | st.integers(min_value=0, max_value=10_000_000)
    | st.integers(0, 80_000).map(lambda n: n / 8),
    http_status=st.integers(min_value=99, max_value=600),
    attempts=counts,
    error_message=st.none()
    | st.text(st.characters())
    | texts_worth_trying
    | st.text(min_size=1).map(lambda text: text * 5_000),
)


def row_of(good: RequestLogEntry) -> tuple[object, ...]:
    """What the database is to hold for an accepted entry, but for the latency."""
    total = good.total_tokens
    error = good.error_message
    return (
        good.timestamp,
        good.chain_name,
        good.provider_id,
        good.model,
        good.prompt_tokens,
        good.completion_tokens,
        good.prompt_tokens + good.completion_tokens if total is None else total,
        good.http_status,
        good.attempts,
        error if error is None or len(error) <= MAX_ERROR_CHARS else error[: MAX_ERROR_CHARS - 1] + "…",
    )


def is_repairable(candidate: RequestLogEntry) -> bool:
    """Whether `encode_repaired` accepts it."""
    try:
        encode_repaired(candidate, Redactor())
    except InvalidEntryError:
        return False
    return True


STORED = (
    "SELECT timestamp, chain_name, provider_id, model, prompt_tokens, completion_tokens, total_tokens, http_status, "
    "attempts, error_message, latency_ms FROM request_logs WHERE id > ? ORDER BY id"
)


def is_good(candidate: RequestLogEntry) -> bool:
    """Whether `encode_line` accepts it."""
    try:
        encode_line(candidate)
    except InvalidEntryError:
        return False
    return True


def test_whatever_is_accepted_is_stored_exactly(tmp_path: Path) -> None:
    """Every entry that needs no repair, whatever Unicode it holds, is read back as it was; refusals are counted."""
    db_path = tmp_path / "log.db"
    with opened(settings_for(db_path)) as (chainlog, portal):

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(entries, max_size=8))
        def check(batch: list[RequestLogEntry]) -> None:
            before = chainlog.statistics()
            ((last_id,),) = query(db_path, "SELECT COALESCE(MAX(id), 0) FROM request_logs")
            kept = [each for each in batch if is_good(each) or is_repairable(each)]
            assert [chainlog.log_request(each) for each in batch] == [each in kept for each in batch]
            portal.call(chainlog.flush)
            rows = query(db_path, STORED, last_id)
            for row, each in zip(rows, kept, strict=True):
                if is_good(each):
                    assert row[:-1] == row_of(each)
                    # Exact but for a tie that the decimal digits of a double do not settle.
                    assert abs(float(str(row[-1])) - each.latency_ms) <= 0.5 + 1e-3
            after = chainlog.statistics()
            assert after.written - before.written == len(kept)
            assert after.dropped.get("invalid", 0) - before.dropped.get("invalid", 0) == len(batch) - len(kept)

        check()


@pytest.mark.parametrize(
    ("latency_ms", "whole"),
    [
        (0.0, 0),
        (0.49, 0),
        (0.5, 1),
        (1.49, 1),
        (1.5, 2),
        (2.5, 3),
        (3.5, 4),
        (2.4999, 2),
        (1e12 - 0.5, 10**12),
        (12, 12),
    ],
)
def test_latency_is_rounded_half_up(tmp_path: Path, latency_ms: float, whole: int) -> None:
    """A half goes up, always; not to the even neighbour, as Python's and SQLite's round would have it."""
    with opened(settings_for(tmp_path / "log.db")) as (chainlog, portal):
        portal.call(chainlog.write, entry(latency_ms=latency_ms))
        (row,) = portal.call(chainlog.usage.get_recent_requests)
    assert row.latency_ms == whole


@pytest.mark.parametrize("length", [MAX_ERROR_CHARS, MAX_ERROR_CHARS + 1, 10 * MAX_ERROR_CHARS])
@pytest.mark.parametrize("character", ["x", "é", "😀", '"', "\x01"], ids=ascii)
def test_a_long_error_text_is_cut(length: int, character: str) -> None:
    """What is longer than `MAX_ERROR_CHARS` ends in an ellipsis at that length, and is not refused for it."""
    kept = msgspec.json.decode(encode_line(entry(error_message=character * length)))[10]
    assert len(kept) == MAX_ERROR_CHARS
    assert kept.endswith("…") is (length > MAX_ERROR_CHARS)


@pytest.mark.parametrize("field", NAMES)
def test_a_bad_value_costs_that_entry_only(tmp_path: Path, field: str) -> None:
    """The good neighbours of a bad entry are stored, and the bad one is counted as invalid."""
    db_path = tmp_path / "log.db"
    with opened(settings_for(db_path)) as (chainlog, portal):
        accepted = [
            chainlog.log_request(each) for each in (entry(), bent(field, None), entry(), bent(field, 5), entry())
        ]
        portal.call(chainlog.flush)
        statistics = chainlog.statistics()
    assert accepted == [True, False, True, False, True]
    assert (statistics.submitted, statistics.written, statistics.dropped) == (5, 3, {"invalid": 2})
    assert len(query(db_path, "SELECT id FROM request_logs")) == 3


def test_a_bad_entry_is_named_by_submit_and_write(tmp_path: Path) -> None:
    """`submit` and `write` say which field it was, and count it like `log_request` does."""

    def check(chainlog: ChainLog) -> None:
        with pytest.raises(InvalidEntryError, match="http_status"):
            chainlog.submit(entry(http_status=99))

    with opened(settings_for(tmp_path / "log.db")) as (chainlog, portal):
        check(chainlog)
        with pytest.raises(InvalidEntryError, match="latency_ms"):
            portal.call(chainlog.write, entry(latency_ms=math.nan))
        assert chainlog.statistics().dropped == {"invalid": 2}
