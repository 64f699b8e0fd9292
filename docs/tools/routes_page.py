"""docs/reference/routes.md: every route of the HTTP service with its parameters and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import anyio
import httpx
from starlette.applications import Starlette

from chainlog_async import ChainLog, Settings
from chainlog_async.server import create_app

from .markdown import code, page, table

Json = Mapping[str, object]

INTRODUCTION = """\
From the OpenAPI document, which the service has at `/openapi.json`. Its page `/docs` also has examples, and the schemas
of all answers. [http.md](http.md) explains keys, limits and errors, and has an example of each route."""


def routes_page() -> str:
    """Returns the page."""
    settings = Settings(db_path="never-opened.db", server={"api_keys": ["key"]})
    document = anyio.run(_document, create_app(ChainLog(settings), already_running=True))
    parts: list[str] = []
    for tag in cast("list[dict[str, str]]", document["tags"]):
        parts += [f"## {tag['name'][0].upper()}{tag['name'][1:]}", tag["description"]]
        for path, methods in cast("dict[str, dict[str, Json]]", document["paths"]).items():
            for method, operation in methods.items():
                if operation["tags"] == [tag["name"]]:
                    parts += _operation(method.upper(), path, operation)
    return page("Routes of the HTTP service", INTRODUCTION, *parts)


async def _document(app: Starlette) -> Json:
    headers = {"Authorization": "Bearer key"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        document: Json = (await client.get("/openapi.json", headers=headers)).json()
    return document


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### {method} {path.replace('{', '').replace('}', '')}"
    yield f"{code(f'{method} {path}')}: {operation['summary']}"
    if "description" in operation:
        yield str(operation["description"])
    if "parameters" in operation:
        yield table(("Parameter", "In", "Meaning"), _parameters(cast("list[Json]", operation["parameters"])))
    answers = cast("dict[str, Json]", operation["responses"])
    yield "Answers: " + ", ".join(f"{status}{_schema_name(answer)}" for status, answer in answers.items()) + "."


def _parameters(parameters: Sequence[Json]) -> Iterator[Sequence[str]]:
    for one in parameters:
        yield code(one["name"]), str(one["in"]), str(one["description"])


def _schema_name(answer: Json) -> str:
    for content in cast("dict[str, dict[str, Json]]", answer.get("content", {})).values():
        ref = str(content["schema"].get("$ref", ""))
        if ref and not ref.endswith("/ErrorReply"):
            return f" `{ref.rpartition('/')[2]}`"
    return ""
