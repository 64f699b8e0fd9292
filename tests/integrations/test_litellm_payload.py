"""LiteLLM's payloads as tries: what is taken from them, and what never is."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chainlog_async.entry.line import encode_line
from chainlog_async.integrations._litellm.attempt import ReportedAttempt
from chainlog_async.integrations._litellm.entry import entry_of
from chainlog_async.integrations._litellm.payload import read_event, read_failure
from tests.support.litellm_events import a_try

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "litellm_call_id",
    "trace_id",
    "session_id",
    "custom_llm_provider",
    "model",
    "model_group",
    "model_id",
    "startTime",
    "endTime",
    "stream",
    "completionStartTime",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "response_cost",
    "error_str",
    "error_information",
    "metadata",
    "request_tags",
    "end_user",
    "cache_hit",
    "model_parameters",
    "call_type",
]


def _load(path: Path, *, succeeded: bool) -> ReportedAttempt:
    item = read_event({"standard_logging_object": json.loads(path.read_text())}, succeeded=succeeded)
    assert item is not None
    return item


def _event(**payload: object) -> ReportedAttempt:
    item = read_event({"standard_logging_object": {"startTime": 10.0, "endTime": 12.5, **payload}}, succeeded=True)
    assert item is not None
    return item


def test_a_success_is_read_whole(shared_data: Path) -> None:
    """A recorded success of the SDK's gives provider, model, tokens, cost and times, and no time to first token."""
    item = _load(shared_data / "litellm_success.json", succeeded=True)
    payload = json.loads((shared_data / "litellm_success.json").read_text())
    assert (item.provider_id, item.model, item.chain_name, item.status) == ("openai", "gpt-4o-mini", "gpt-4o-mini", 200)
    assert (item.prompt_tokens, item.completion_tokens) == (payload["prompt_tokens"], payload["completion_tokens"])
    assert item.cost_usd == payload["response_cost"]
    assert item.call_id == payload["litellm_call_id"]
    assert item.position is None
    assert entry_of([item]).ttft_ms is None


def test_a_stream_is_timed_to_its_end(shared_data: Path) -> None:
    """A stream's latency is from start to end, not LiteLLM's response_time, which is the time to first token."""
    entry = entry_of([_load(shared_data / "litellm_stream_success.json", succeeded=True)])
    assert entry.latency_ms == pytest.approx(367.9, abs=0.1)
    assert entry.ttft_ms == pytest.approx(116.1, abs=0.1)
    assert entry.streamed is True


def test_a_failure_has_its_status_and_message(shared_data: Path) -> None:
    """A recorded failure's code, which is a string, becomes the status, and its message is kept."""
    item = _load(shared_data / "litellm_failure.json", succeeded=False)
    assert item.status == 429
    assert item.error_message == "litellm.RateLimitError: this is a mock rate limit error"


@pytest.mark.parametrize("name", ["litellm_success.json", "litellm_stream_success.json", "litellm_failure.json"])
def test_no_content_and_no_key_gets_in(shared_data: Path, name: str) -> None:
    """Prompts, answers and key hashes of a recorded payload are nowhere in the entry that comes of it."""
    payload = json.loads((shared_data / name).read_text())
    payload["metadata"]["user_api_key_hash"] = "the-key-itself"
    payload["metadata"]["requester_metadata"] = {"headers": {"authorization": "Bearer the-key-itself"}}
    item = read_event({"standard_logging_object": payload}, succeeded="success" in name)
    assert item is not None
    line = encode_line(entry_of([item])).decode()
    for secret in ("hello there", "hi how are you", "the-key-itself"):
        assert secret not in line


def test_a_prompt_that_the_error_quotes_is_masked() -> None:
    """An error that quotes the request's messages, as Python or JSON would, is kept without them."""
    prompt = 'my "secret"\nplan'
    error = ValueError(f"Invalid message {{'content': {prompt!r}}} or {json.dumps(prompt)} or {prompt}")
    messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    item = read_failure({"model": "groq/m", "messages": messages, "litellm_call_id": "1"}, error)
    assert item.error_message == "Invalid message {'content': '[content]'} or \"[content]\" or [content]"


@pytest.mark.parametrize(
    ("error", "kept"), [("my plan", "[content]"), ("my pla", "my pla"), ("(my plan)", "([content])")]
)
def test_an_error_about_as_long_as_the_prompt_is_masked(error: str, kept: str) -> None:
    """A message that is nothing but the prompt, or hardly more, is masked; a shorter one cannot quote it."""
    messages = [{"role": "user", "content": "my plan"}]
    item = read_failure({"model": "groq/m", "messages": messages, "litellm_call_id": "1"}, ValueError(error))
    assert item.error_message == kept


def test_a_request_whose_deployments_all_cool_down_is_a_429() -> None:
    """The Router's own error has no status; the client of the proxy gets 429, and so does the row."""
    error = type("RouterRateLimitError", (ValueError,), {})("No deployments available")
    assert read_failure({"model": "m", "litellm_call_id": "1"}, error).status == 429


def test_a_key_that_the_proxy_quotes_is_masked() -> None:
    """An error about a wrong key is kept without the key and without its hash."""
    message = (
        f"Invalid token. Received API Key = my-key, Key Hash (Token) ={'0123456789abcdef' * 4}. Received=my-key, x"
    )
    item = read_failure({"model": "m", "litellm_call_id": "1"}, ValueError(message))
    assert item.error_message == ("Invalid token. Received API Key = [key], Key Hash (Token) =[key]. Received=[key], x")


@pytest.mark.parametrize(
    ("metadata", "end_user", "caller"),
    [
        ({"user_api_key_alias": "team-key", "user_api_key_user_id": "u"}, "e", "team-key"),
        ({"user_api_key_alias": None, "user_api_key_user_id": "u"}, "e", "u"),
        ({"user_api_key_user_id": "default_user_id"}, "e", "e"),
        ({"user_api_key_user_id": "default_user_id"}, None, "default_user_id"),
        ({"user_api_key_team_alias": "team"}, None, "team"),
        ({"user_api_key_hash": "88dc28", "user_api_key": "sk-1"}, None, None),
    ],
)
def test_the_caller_is_an_alias_or_a_user(metadata: object, end_user: object, caller: str | None) -> None:
    """The caller is the key's alias, else the user, else whom the client named; never the key or its hash."""
    assert _event(metadata=metadata, end_user=end_user).caller == caller


def test_the_chain_is_what_the_client_asked_for() -> None:
    """The chain is the client's chain_name, which the proxy keeps elsewhere, else the model group before fallbacks."""
    payload = {"startTime": 1.0, "model_group": "second", "model": "groq/m"}

    def chain(metadata: dict[str, object]) -> str:
        event = {"standard_logging_object": payload, "litellm_params": {"metadata": metadata}}
        item = read_event(event, succeeded=True)
        assert item is not None
        return item.chain_name

    assert chain({"chain_name": "mine", "original_model_group": "first"}) == "mine"
    assert chain({"requester_metadata": {"chain_name": "mine"}, "original_model_group": "first"}) == "mine"
    assert chain({"original_model_group": "first", "model_group": "second"}) == "first"
    assert chain({}) == "second"


@pytest.mark.parametrize("name", ["APIConnectionError", "Timeout"])
def test_a_provider_that_did_not_answer_sent_no_status(name: str) -> None:
    """A refused connection or a timeout is a try without a status; the client still got LiteLLM's."""
    errors = {"error_code": "500", "error_class": name}
    event = {"standard_logging_object": {"startTime": 1.0, "error_information": errors, "error_str": "x"}}
    failed = read_event(event, succeeded=False)
    assert failed is not None
    entry = entry_of([failed, a_try("2", (1, 0))])
    assert entry.attempt_trail is not None
    assert (failed.status, entry.attempt_trail[0].http_status) == (500, None)


@pytest.mark.parametrize(
    ("name", "attempts"),
    [
        ("HTTPException", 0),
        ("ProxyException", 0),
        ("RouterRateLimitError", 0),
        ("RateLimitError", 1),
        (None, 1),
        ([], 1),
    ],
)
def test_what_the_proxy_refuses_itself_is_no_providers_failure(name: object, attempts: int) -> None:
    """An error of the proxy's own, as about a wrong key, is a row without an attempt; a provider's is one."""
    event = {"standard_logging_object": {"startTime": 1.0, "error_information": {"error_class": name}}}
    failed = read_event(event, succeeded=False)
    assert failed is not None
    assert entry_of([failed]).attempts == attempts


@pytest.mark.parametrize(("code", "status"), [("429", 429), ("", 500), (None, 500), ("-100", 500), (503, 503)])
def test_a_code_that_is_no_status_is_a_500(code: object, status: int) -> None:
    """LiteLLM's code is the status where it is one, and 500 where it is empty, missing or something else."""
    event = {"standard_logging_object": {"startTime": 1.0, "error_information": {"error_code": code}}}
    failed = read_event(event, succeeded=False)
    assert failed is not None
    assert failed.status == status


def test_large_metadata_is_left_out_not_the_row() -> None:
    """Tags that would make the metadata too large to store cost the tags, and not the row."""
    item = _event(request_tags=["t" * 200] * 100, call_type="acompletion")
    assert item.metadata == {"call_type": "acompletion"}


@example({"endTime": 1e300, "startTime": 5, "prompt_tokens": 10**400, "response_cost": float("nan")}, None, True)
@example({"endTime": 1e12, "startTime": 1, "model": "m\0" * 999, "litellm_call_id": "\udcff"}, {"a": 1}, False)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON), JSON, st.booleans())
def test_whatever_litellm_sends_can_be_stored(payload: dict[str, object], metadata: object, succeeded: bool) -> None:
    """No payload, however odd, raises or makes an entry that the log would refuse."""
    event = {"standard_logging_object": {**payload, "status": "x"}, "litellm_params": {"metadata": metadata}}
    item = read_event(event, succeeded=succeeded)
    assert item is not None
    encode_line(entry_of([item]))
    encode_line(entry_of([msgspec.structs.replace(item, status=500), item]))


def test_without_a_payload_there_is_no_try() -> None:
    """A callback without the standard payload gives nothing."""
    assert read_event({}, succeeded=True) is None
    assert read_event({"standard_logging_object": None}, succeeded=True) is None
