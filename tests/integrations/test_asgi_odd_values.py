"""Nothing that a client, a handler or a price list gives costs the row, or the request."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from decimal import Decimal

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.integrations.asgi import Description, attempt, describe_request, record_attempt
from tests.support.gateways import rows_of, serving
from tests.support.recorded_app import ANSWER, QUESTION, answer, gateway


@pytest.mark.parametrize(
    "model", ["m" * 5000, "null\0byte", "\ud800", 'quo"ted', None, 7, ["m"]], ids=lambda model: repr(model)[:12]
)
async def test_no_model_that_a_client_asks_for_costs_the_row(chainlog: ChainLog, model: object) -> None:
    """However odd the model's name is, the request is recorded."""

    async def handler(request: Request) -> Response:
        await request.body()
        return JSONResponse({"error": {}}, 404)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", content=json.dumps({"model": model}))
        await client.post("/v1/chat/completions", content=b'{"model": "cut off')
        await client.post("/v1/chat/completions", content=b"[" * 100_000)
        assert len(await rows_of(chainlog)) == 3


async def test_a_log_that_is_not_open_never_costs_a_request(
    chainlog: ChainLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the lifespan was forgotten the request is served, and one line says what is missing."""
    closed = ChainLog(chainlog.settings)
    async with serving(gateway(answer, closed), chainlog) as client:
        with caplog.at_level(logging.WARNING, "chainlog_async"):
            for _ in range(3):
                assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 200
    (line,) = [record.getMessage() for record in caplog.records if "was not recorded" in record.getMessage()]
    assert "the log is not open" in line


class Panic(BaseException):
    """An error that is no `Exception`, as those of extensions in Rust."""


@pytest.mark.parametrize("kind", [KeyError, asyncio.CancelledError, Panic])
async def test_a_price_list_that_fails_never_costs_a_request(
    chainlog: ChainLog, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    """An error of `cost` is a line in the log, the client has its answer, and the row says that the cost is missing."""

    def cost(entry: RequestLogEntry) -> float:
        raise kind(entry.model)

    async with serving(gateway(answer, chainlog, cost=cost), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).json() == ANSWER
        (row,) = await rows_of(chainlog)
        assert chainlog.statistics().repaired == {"cost_usd": 1}
    assert f"{kind.__name__} at test_asgi_odd_values.py" in caplog.text
    assert row["cost_usd"] is None
    assert row["metadata"] == {"chainlog_repaired": ["cost_usd"]}


@pytest.mark.parametrize(
    ("given", "stored"),
    [(Decimal("0.25"), 0.25), (math.nan, None), (math.inf, None), (-1, None), ("0.25", None)],
    ids=repr,
)
async def test_an_odd_cost_never_costs_the_row(chainlog: ChainLog, given: object, stored: float | None) -> None:
    """A Decimal is stored as a number; what is no cost is left out, and the row says so."""
    async with serving(gateway(answer, chainlog, cost=lambda _: given), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert row["cost_usd"] == stored
    assert row["metadata"] == {"chainlog_repaired": ["cost_usd"]}


@pytest.mark.parametrize("text", ["m" * 300, "null\0byte", "half \ud83d"], ids=ascii)
async def test_no_text_that_a_handler_passes_on_costs_the_row(chainlog: ChainLog, text: str) -> None:
    """A client's model name, or a provider's error text, may go to `attempt` and `describe_request` as it is."""

    async def handler(_request: Request) -> Response:
        describe_request(caller=text, request_id=text, metadata={"note": text})
        with attempt("groq", text) as tried:
            tried.http_status, tried.error_message = 429, text
        record_attempt(provider_id=text, model=text, http_status=99, latency_ms=-1, error_message=text)
        return JSONResponse({"error": {}}, 429)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
        assert chainlog.statistics().dropped == {}
    assert row["http_status"] == 429
    assert isinstance(row["attempt_trail"], list)
    assert len(row["attempt_trail"]) == 2
    assert isinstance(row["metadata"], dict)
    assert {"attempt_trail", "request_id", "caller", "model"} <= {*row["metadata"]["chainlog_repaired"]}


@pytest.mark.parametrize(
    ("given", "stored"), [(None, 200), ("429", 429), ("soon", 200), (700, 200), (True, 200), (Decimal(429), 429)]
)
async def test_no_status_that_a_handler_gives_costs_the_row(chainlog: ChainLog, given: object, stored: int) -> None:
    """A status that there is replaces that of the response; anything else leaves it."""

    async def handler(_request: Request) -> Response:
        describe_request(http_status=given)  # type: ignore[arg-type]  # that is the point
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert row["http_status"] == stored


class Array:
    """A value that is neither true nor false, as an array of numpy's."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __eq__(self, other: object) -> Array:  # type: ignore[override]  # as numpy does
        return self

    __hash__ = None  # type: ignore[assignment]  # likewise


async def test_no_value_that_a_handler_gives_costs_the_row(chainlog: ChainLog) -> None:
    """Values that can be neither compared nor asked whether they are true are left out, and named in the row."""

    async def handler(_request: Request) -> Response:
        described = dict.fromkeys(set(Description.__annotations__) - {"http_status"}, Array())
        describe_request(**described)  # type: ignore[arg-type]  # that is the point
        record_attempt(provider_id="groq", model="m", error_message=Array())  # type: ignore[arg-type]  # likewise
        return JSONResponse({"error": {}}, 429)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert row["http_status"] == 429
    assert isinstance(row["metadata"], dict)
    assert {"cost_usd", "error_message", "prompt_tokens", "attempt_trail"} <= {*row["metadata"]["chainlog_repaired"]}


async def test_tokens_that_the_handler_does_not_know_are_those_of_the_response(chainlog: ChainLog) -> None:
    """None is no count."""

    async def handler(_request: Request) -> Response:
        describe_request(prompt_tokens=None, completion_tokens=None)  # type: ignore[arg-type]  # that is the point
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    usage = ANSWER["usage"]
    assert isinstance(usage, dict)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert row["metadata"] is None


async def test_names_that_are_bytes_are_decoded_and_marked(chainlog: ChainLog) -> None:
    """Wherever a handler names a provider or a model."""

    async def handler(_request: Request) -> Response:
        describe_request(chain_name=b"fast")  # type: ignore[arg-type]  # that is the point
        record_attempt(provider_id=b"groq", model=b"caf\xc3\xa9")  # type: ignore[arg-type]  # likewise
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        await client.post("/v1/chat/completions", json=QUESTION)
        (row,) = await rows_of(chainlog)
    assert (row["chain_name"], row["provider_id"], row["model"]) == ("fast", "groq", "caf\xe9")
    assert row["attempt_trail"] == [{"provider_id": "groq", "model": "caf\xe9"}]
    assert row["metadata"] == {"chainlog_repaired": ["chain_name", "provider_id", "model", "attempt_trail"]}


async def test_metadata_that_are_no_mapping_never_break_the_request(chainlog: ChainLog) -> None:
    """What a handler describes with is not checked in the handler, where an error would reach the client."""

    async def handler(_request: Request) -> Response:
        describe_request(metadata={"tier": 2})
        describe_request(metadata="tier 3")  # type: ignore[arg-type]  # that is the point
        return JSONResponse(ANSWER)

    async with serving(gateway(handler, chainlog), chainlog) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 200
        (row,) = await rows_of(chainlog)
    assert row["metadata"] == {"chainlog_repaired": ["metadata"]}
