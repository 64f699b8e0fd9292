"""What is promised about entries in JSON: both ways of writing names are read, and what is wrong is named."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainlog_async import RequestLogEntry
from chainlog_async.entry.json_input import as_sent, entry_from_json, entry_from_mapping
from chainlog_async.entry.line import encode_line
from chainlog_async.errors import InvalidEntryError

SNAKE = {
    "timestamp": 1_760_000_000_000,
    "chain_name": "default",
    "provider_id": "groq",
    "model": "llama-3.3-70b",
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "latency_ms": 412.5,
    "http_status": 200,
    "attempts": 2,
    "error_message": "first try: 429",
}
CAMEL = {
    "timestamp": 1_760_000_000_000,
    "chainName": "default",
    "providerId": "groq",
    "model": "llama-3.3-70b",
    "promptTokens": 11,
    "completionTokens": 7,
    "totalTokens": 18,
    "latencyMs": 412.5,
    "httpStatus": 200,
    "attempts": 2,
    "errorMessage": "first try: 429",
}


def refusal(value: object) -> str:
    """Why a JSON value is no entry."""
    with pytest.raises(InvalidEntryError) as caught:
        entry_from_mapping(value)
    return str(caught.value)


def test_both_ways_of_writing_names_are_read() -> None:
    """snake_case, camelCase and a mixture of both are the same entry."""
    expected = RequestLogEntry(**SNAKE)  # type: ignore[arg-type]  # a mapping of mixed values
    assert entry_from_json(msgspec.json.encode(SNAKE)) == expected
    assert entry_from_json(msgspec.json.encode(CAMEL).decode()) == expected
    mixed = {name: SNAKE[name] for name in list(SNAKE)[:5]} | {name: CAMEL[name] for name in list(CAMEL)[5:]}
    assert entry_from_mapping(mixed) == expected


def test_an_unknown_field_is_named_with_its_neighbour() -> None:
    """A misspelt field is refused, with the name that was probably meant; anything else with the names there are."""
    assert "'promt_tokens'; did you mean 'prompt_tokens'?" in refusal({**SNAKE, "promt_tokens": 1})
    assert "'completionTokes'; did you mean 'completionTokens'?" in refusal({**CAMEL, "completionTokes": 1})
    assert "the fields are timestamp, chain_name" in refusal({**SNAKE, "zzz": 1})
    assert len(refusal({**SNAKE, "z" * 1_000_000: 1})) < 1_000


def test_missing_fields_are_named() -> None:
    """What must be given and is not is listed."""
    assert refusal({}) == "missing fields: chain_name, provider_id, model, latency_ms, http_status"
    assert refusal({name: value for name, value in CAMEL.items() if name != "latencyMs"}) == "missing field: latencyMs"
    assert refusal({"chainName": "c"}) == "missing fields: providerId, model, latencyMs, httpStatus"
    assert "the fields are timestamp, chainName, providerId" in refusal({**CAMEL, "zzz": 1})


def test_a_field_given_in_both_ways_is_refused() -> None:
    """One field in camelCase and in snake_case together leave open which is meant."""
    assert refusal({**SNAKE, "chainName": "another"}).startswith(
        "field 'chain_name' is given twice, also as 'chainName'"
    )


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({**CAMEL, "latencyMs": "slow"}, "latencyMs"),
        ({**CAMEL, "httpStatus": 99}, "httpStatus"),
        ({**CAMEL, "chainName": None}, "chainName"),
        ({**SNAKE, "chain_name": None}, "chain_name"),
        ({**SNAKE, "http_status": -1}, "http_status"),
        ({**{name: CAMEL[name] for name in CAMEL if name != "httpStatus"}, "http_status": 99}, "http_status"),
        ({"httpStatus": 99, "chainName": "c", "providerId": "p", "model": "m", "latencyMs": 1}, "httpStatus"),
    ],
)
def test_a_bad_value_is_named_as_it_was_sent(sent: dict[str, object], named: str) -> None:
    """Who writes chainName reads of chainName, who writes chain_name of that."""
    data = msgspec.json.encode(sent)
    with pytest.raises(InvalidEntryError) as caught:
        encode_line(entry_from_json(data))
    message = str(as_sent(caught.value, data))
    assert re.findall(r"[a-zA-Z]+_[a-z]+|[a-z]+(?:Name|Ms|Status)\b", message) == [named]


def test_a_value_that_looks_like_a_name_stays() -> None:
    """Only names of fields are written as they were sent, not what was sent in them."""
    error = InvalidEntryError("latency_ms is 'http_status', \"it's provider_id\" or model_x; give chain_name")
    assert str(as_sent(error, msgspec.json.encode(CAMEL))) == (
        "latencyMs is 'http_status', \"it's provider_id\" or model_x; give chainName"
    )
    for data in (b"{", b"[]", msgspec.json.encode(SNAKE)):
        assert as_sent(error, data) is error


@pytest.mark.parametrize(
    ("timestamp", "ms"),
    [
        ("2025-11-25T08:00:00.250Z", 1_764_057_600_250),
        ("2025-11-25T08:00", 1_764_057_600_000),
        ("2025-11-25 09:00:00+01:00", 1_764_057_600_000),
        ("2025-11-25", 1_764_028_800_000),
        ("1764057600000", 1_764_057_600_000),
        ("1970-01-01T00:00:01Z", 1_000),
        (1_764_057_600_000, 1_764_057_600_000),
    ],
)
def test_a_timestamp_may_be_iso_8601(timestamp: object, ms: int) -> None:
    """It is read as the queries read it: UTC where no zone is said."""
    assert entry_from_mapping({**CAMEL, "timestamp": timestamp}).timestamp == ms


@pytest.mark.parametrize(
    "timestamp", ["", "now", "24h", "25.11.2025", "2025-13-01", "1e3", "0001-01-01T00:00:00+99:00"]
)
def test_a_text_that_is_no_time_is_refused(timestamp: str) -> None:
    """With the value, and how a time is written."""
    message = refusal({**CAMEL, "timestamp": timestamp})
    assert message.startswith(f"timestamp is {timestamp!r}; give ms since the epoch, or ISO 8601 such as 2026-11-25T")


@pytest.mark.parametrize(
    ("timestamp", "words"),
    [
        (1_703_638_574, "in s it is 2023-12-27T00:56:14Z, which is 1703638574000 ms; give ms since the epoch"),
        (1_703_638_574.25, "which is 1703638574250 ms"),
        (0, "is in January 1970"),
        ("1703638574", "which is 1703638574000 ms"),
        (1_703_638_574_000_000, "in µs it is 2023-12-27T00:56:14Z, which is 1703638574000 ms"),
        (1_703_638_574_000_000_000, "in ns it is 2023-12-27T00:56:14Z, which is 1703638574000 ms"),
        ("1703638574000000000", "in ns it is 2023-12-27T00:56:14Z"),
        (9 * 10**18, "after the year 9999; give ms since the epoch"),
        (20_261_125_080_000, "is in the year 2612; give a time as ISO 8601"),
    ],
)
def test_a_timestamp_that_is_not_in_ms_is_refused(timestamp: object, words: str) -> None:
    """Seconds would be a time in January 1970, and microseconds one that no calendar has."""
    with pytest.raises(InvalidEntryError) as caught:
        entry_from_json(msgspec.json.encode({**CAMEL, "timestamp": timestamp}))
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "text", [], [SNAKE]], ids=lambda value: ascii(value)[:24])
def test_only_an_object_is_an_entry(value: object) -> None:
    """Any other JSON value is refused for what it is."""
    assert "an entry is a JSON object, not " in refusal(value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{} {}", b"\xff", b"{'a': 1}", "{\ud800}", b"[" * 100_000], ids=lambda value: ascii(value)[:24]
)
def test_what_is_not_json_is_refused(data: bytes | str) -> None:
    """Broken JSON, broken UTF-8 and nesting without end raise the same error as a bad entry."""
    with pytest.raises(InvalidEntryError, match="not"):
        entry_from_json(data)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*SNAKE, *CAMEL, "x"]), inner),
    )
)
def test_any_json_value_is_an_entry_or_refused(value: object) -> None:
    """No JSON value raises anything but `InvalidEntryError`, while it is read or encoded."""
    try:
        encode_line(entry_from_mapping(value))
    except InvalidEntryError:
        return
