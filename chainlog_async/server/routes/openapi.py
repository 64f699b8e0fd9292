"""``GET /openapi.json``: the description of the service, generated from its routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import cast

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

import chainlog_async
from chainlog_async.server.http.operation import Body, Operation
from chainlog_async.server.http.parameters import Parameter, ParsedParameters
from chainlog_async.server.http.responses import ApiError, ErrorReply, json_reply
from chainlog_async.server.http.rights import Needs
from chainlog_async.server.http.schemas import example_of, schemas_of, with_example
from chainlog_async.server.paths import HEALTH_PATH

Json = dict[str, object]

TAGS: Mapping[str, str] = {
    "log": "Entries and spans to be logged.",
    "usage": "Usage, latency and providers over time.",
    "requests": "Single requests: to be searched, watched and exported.",
    "budgets and alerts": "What may be spent, and what is told to whom.",
    "429chain": "All-time statistics in the JSON of 429chain.",
    "service": "The service itself: its health, its metrics and this document.",
    "internal": "Between a gateway and the server that keeps its log. They may change with a release.",
}
_TAG_BY_PATH = (
    ("/v1/logs", "log"),
    ("/v1/traces", "log"),
    ("/v1/metrics", "log"),
    ("/v1/requests", "requests"),
    ("/v1/sessions", "requests"),
    ("/v1/budgets", "budgets and alerts"),
    ("/v1/alerts", "budgets and alerts"),
    ("/v1/stats/", "429chain"),
    ("/v1/statistics", "service"),
    ("/v1/batches", "internal"),
    ("/v1/read", "internal"),
    ("/v1/", "usage"),
    ("/", "service"),
)
"""The tag of a route is that of the first of these that its path begins with."""

RIGHTS_IN_WORDS: Mapping[Needs, str] = {
    "nothing": "",
    "write": "Needs a key that may write.",
    "read": "Needs a key that may read; one with a caller gets what is of that caller.",
    "read_all": "Needs a key that may read, and has no caller.",
}

_EXAMPLE_ERRORS: Mapping[int, tuple[str, str, str | None]] = {
    400: ("invalid_parameter", "limit is '0'; give one whole number from 1 to 1000", "limit"),
    401: ("invalid_api_key", "Invalid API key provided.", None),
    403: ("key_not_allowed", "this key may only write; use one that may read", None),
    404: ("not_found", "there is no request 4711", None),
    421: ("host_not_allowed", "the host 'example.org' is not this machine; use 127.0.0.1 or localhost", None),
    500: ("internal_error", "the server failed to answer; see its log", None),
    503: ("database_unavailable", "the database is locked by another process", None),
    504: ("query_timeout", "the query took longer than 30 s; ask for less, or raise read_timeout_ms", None),
}
"""Code, message and parameter of an error with this status; other errors get the phrase of their status."""

ALWAYS = (400, 403, 421, 500, 503)
"""Statuses that any route may answer with, each with an `ErrorReply`."""


class ApiDescription:
    """The description of all routes and of itself. It is made when it is first asked for."""

    def __init__(self, operations: Sequence[Operation], *, with_keys: bool) -> None:
        self.operation = Operation("/openapi.json", self.get_openapi, dict[str, object], needs="nothing")
        self._operations = (*operations, self.operation)
        self._with_keys = with_keys
        self._document: Json | None = None

    async def get_openapi(self, _request: Request, _parameters: ParsedParameters) -> Response:
        """This document; `/docs` shows it as a page."""
        return json_reply(await self.document())

    async def document(self) -> Json:
        """Returns the OpenAPI document."""
        if self._document is None:
            build = partial(openapi_document, self._operations, with_keys=self._with_keys)
            self._document = await to_thread.run_sync(build)
        return self._document


def openapi_document(operations: Sequence[Operation], *, with_keys: bool) -> Json:
    """Returns the OpenAPI 3.1 document of the routes; `with_keys` says whether clients need an API key."""
    types = list(dict.fromkeys(_types_of(operations)))
    schema_of, components = schemas_of(types)
    paths: dict[str, Json] = {}
    for operation in operations:
        path = re.sub(r":\w+}", "}", operation.path)
        described = _operation(operation, schema_of, with_keys=with_keys)
        _add_examples(described, components)
        paths.setdefault(path, {})[operation.method.lower()] = described
    security = {"key": {"type": "http", "scheme": "bearer", "description": "One of server.api_keys."}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chainlog-async",
            "version": chainlog_async.__version__,
            "description": "The request log of an LLM gateway. Times are ms since the epoch, UTC.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        **({"security": [{"key": []}]} if with_keys else {}),
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "components": {"schemas": components, **({"securitySchemes": security} if with_keys else {})},
    }


def _operation(operation: Operation, schema_of: Mapping[object, Json], *, with_keys: bool) -> Json:
    summary, _, description = inspect.cleandoc(operation.endpoint.__doc__ or "").partition("\n")
    answers: dict[int, object] = dict.fromkeys(ALWAYS, ErrorReply)
    if with_keys and operation.path != HEALTH_PATH:
        answers[401] = ErrorReply
    if operation.path != HEALTH_PATH:
        answers[504] = ErrorReply
    answers |= operation.other_answers
    success: Json = {"description": "Success."}
    if operation.answer is not None:
        success["content"] = {"application/json": {"schema": _schema(operation.answer, schema_of)}}
    else:
        success["content"] = {media_type: {"schema": {"type": "string"}} for media_type in operation.media_types}
    responses: Json = {str(operation.success): success}
    for status, answer in sorted(answers.items()):
        content: Json = {"schema": _schema(answer, schema_of)}
        if answer is ErrorReply:
            content["example"] = _error_example(status)
        content = {"application/json": content}
        responses[str(status)] = {"description": f"{HTTPStatus(status).phrase}.", "content": content}
    described: Json = {
        "operationId": operation.endpoint.__name__,
        "summary": summary,
        "tags": [next(tag for prefix, tag in _TAG_BY_PATH if operation.path.startswith(prefix))],
        "responses": responses,
    }
    right = RIGHTS_IN_WORDS[operation.needs] if with_keys else ""
    if text := "\n\n".join(part for part in (description.strip(), right) if part):
        described["description"] = text
    if operation.parameters:
        described["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body is not None:
        described["requestBody"] = {
            "description": operation.body.description,
            "required": True,
            "content": _body_content(operation.body, schema_of[operation.body.entry]),
        }
    if with_keys and operation.path == HEALTH_PATH:
        described["security"] = []
    return described


def _body_content(body: Body, entry: Json) -> Json:
    match body.kind:
        case "lines":
            return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        case "one":
            return {"application/json": {"schema": entry}}
        case "one_or_protobuf":
            return {
                "application/json": {"schema": entry},
                "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            }
        case "entries":
            return {
                "application/json": {"schema": {"anyOf": [entry, {"type": "array", "items": entry}]}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            }


def _parameter(parameter: Parameter[object]) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.location,
        "description": parameter.description,
        "required": parameter.location == "path",
        "schema": with_example(parameter.name, parameter.schema),
    }


def _error_example(status: int) -> Json:
    status_name = HTTPStatus(status)
    code, message, param = _EXAMPLE_ERRORS.get(status, (status_name.name.lower(), status_name.phrase.lower(), None))
    return {"error": msgspec.to_builtins(ApiError(status, message, code, param=param).problem)}


def _add_examples(described: Json, components: Mapping[str, Json]) -> None:
    """Adds to each body in JSON an example, put together from those of its properties."""
    bodies = [described.get("requestBody"), *cast("Json", described["responses"]).values()]
    for body in bodies:
        for media_type, content in cast("dict[str, Json]", cast("Json", body or {}).get("content", {})).items():
            if media_type == "application/json" and "example" not in content:
                content["example"] = example_of(cast("Json", content["schema"]), components)


def _types_of(operations: Iterable[Operation]) -> Iterable[object]:
    yield ErrorReply
    for operation in operations:
        if operation.answer is not None:
            yield operation.answer
        if operation.body is not None:
            yield operation.body.entry
        for answer in operation.other_answers.values():
            yield from answer if isinstance(answer, tuple) else (answer,)


def _schema(answer: object, schema_of: Mapping[object, Json]) -> Json:
    if isinstance(answer, tuple):
        return {"anyOf": [schema_of[one] for one in answer]}
    return schema_of[answer]
