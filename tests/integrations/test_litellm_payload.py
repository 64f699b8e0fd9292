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
from chainlog_async.integrations._litellm.payload import read_begun, read_event, read_failure, read_refusal
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
    "id",
    "response",
    "cost_breakdown",
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


def test_classes_of_tokens_and_the_providers_words_are_read() -> None:
    """From the usage, which LiteLLM has converted, and of the answer only why it ended, its tier and its id."""
    usage = {
        "prompt_tokens_details": {
            "cached_tokens": 920,
            "cache_creation_tokens": 1_000,
            "cache_creation_token_details": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": 64},
    }
    item = _event(
        litellm_call_id="call",
        id="chatcmpl-1",
        prompt_tokens=2_006,
        completion_tokens=300,
        response={"choices": [{"finish_reason": "length", "message": {"content": "secret"}}], "service_tier": "flex"},
        metadata={"usage_object": usage},
    )
    entry = entry_of([item])
    assert (entry.prompt_tokens, entry.cached_tokens) == (2_006, 920)
    assert (entry.cache_write_tokens, entry.cache_write_1h_tokens) == (1_000, 400)
    assert (entry.reasoning_tokens, entry.prompt_audio_tokens, entry.completion_audio_tokens) == (64, 0, None)
    assert (entry.finish_reason, entry.service_tier, entry.response_id) == ("length", "flex", "chatcmpl-1")
    assert "secret" not in encode_line(entry).decode()


def test_who_asked_the_tags_and_the_session_become_tags_and_session() -> None:
    """The team, user, end user and organization first; a tag without a key gets one, and the rest is left out."""
    asked = {
        "user_api_key_team_id": "t1",
        "user_api_key_team_alias": "search",
        "user_api_key_user_id": "ann",
        "user_api_key_org_id": "acme",
    }
    tags = ["env:prod", "blue", "User-Agent: x", *(f"n:{number}" for number in range(9))]
    entry = entry_of([_event(metadata=asked, end_user="bob", request_tags=tags, trace_id="trace-1")])
    named = ["team:search", "user:ann", "end_user:bob", "org:acme", "env:prod", "tag:blue", "n:0", "n:1"]
    assert entry.tags == named
    assert entry.session_id == "trace-1"
    assert entry_of([_event(session_id="s", trace_id="t")]).session_id == "s"


def test_attempts_have_their_own_tokens_and_cost() -> None:
    """Each has what LiteLLM counted for it; a failure whose cost is not known has none, though LiteLLM says 0."""
    tries = [
        a_try("1", (0, 0), status=429, cost_usd=0.0),
        a_try("2", (1, 0), prompt_tokens=7, classes={"reasoning_tokens": 3}, cost_usd=0.5),
    ]
    entry = entry_of(tries)
    first, second = entry.attempt_trail or ()
    assert (first.cost_usd, first.prompt_tokens) == (None, None)
    assert (second.cost_usd, second.prompt_tokens, second.reasoning_tokens) == (0.5, 7, 3)
    assert entry.cost_usd == 0.5


def test_a_cost_beyond_all_bounds_does_not_cost_the_row() -> None:
    """It is cut to the largest that is stored, for the attempt as for the request."""
    entry = entry_of([a_try("1", (0, 0), status=429), a_try("2", (1, 0), cost_usd=1e9)])
    assert encode_line(entry)
    assert (entry.attempt_trail or ())[1].cost_usd == entry.cost_usd == 10_000


def test_a_stream_is_timed_to_its_end(shared_data: Path) -> None:
    """A stream's latency is from start to end, not LiteLLM's response_time, which is the time to first token."""
    entry = entry_of([_load(shared_data / "litellm_stream_success.json", succeeded=True)])
    assert entry.latency_ms == pytest.approx(367.9, abs=0.1)
    assert entry.ttft_ms == pytest.approx(116.1, abs=0.1)
    assert entry.streamed is True


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


@pytest.mark.parametrize(
    "payload",
    [
        {"response_cost": 0.0, "response_cost_failure_debug_info": {"error_str": "no price"}},
        {"response_cost": 0.0, "zero_cost_diagnostic": {"reason": "missing_pricing_key"}},
    ],
)
def test_a_price_that_litellm_does_not_know_is_not_zero(payload: dict[str, object]) -> None:
    """LiteLLM reports 0 where it has no price; a price of 0 stays one."""
    assert _event(**payload).cost_usd is None
    assert _event(response_cost=0.0).cost_usd == 0.0


def test_a_client_that_left_is_499() -> None:
    """A success that LiteLLM reports with its own 499 is one, and the provider's 200 stays."""
    errors = {"error_code": "499", "error_class": "ClientDisconnected"}
    left = _event(error_information=errors, error_str="Client disconnected the request", completion_tokens=4)
    entry = entry_of([left])
    assert (entry.http_status, entry.error_message) == (499, "Client disconnected the request")
    assert entry.attempt_trail is not None
    assert [(attempt.http_status, attempt.error_message) for attempt in entry.attempt_trail] == [(200, None)]


def test_an_answer_of_the_cache_is_no_attempt() -> None:
    """Its tokens are cached and cost nothing, whatever LiteLLM says of the price."""
    entry = entry_of([_event(cache_hit=True, prompt_tokens=7, completion_tokens=5, response_cost=None)])
    assert (entry.attempts, entry.cost_usd, entry.prompt_tokens, entry.cached_tokens) == (0, 0.0, 7, 7)
    assert (entry.http_status, entry.attempt_trail) == (200, None)


def test_who_has_a_key_is_in_the_metadata() -> None:
    """User, team, organization and end user have their place besides the alias; ids where there is no alias."""
    key = {
        "user_api_key_alias": "key",
        "user_api_key_user_id": "me",
        "user_api_key_team_id": "team-1",
        "user_api_key_org_alias": "organization",
        "user_api_key_org_id": "org-1",
        "user_api_key_end_user_id": "you",
    }
    item = _event(metadata=key)
    assert item.caller == "key"
    assert item.metadata == {"user": "me", "team": "team-1", "organization": "organization", "end_user": "you"}
    assert not _event(metadata={"user_api_key_user_id": "default_user_id"}).metadata


def test_a_health_check_is_litellms_own_word_and_not_a_clients() -> None:
    """The alias of the key says so, unless a client of the proxy has one of that name; a tag says nothing."""
    alias = {"user_api_key_alias": "litellm-internal-health-check"}
    assert (_event(metadata=alias).metadata or {})["health_check"] is True
    assert "health_check" not in (_event(metadata={**alias, "user_api_key_request_route": "/v1/x"}).metadata or {})
    assert not (_event(request_tags=["litellm-internal-health-check"]).metadata or {}).get("health_check")
    failed = read_failure({"model": "m", "litellm_call_id": "1", "litellm_metadata": alias}, ValueError("x"))
    assert (failed.metadata or {})["health_check"] is True


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
    request = {**payload, "metadata": metadata, "litellm_metadata": payload.get("metadata")}
    encode_line(entry_of([read_failure(request, ValueError("x")), read_refusal(request, ValueError("x"), metadata)]))
    read_begun(payload.get("model"), {**payload, "litellm_params": {"metadata": metadata}})


def test_without_a_payload_there_is_no_try() -> None:
    """A callback without the standard payload gives nothing."""
    assert read_event({}, succeeded=True) is None
    assert read_event({"standard_logging_object": None}, succeeded=True) is None
