"""The optional fields: who asked, what it cost, how fast it began, and every try of the chain."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async import Attempt, ChainLog
from chainlog_async.entry.json_input import entry_from_json
from chainlog_async.entry.line import encode_line, line_as_json
from chainlog_async.entry.model import MAX_ATTEMPTS, MAX_COST_USD, MAX_ERROR_CHARS
from chainlog_async.entry.redaction import REDACTED, Redactor
from chainlog_async.entry.repair import encode_repaired
from chainlog_async.entry.sanitize import MAX_METADATA_BYTES
from chainlog_async.errors import InvalidEntryError
from tests.support.entries import entry
from tests.support.writing import settings_for

TRAIL = (
    Attempt(provider_id="openai", model="gpt-4o-mini", http_status=429, latency_ms=12.5, error_message="slow down"),
    Attempt(provider_id="groq", model="llama", error_message="connection refused"),
    Attempt(provider_id="mistral", model="small", http_status=200, latency_ms=431.0),
)
DETAILS: dict[str, object] = {
    "request_id": "req-1",
    "caller": "team-a",
    "ttft_ms": 120.5,
    "cost_usd": 0.00125,
    "streamed": True,
    "cached_tokens": 64,
    "metadata": {"env": "prod", "tags": ["a", "b"], "depth": {"n": 1}},
    "attempt_trail": TRAIL,
}

INVALID: list[tuple[str, object, str]] = [
    ("request_id", b"abc", "request_id is bytes"),
    ("request_id", "x" * 257, "request_id"),
    ("caller", 7, "caller"),
    ("caller", "a\0b", "caller contains a NUL"),
    ("ttft_ms", float("nan"), "ttft_ms is nan"),
    ("ttft_ms", -1.0, "ttft_ms"),
    ("cost_usd", float("inf"), "cost_usd is inf"),
    ("cost_usd", 2.0 * MAX_COST_USD, "cost_usd"),
    ("streamed", 1, "streamed"),
    ("cached_tokens", 1.5, "cached_tokens"),
    ("cached_tokens", -1, "cached_tokens"),
    ("metadata", ["a"], "metadata is list"),
    ("metadata", {"a": "x" * MAX_METADATA_BYTES}, f"the maximum is {MAX_METADATA_BYTES}"),
    ("metadata", {"a": object()}, "metadata"),
    ("attempt_trail", "groq", "attempt_trail is str"),
    ("attempt_trail", [{"provider_id": "groq"}], r"model for attempt_trail\[0\]"),
    ("attempt_trail", [{"provider_id": "groq", "model": "m", "status": 1}], "status"),
    ("attempt_trail", [Attempt(provider_id="groq", model="m", http_status=99)], r"attempt_trail\[0\].http_status"),
    ("attempt_trail", [Attempt(provider_id="a\0", model="m")], "provider_id of an attempt contains a NUL"),
    ("attempt_trail", [Attempt(provider_id="groq", model="m")] * (MAX_ATTEMPTS + 1), "attempt_trail"),
]


@pytest.mark.parametrize(("field", "value", "words"), INVALID)
def test_a_detail_that_cannot_be_stored_is_named(field: str, value: object, words: str) -> None:
    """Each wrong value is refused with the field's name, and nothing else is raised."""
    with pytest.raises(InvalidEntryError, match=words):
        encode_line(entry(**{field: value}))


async def test_details_are_stored_in_columns_of_their_own(tmp_path: Path) -> None:
    """What is given is what the database holds; times are rounded half up, lists are JSON."""
    async with ChainLog(settings_for(tmp_path / "log.db")) as chainlog:
        await chainlog.write(entry(**DETAILS))
        await chainlog.write(entry())
        columns = ", ".join(DETAILS)
        rows = await chainlog.request_logger.connection.execute_fetchall(f"SELECT {columns} FROM request_logs")
    full, plain = (dict(zip(DETAILS, row, strict=True)) for row in rows)
    assert json.loads(full.pop("metadata")) == DETAILS["metadata"]
    assert msgspec.convert(json.loads(full.pop("attempt_trail")), tuple[Attempt, ...]) == TRAIL
    assert full == {
        "request_id": "req-1",
        "caller": "team-a",
        "ttft_ms": 121,
        "cost_usd": 0.00125,
        "streamed": 1,
        "cached_tokens": 64,
    }
    assert set(plain.values()) == {None}


def test_attempts_are_as_many_as_the_trail_is_long() -> None:
    """Whoever gives the trail need not count it; a larger number is kept, for a trail may be cut."""
    assert msgspec.json.decode(encode_line(entry(attempt_trail=TRAIL)))[9] == len(TRAIL)
    assert msgspec.json.decode(encode_line(entry(attempt_trail=TRAIL, attempts=5)))[9] == 5
    assert msgspec.json.decode(encode_line(entry(attempt_trail=())))[9] == 1


def test_secrets_are_redacted_of_the_trail_and_the_metadata() -> None:
    """Keys in an attempt's error and in metadata, be it by their look or by the name they stand under, do not go in."""
    secret = "sk-proj-abcdefghijkl"
    line = encode_line(
        entry(
            attempt_trail=[
                Attempt(provider_id="a", model="m", error_message=f"bad key {secret}"),
                {"provider_id": "b", "model": "m", "error_message": "y" * (2 * MAX_ERROR_CHARS)},
            ],
            metadata={
                "note": f"used {secret}",
                "deep": [{"api_key": "hunter2", "max_tokens": 5, "Authorization": "x"}],
            },
        )
    ).decode()
    assert secret not in line
    assert "hunter2" not in line
    assert '"max_tokens":5' in line
    assert '"Authorization":"[redacted]"' in line
    assert len(json.loads(line)[18][1]["error_message"]) == MAX_ERROR_CHARS


SECRET_NAMES = """
authorization Authorization Proxy-Authorization api_key apiKey x-api-key X-Api-Key api_keys API-KEY password PASSWORD
db_password passwd pwd passphrase secret client_secret clientSecret aws_secret_access_key secretAccessKey
AWS_SESSION_TOKEN cookie Set-Cookie cookies token access_token accessToken auth_token id_token refreshToken x-auth-token
X-Vault-Token hf_token bearer_token private_key privateKey credentials jwt AccountKey user_api_key user_api_key_hash
openai_api_key Ocp-Apim-Subscription-Key connection_string api_key_2
my_secret_thing passwordHash api_key_openai openai_api_key_prod SECRET_KEY_BASE token_2 hf_token_prod
"""

OTHER_NAMES = """
max_tokens maxTokens tokens prompt_tokens token_count cached_tokens api_key_alias user_api_key_alias
user_api_key_user_id api_key_id key key_id cache_key next_token max_token eos_token token_type password_policy
secret_name tokenizer monkey author authenticated bypass cookie_policy user_api_key_metadata
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_metadata_under_the_name_of_a_secret_is_redacted(name: str) -> None:
    """Whatever it is, a list, an object and bytes too; nothing, a yes and a count of tokens are kept."""
    value = {"s": "hunter2", "l": ["hunter2", b"hunter2"], "o": {"x": "hunter2", "none": None, "yes": True}}
    line = encode_line(entry(metadata={name: value, "deep": [{name: "hunter2"}]})).decode()
    assert "hunter2" not in line
    assert "aHVudGVyMg" not in line
    assert '"none":null' in line
    assert '"yes":true' in line
    number = '"[redacted]"' if "token" not in name.casefold() else "12345678"
    assert f'"{name}":{number}' in encode_line(entry(metadata={name: 12345678})).decode()


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_metadata_under_another_name_is_kept(name: str) -> None:
    """What only tells of a secret, or counts tokens, is of use to who reads the log."""
    for value in ("team-a", 5, ["x"]):
        assert json.loads(encode_line(entry(metadata={name: value})))[17][name] == value


@pytest.mark.parametrize(
    "name", ["OPENAI_KEY", "pass", "auth", "key", "my_key", "credentials_json", "PGPASS", "session", "JSESSIONID"]
)
def test_a_value_that_would_be_a_secret_in_a_text_is_one_in_metadata(name: str) -> None:
    """What ``name=value`` is redacted in an error text is redacted under that name; a word is kept."""
    value = "Zk3x9Qw7Rt5bYp2mLv8cNd4h"
    assert value not in encode_line(entry(error_message=f"{name}={value}")).decode()
    assert value not in encode_line(entry(metadata={name: value})).decode()


@pytest.mark.parametrize(
    "headers",
    [
        [["x-api-key", "hunter2-hunter2"], ["accept", "*/*"]],
        [("Authorization", "Bearer hunter2-hunter2")],
        [["Cookie", "sid=hunter2"]],
        [{"name": "Authorization", "value": "hunter2-hunter2"}],
        [{"key": "x-api-key", "value": "hunter2"}],
        [{"name": "OPENAI_KEY", "value": "Zk3x9Qw7Rt5bYp2hunter2"}],
        ["x-api-key", "hunter2-hunter2"],
    ],
    ids=str,
)
def test_a_secret_in_a_list_of_headers_is_redacted(headers: list[object]) -> None:
    """As pairs or as items with a name and a value; the other headers are kept."""
    line = encode_line(entry(metadata={"headers": headers}))
    assert REDACTED.encode() in line
    assert b"hunter2" not in line


@pytest.mark.parametrize(
    "value",
    [["password", "reset"], ["token", 5], [{"name": "key", "value": "team-a"}], [["accept", "application/json"]]],
)
def test_a_list_that_is_no_header_is_kept(value: list[object]) -> None:
    """Two tags, a number of tokens, an item of another kind."""
    assert json.loads(encode_line(entry(metadata={"x": value})))[17]["x"] == value


def test_a_secret_that_is_a_name_in_metadata_is_redacted() -> None:
    """Some count by key."""
    line = encode_line(entry(metadata={"calls": {"sk-proj-0123456789abcdef": 5, "team-a": 1}}))
    assert b'{"[redacted]":5,"team-a":1}' in line


def test_json_in_either_spelling_gives_the_same_entry() -> None:
    """CamelCase and snake_case, in the attempts too; a line read back as JSON is an entry again."""
    snake = {**msgspec.to_builtins(DETAILS), "chain_name": "c", "provider_id": "p", "model": "m", "timestamp": 10**12}
    snake |= {"latency_ms": 1, "http_status": 200}
    camel = {_camel(name): value for name, value in snake.items()}
    camel["attemptTrail"] = [{_camel(name): value for name, value in item.items()} for item in snake["attempt_trail"]]
    line = encode_line(entry_from_json(json.dumps(snake)))
    assert encode_line(entry_from_json(json.dumps(camel))) == line
    assert encode_line(entry_from_json(line_as_json(line))) == line


texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(
    details=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(DETAILS, json_values) | {"attempt_trail": st.lists(json_values, max_size=3)}
    )
)
def test_whatever_is_given_is_stored_or_refused(details: dict[str, object]) -> None:
    """No value of a detail makes encoding raise anything but the one named error, and what is encoded can be read."""
    try:
        line = encode_line(entry(**details))
    except InvalidEntryError:
        return
    assert encode_line(entry_from_json(line_as_json(line))) == line


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


@dataclasses.dataclass
class _Settings:
    api_key: str
    note: str


@pytest.mark.parametrize(
    "value",
    [
        {"sk-proj-0123456789abcdef"},
        frozenset({"sk-proj-0123456789abcdef"}),
        _Settings("hunter2-hunter2", "Bearer sk-proj-0123456789abcdef"),
        [_Settings("hunter2-hunter2", "")],
    ],
    ids=repr,
)
def test_secrets_in_metadata_of_any_type_are_redacted(value: object) -> None:
    """Whatever can be encoded is searched, not only dicts, lists and texts."""
    line = encode_line(entry(metadata={"about": value}))
    assert REDACTED.encode() in line
    assert b"hunter2" not in line
    assert b"0123456789abcdef" not in line


def test_a_secret_in_metadata_that_is_bytes_is_redacted() -> None:
    """Bytes become text by a repair, which searches them as well."""
    line, _ = encode_repaired(entry(metadata={"about": b"sk-proj-0123456789abcdef"}), Redactor())
    assert REDACTED.encode() in line
    assert b"0123456789abcdef" not in line


def test_secrets_in_attempts_of_any_type_are_redacted() -> None:
    """A dataclass with the fields of an attempt is one."""
    attempt = dataclasses.make_dataclass("Tried", ["provider_id", "model", "error_message"])
    line = encode_line(entry(attempt_trail=[attempt("p", "m", "bad key sk-proj-0123456789abcdef")]))
    assert b"0123456789abcdef" not in line
