"""LiteLLM's proxy with a provider on this machine: what is odd about a request is right in its row."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.harness.litellm_load import Proxy, running

from . import proxy_plugins
from .stub import ANSWER, Stub
from .support import MESSAGES, Row, rows_of, until, written

pytestmark = pytest.mark.timeout(300)

LLAMA = "groq/llama-3.1-8b-instant"
GEMINI = "gemini/gemini-2.0-flash"
CHAT = "/v1/chat/completions"
WHO = {"user": "the user", "team": "the team", "organization": "the organization"}


def _config(stub: Stub) -> str:
    return json.dumps(
        {
            "model_list": [
                stub.deployment("ok", "ok"),
                stub.deployment("cut", "cut", LLAMA),
                stub.deployment("doomed", "limited", LLAMA),
                stub.deployment("failing", "failing", "cerebras/llama3.1-8b"),
                stub.deployment("endless", "endless"),
                stub.deployment("unreadable", "unreadable"),
                stub.deployment("gemini", "failing", GEMINI),
                stub.deployment("translated", "limited", LLAMA),
                stub.deployment("hopeless", "limited", LLAMA),
                stub.deployment("images", "ok", "openai/dall-e-unpriced"),
            ],
            "router_settings": {
                "num_retries": 0,
                "disable_cooldowns": True,
                "fallbacks": [
                    {"cut": ["ok"]},
                    {"doomed": ["failing"]},
                    {"gemini": ["ok"]},
                    {"translated": ["failing", "ok"]},
                    {"hopeless": ["failing"]},
                ],
            },
            "general_settings": {
                "custom_auth": "proxy_plugins.key_of",
                "cancel_on_disconnect": True,
                "pass_through_endpoints": [
                    {"path": "/own", "target": stub.url("ok"), "headers": {}},
                    {"path": "/own-failing", "target": stub.url("failing"), "headers": {}},
                ],
            },
            "litellm_settings": {
                "callbacks": "chainlog_async.integrations.litellm.handler",
                "cache": True,
                "cache_params": {"type": "local", "mode": "default_off"},
            },
            "guardrails": [
                {"guardrail_name": name.lower(), "litellm_params": {"guardrail": f"proxy_plugins.{name}", "mode": mode}}
                for name, mode in {"Before": "pre_call", "During": "during_call", "After": "post_call"}.items()
            ],
        }
    )


@dataclass
class Asked:
    """What a client saw of its request, and the one row of it."""

    status: int
    call_id: str | None
    row: Row

    @property
    def metadata(self) -> Mapping[str, object]:
        """The metadata of the row."""
        return json.loads(str(self.row["metadata"])) or {}


class Client:
    """Asks the proxy, one request after another; each is one new row."""

    def __init__(self, proxy: Proxy, database: Path) -> None:
        self._port = proxy.port
        self._database = database

    def ask(self, path: str, body: Mapping[str, object], key: str | None = "sk-ours") -> Asked:
        """Sends a request, reads the answer, and waits for its row."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(  # http
            f"http://127.0.0.1:{self._port}{path}", json.dumps(body).encode(), headers
        )
        known = self._count()
        try:
            with urllib.request.urlopen(request) as answer:  # http
                answer.read()
                status, call_id = answer.status, answer.headers["x-litellm-call-id"]
        except urllib.error.HTTPError as refused:
            status, call_id = refused.code, refused.headers["x-litellm-call-id"]
            refused.close()
        return Asked(status, call_id, self._new_row(known))

    def leave(self, body: Mapping[str, object], *, after_bytes: int) -> Asked:
        """Sends a chat request, reads so many bytes, hangs up, and waits for its row."""
        data = json.dumps({**body, "messages": MESSAGES})
        known = self._count()
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(
                f"POST {CHAT} HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer sk-ours\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n{data}".encode()
            )
            if after_bytes:
                assert connection.recv(after_bytes, socket.MSG_WAITALL)
            else:
                connection.settimeout(1.0)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
        return Asked(0, None, self._new_row(known))

    def check_health(self) -> None:
        """Lets LiteLLM check its deployments; returns when it has."""
        request = urllib.request.Request(  # http
            f"http://127.0.0.1:{self._port}/health", headers={"Authorization": "Bearer sk-ours"}
        )
        with urllib.request.urlopen(request) as answer:  # http
            assert json.loads(answer.read())["healthy_count"] > 0

    def chat(self, model: str, **body: object) -> Asked:
        """A chat request."""
        key = str(body.pop("key", "sk-ours"))
        return self.ask(CHAT, {"model": model, "messages": MESSAGES, **body}, key)

    def _count(self) -> int:
        return written(self._database)

    def _new_row(self, known: int) -> Row:
        until(lambda: self._count() > known)
        with closing(sqlite3.connect(self._database)) as connection:
            assert ANSWER not in "\n".join(connection.iterdump())
        rows = rows_of(self._database)
        assert len(rows) == known + 1
        return max(rows, key=lambda row: int(str(row["id"])))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of one proxy for all tests of this module; in the end no request has more than one row."""
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(proxy_plugins.__file__, folder)
    with Stub() as stub, running(folder, workers=1, logs=False, config=_config(stub)) as proxy:
        # The file of the database is there from the first entry on.
        database = folder / "observability.db"
        yield Client(proxy, database)
    rows = rows_of(database)
    ids = [row["request_id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert not [row for row in rows if "part" in json.loads(str(row["metadata"]))]


def _trail(row: Row) -> list[tuple[str, int | None]]:
    trail = json.loads(str(row["attempt_trail"])) if row["attempt_trail"] else []
    return [(attempt["provider_id"], attempt.get("http_status")) for attempt in trail]


def test_a_stream_that_ends_after_its_headers_is_a_try_of_its_own_provider(client: Client) -> None:
    """The answer of the fallback is one row, whose first try is the provider that hung up."""
    asked = client.chat("cut", stream=True)
    assert (asked.row["request_id"], asked.row["http_status"]) == (asked.call_id, 200)
    assert (asked.row["chain_name"], asked.row["provider_id"], asked.row["attempts"]) == ("cut", "openai", 2)
    assert _trail(asked.row) == [("groq", None), ("openai", 200)]


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
@pytest.mark.parametrize(
    ("model", "status", "trail"),
    [
        ("gemini", 200, [("gemini", 500), ("openai", 200)]),
        ("translated", 200, [("groq", 429), ("cerebras", None), ("openai", 200)]),
        ("hopeless", 429, [("groq", 429), ("cerebras", None)]),
        ("ok", 200, []),
    ],
)
def test_geminis_route_is_one_row_whoever_answers(
    client: Client, method: str, model: str, status: int, trail: list[tuple[str, int | None]]
) -> None:
    """A request in Gemini's format that other providers answer is one row, under the name and the id of the request."""
    body = {"contents": [{"role": "user", "parts": [{"text": MESSAGES[0]["content"]}]}]}
    asked = client.ask(f"/v1beta/models/{model}:{method}", body)
    assert (asked.status, asked.row["http_status"], asked.row["chain_name"]) == (status, status, model)
    assert (asked.row["attempts"], _trail(asked.row)) == (max(len(trail), 1), trail)
    assert not trail or asked.row["request_id"] == asked.call_id


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        ("sk-unknown", {"model": "ok", "messages": MESSAGES}, 401),
        (None, {"model": "ok", "messages": MESSAGES}, 401),
        ("sk-broke", {"model": "ok", "messages": MESSAGES}, 422),
        ("sk-ours", {"model": "ok"}, 400),
        ("sk-ours", {"messages": MESSAGES}, 400),
        ("sk-ours", {"model": "ok", "messages": MESSAGES, "guardrails": ["before"]}, 400),
    ],
)
def test_what_the_proxy_refuses_is_no_providers_try_and_no_providers_error(
    client: Client, key: str | None, body: dict[str, object], status: int
) -> None:
    """A refusal has no attempt, and LiteLLM itself as its provider, so that it counts for no other."""
    asked = client.ask(CHAT, body, key)
    assert (asked.status, asked.row["http_status"]) == (status, status)
    assert (asked.row["attempts"], asked.row["provider_id"], asked.row["attempt_trail"]) == (0, "litellm", None)
    assert asked.row["model"] == body.get("model", "unknown")
    assert "deployment_id" not in asked.metadata


def test_a_keys_rate_limit_is_no_providers_try(client: Client) -> None:
    """What the limit of the key refuses has no attempt; what it lets through has one."""
    answered, refused = client.chat("ok", key="sk-slow"), client.chat("ok", key="sk-slow")
    assert (answered.status, answered.row["attempts"], answered.row["provider_id"]) == (200, 1, "openai")
    assert (refused.status, refused.row["http_status"]) == (429, 429)
    assert (refused.row["attempts"], refused.row["provider_id"]) == (0, "litellm")
    assert (refused.row["caller"], refused.metadata["team"]) == ("alias of sk-slow", "the team")


def test_a_request_whose_tries_all_fail_says_who_sent_it(client: Client) -> None:
    """A failed request has the metadata of an answered one, and says whether it was streamed."""
    sent = {"user": "an end user", "metadata": {"tags": ["blue"], "session_id": "session-1"}}
    failed = client.chat("doomed", stream=True, **sent)
    answered = client.chat("ok", stream=True, **sent)
    assert (failed.row["http_status"], failed.row["attempts"], failed.row["streamed"]) == (429, 2, 1)
    of_one_attempt = {"model_group", "deployment_id"}
    assert failed.metadata.keys() == answered.metadata.keys()
    assert failed.metadata["model_group"] == "failing"
    common = {name: value for name, value in answered.metadata.items() if name not in of_one_attempt}
    assert common.items() <= failed.metadata.items()
    assert common == {
        **WHO,
        "call_type": "acompletion",
        "trace_id": "session-1",
        "end_user": "an end user",
        "tags": ["blue"],
    }


def test_a_client_that_leaves_in_the_middle_is_499(client: Client) -> None:
    """A stream that its client left is a 499 with what was used, and no failure of the provider."""
    left = client.leave({"model": "endless", "stream": True}, after_bytes=2000)
    assert (left.row["http_status"], left.row["attempts"], left.row["streamed"]) == (499, 1, 1)
    assert _trail(left.row) == [("openai", 200)]
    assert int(str(left.row["completion_tokens"])) > 0


def test_a_client_that_leaves_before_the_answer_is_499(client: Client) -> None:
    """With LiteLLM's `cancel_on_disconnect`, so is one that leaves before anything was answered."""
    left = client.leave({"model": "endless"}, after_bytes=0)
    assert (left.row["http_status"], left.row["attempts"], left.row["provider_id"]) == (499, 1, "openai")


@pytest.mark.parametrize("named", [{"model": "mine"}, {}])
@pytest.mark.parametrize(("path", "status"), [("/own", 200), ("/own-failing", 500)])
def test_a_pass_through_request_is_a_row_whatever_comes_back(
    client: Client, path: str, status: int, named: dict[str, object]
) -> None:
    """The failures of an endpoint of one's own are rows like its answers."""
    asked = client.ask(path, {**named, "messages": MESSAGES, "metadata": {"user_api_key_alias": "somebody else"}})
    assert (asked.status, asked.row["http_status"], asked.row["attempts"]) == (status, status, 1)
    assert (asked.row["chain_name"], asked.row["caller"]) == (named.get("model", path), "alias of sk-ours")
    assert int(str(asked.row["latency_ms"])) > 0
    assert asked.row["cost_usd"] is None
    assert WHO.items() <= asked.metadata.items()


@pytest.mark.parametrize(
    ("model", "guardrail", "provider_status"), [("ok", "during", 200), ("ok", "after", 200), ("endless", "during", 499)]
)
def test_a_guardrail_that_refuses_late_does_not_undo_the_try(
    client: Client, model: str, guardrail: str, provider_status: int
) -> None:
    """The provider was asked, so there is an attempt; that the request was refused is not its failure."""
    asked = client.chat(model, guardrails=[guardrail])
    assert (asked.status, asked.row["http_status"], asked.row["attempts"]) == (400, 400, 1)
    assert _trail(asked.row) == [("openai", provider_status)]
    assert f"refused {guardrail}" in str(asked.row["error_message"])
    assert asked.row["cost_usd"] is None


def test_a_cost_that_litellm_does_not_know_is_not_zero(client: Client) -> None:
    """A model without a price has no cost."""
    asked = client.ask("/v1/images/generations", {"model": "images", "prompt": MESSAGES[0]["content"]})
    assert (asked.status, asked.row["attempts"], asked.row["cost_usd"]) == (200, 1, None)


def test_user_team_and_organization_are_there_besides_the_alias(client: Client) -> None:
    """The caller is the alias of the key; whose it is, is in the metadata."""
    asked = client.chat("ok", user="an end user")
    assert asked.row["caller"] == "alias of sk-ours"
    assert {**WHO, "end_user": "an end user"}.items() <= asked.metadata.items()


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_from_the_cache_is_no_attempt_and_costs_nothing(client: Client, streamed: bool) -> None:
    """The second time LiteLLM answers itself: cached tokens, no cost, no attempt, and still the chain's request."""
    sent = {"cache": {"use-cache": True}, "stream": streamed, "user": f"cached {streamed}"}
    asked, cached = client.chat("ok", **sent), client.chat("ok", **sent)
    assert (asked.row["attempts"], asked.row["cached_tokens"]) == (1, 3)
    assert float(str(asked.row["cost_usd"])) > 0
    assert (cached.row["chain_name"], cached.row["provider_id"]) == ("ok", "openai")
    assert (cached.row["http_status"], cached.row["attempts"], cached.row["cost_usd"]) == (200, 0, 0.0)
    assert (cached.row["prompt_tokens"], cached.row["cached_tokens"]) == (7, 7)
    assert cached.metadata["cache_hit"] is True


def test_an_answer_that_litellm_cannot_read_is_a_failure_and_is_not_kept(client: Client) -> None:
    """What a provider sent with a 200 is no success when LiteLLM cannot read it, and none of it is in the row."""
    asked = client.ask("/v1/responses", {"model": "unreadable", "input": MESSAGES[0]["content"]})
    assert asked.status >= 400
    assert (asked.row["http_status"], asked.row["attempts"]) == (asked.status, 1)
    assert asked.row["error_message"] == "the provider answered what LiteLLM cannot read"


def test_litellms_own_checks_are_not_logged(client: Client) -> None:
    """The checks of all deployments, healthy or not, leave no row; the next request of a client is the next row."""
    client.check_health()
    assert client.chat("ok").row["caller"] == "alias of sk-ours"
