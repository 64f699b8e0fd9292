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


REFUSED = "litellm_no_upstream_llm_call"


@pytest.mark.parametrize(
    ("word", "provider", "attempts", "sent"),
    [
        ({REFUSED: True}, "litellm", 0, None),
        ({REFUSED: True, "api_call_start_time": 1.5, "response_headers": {"a": "b"}}, "openai", 1, [200]),
        ({REFUSED: True, "api_call_start_time": 1.5}, "openai", 1, [499]),
        ({"api_call_start_time": 1.5}, "openai", 1, None),
    ],
)
def test_whether_a_provider_was_asked_is_litellms_own_word(
    word: dict[str, object], provider: str, attempts: int, sent: list[int] | None
) -> None:
    """Whatever the error is called: a refusal before the provider is no try; after it, it is none of its failures."""
    payload = {
        "startTime": 1.0,
        "custom_llm_provider": "openai",
        "model": "openai/gpt",
        "model_group": "ours",
        "response_cost": 0.0,
        "error_information": {"error_class": "AnyError", "error_code": "418"},
    }
    failed = read_event({"standard_logging_object": payload, **word}, succeeded=False)
    assert failed is not None
    entry = entry_of([failed])
    assert (entry.provider_id, entry.attempts, entry.http_status) == (provider, attempts, 418)
    assert entry.model == ("gpt" if attempts else "ours")
    trail = entry.attempt_trail
    assert sent == (None if trail is None else [attempt.http_status for attempt in trail])


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


class _Key:
    key_alias = "ours"
    team_alias = "the team"
    request_route = "/own"


def test_a_pass_through_request_is_its_keys_and_not_what_it_claims() -> None:
    """Its data is what the client wrote: who asked is what the proxy knows of the key."""
    request = {
        "call_type": "pass_through_endpoint",
        "litellm_call_id": "1",
        "start_time": 5.0,
        "first_api_call_start_time": 6.0,
        "metadata": {"user_api_key_alias": "somebody else"},
    }
    error = type("HTTPException", (Exception,), {"status_code": 503})("x")
    entry = entry_of([read_refusal(request, error, _Key())])
    assert (entry.caller, entry.chain_name, entry.attempts) == ("ours", "/own", 1)
    assert (entry.http_status, (entry.metadata or {})["team"]) == (503, "the team")
    assert entry_of([read_refusal({"litellm_call_id": "1"}, error, None)]).attempts == 0


def test_an_answer_that_litellm_cannot_read_is_not_quoted() -> None:
    """Such an error has the provider's 200 and the whole answer in its message."""
    error = type("APIError", (Exception,), {"status_code": 200, "llm_provider": "openai"})("{'content': 'secret'}")
    item = read_failure({"model": "openai/m", "litellm_call_id": "1"}, error)
    assert (item.status, item.error_message) == (500, "the provider answered what LiteLLM cannot read")
    payload = {"startTime": 1.0, "error_str": "secret", "error_information": {"error_code": "200"}}
    event = read_event({"standard_logging_object": payload}, succeeded=False)
    assert event is not None
    assert (event.status, event.error_message) == (500, item.error_message)


def test_a_refusal_of_the_proxy_begins_no_attempt() -> None:
    """LiteLLM reports one like the beginning of a call, with a mark."""
    kwargs = {"litellm_call_id": "1", "litellm_trace_id": "t", "custom_llm_provider": "groq", "stream": True}
    begun = read_begun("groq/m", kwargs)
    assert begun is not None
    assert (begun.call_id, begun.trace_id, begun.provider_id, begun.model) == ("1", "t", "groq", "m")
    assert read_begun("m", {**kwargs, REFUSED: True}) is None


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
