"""What LiteLLM reports of failures and refusals, and whose they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainlog_async.integrations._litellm.entry import entry_of
from chainlog_async.integrations._litellm.payload import read_begun, read_event, read_failure, read_refusal
from tests.support.litellm_events import a_try


def test_a_failure_has_its_status_and_message(shared_data: Path) -> None:
    """A recorded failure's code, which is a string, becomes the status, and its message is kept."""
    payload = json.loads((shared_data / "litellm_failure.json").read_text())
    item = read_event({"standard_logging_object": payload}, succeeded=False)
    assert item is not None
    assert item.status == 429
    assert item.error_message == "litellm.RateLimitError: this is a mock rate limit error"


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
