"""``GET /openapi.json``: the description of the service, generated from its routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import chainlog_async
from chainlog_async.server.http.operation import Body, Operation
from chainlog_async.server.http.parameters import Parameter, ParsedParameters
from chainlog_async.server.http.responses import ErrorReply, json_reply
from chainlog_async.server.http.rights import Needs
from chainlog_async.server.paths import HEALTH_PATH

Json = dict[str, object]

REF = "#/components/schemas/{name}"
RIGHTS_IN_WORDS: Mapping[Needs, str] = {
    "nothing": "",
    "write": "Needs a key that may write.",
    "read": "Needs a key that may read; one with a caller gets what is of that caller.",
    "read_all": "Needs a key that may read, and has no caller.",
}

ALWAYS = (400, 403, 421, 500, 503)
"""Statuses that any route may answer with, each with an `ErrorReply`."""


def openapi_operation(operations: Sequence[Operation], *, with_keys: bool) -> Operation:
    """Returns the route that answers with the description of `operations` and of itself."""

    async def get_openapi(_request: Request, _parameters: ParsedParameters) -> Response:
        """This document."""
        return json_reply(document)

    own = Operation("/openapi.json", get_openapi, dict[str, object], needs="nothing")
    document = openapi_document([*operations, own], with_keys=with_keys)
    return own


def openapi_document(operations: Sequence[Operation], *, with_keys: bool) -> Json:
    """Returns the OpenAPI 3.1 document of the routes; `with_keys` says whether clients need an API key."""
    types = list(dict.fromkeys(_types_of(operations)))
    schemas, components = msgspec.json.schema_components(types, schema_hook=_any, ref_template=REF)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, Json] = {}
    for operation in operations:
        path = re.sub(r":\w+}", "}", operation.path)
        described = _operation(operation, schema_of, with_keys=with_keys)
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
        content = {"application/json": {"schema": _schema(answer, schema_of)}}
        responses[str(status)] = {"description": f"{HTTPStatus(status).phrase}.", "content": content}
    described: Json = {"operationId": operation.endpoint.__name__, "summary": summary, "responses": responses}
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
        "schema": parameter.schema,
    }


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


def _any(kind: type) -> Json:
    """Returns the schema of `object`: any JSON."""
    if kind is object:
        return {"description": "Any JSON."}
    # msgspec expects this from a hook that does not know the type.
    raise NotImplementedError
