"""``GET /docs``: the OpenAPI document as a page. It has no script, loads nothing, and needs no API key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chainlog_async.server.paths import DOCS_PATH
from chainlog_async.server.routes.dashboard import SECURITY_HEADERS
from chainlog_async.server.routes.openapi import ApiDescription, Json

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = SECURITY_HEADERS | {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
STYLE_FILE = "api_page.css"


class ApiPage:
    """The page, whose links are all relative, so that the service can be mounted under any path."""

    def __init__(self, description: ApiDescription) -> None:
        self._description = description

    def routes(self) -> list[Route]:
        """Returns the routes of the page, which the document leaves out."""
        return [Route(path, self.page, include_in_schema=False) for path in (DOCS_PATH, f"{DOCS_PATH}/")]

    async def page(self, request: Request) -> Response:
        """Sends the page."""
        document = await self._description.document()
        base = ".." if request.url.path.endswith("/") else "."
        return Response(page_of(document, base), headers=PAGE_HEADERS, media_type="text/html; charset=utf-8")


def page_of(document: Json, base: str) -> str:
    """Returns the document as HTML; `base` is the relative path of the service."""
    return "".join(_page(document, base))


def _page(document: Json, base: str) -> Iterator[str]:
    info = cast("Json", document["info"])
    tags = cast("list[dict[str, str]]", document["tags"])
    by_tag = _operations_by_tag(document)
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>HTTP API of chainlog-async</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{base}/static/api/{STYLE_FILE}"></head><body>'
    )
    yield "<nav><strong>HTTP API</strong>"
    for tag in tags:
        yield f'<a class="tag" href="#{_anchor(tag["name"])}">{escape(tag["name"])}</a>'
        for method, path, operation in by_tag[tag["name"]]:
            yield f'<a href="#{operation["operationId"]}"><b>{method}</b> {escape(path)}</a>'
    yield '<a class="tag" href="#schemas">schemas</a></nav><main>'
    yield f"<h1>HTTP API of chainlog-async {escape(str(info['version']))}</h1><p>{_text(str(info['description']))}</p>"
    yield f'<p>The same as <a href="{base}/openapi.json">openapi.json</a>. <a href="{base}/">The dashboard</a></p>'
    if document.get("security"):
        yield "<p>Requests need one of <code>server.api_keys</code> as <code>Authorization: Bearer KEY</code>.</p>"
    for tag in tags:
        yield f'<section id="{_anchor(tag["name"])}"><h2>{escape(tag["name"])}</h2><p>{_text(tag["description"])}</p>'
        for method, path, operation in by_tag[tag["name"]]:
            yield from _operation(method, path, operation, with_key=bool(document.get("security")))
        yield "</section>"
    yield '<section id="schemas"><h2>schemas</h2>'
    components = cast("dict[str, Json]", cast("Json", document["components"])["schemas"])
    for name, schema in sorted(components.items()):
        yield f'<details id="schema-{escape(name)}"><summary>{escape(name)}</summary>'
        yield f"<p>{_text(str(schema.get('description', '')))}</p>"
        yield from _properties(schema)
        yield "</details>"
    yield "</section></main></body></html>"


def _operations_by_tag(document: Json) -> Mapping[str, list[tuple[str, str, Json]]]:
    by_tag: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in cast("dict[str, dict[str, Json]]", document["paths"]).items():
        for method, operation in methods.items():
            (tag,) = cast("list[str]", operation["tags"])
            by_tag.setdefault(tag, []).append((method.upper(), path, operation))
    return by_tag


def _operation(method: str, path: str, operation: Json, *, with_key: bool) -> Iterator[str]:
    yield f'<article id="{operation["operationId"]}"><h3><b>{method}</b> <code>{escape(path)}</code></h3>'
    yield f"<p>{_text(str(operation['summary']))}</p>"
    for paragraph in str(operation.get("description", "")).split("\n\n"):
        if paragraph:
            yield f"<p>{_text(paragraph)}</p>"
    parameters = cast("list[Json]", operation.get("parameters", []))
    if parameters:
        yield "<table><tr><th>parameter</th><th>in</th><th>type</th><th>description</th></tr>"
        for one in parameters:
            schema = cast("Json", one["schema"])
            yield (
                f"<tr><td><code>{escape(str(one['name']))}</code></td><td>{one['in']}</td>"
                f"<td>{_type(schema)}</td><td>{_text(str(one['description']))}{_bounds(schema)}</td></tr>"
            )
        yield "</table>"
    yield f"<h4>request</h4><pre>{escape(_curl(method, path, operation, with_key=with_key))}</pre>"
    for status, answer in cast("dict[str, Json]", operation["responses"]).items():
        yield from _answer(status, answer)
    yield "</article>"


def _answer(status: str, answer: Json) -> Iterator[str]:
    open_ = " open" if status.startswith("2") else ""
    yield f"<details{open_}><summary>{status} {escape(str(answer['description']))}</summary>"
    for media_type, content in cast("dict[str, Json]", answer.get("content", {})).items():
        yield f"<p>{escape(media_type)}: {_type(cast('Json', content['schema']))}</p>"
        if "example" in content:
            yield f"<pre>{escape(_pretty(content['example']))}</pre>"
    yield "</details>"


def _curl(method: str, path: str, operation: Json, *, with_key: bool) -> str:
    for one in cast("list[Json]", operation.get("parameters", [])):
        if one["in"] == "path":
            example = cast("list[object]", cast("Json", one["schema"])["examples"])[0]
            path = path.replace(f"{{{one['name']}}}", str(example))
    parts = ["curl"]
    if method != "GET":
        parts.append(f"-X {method}")
    if with_key and operation.get("security") != []:
        parts.append("-H 'Authorization: Bearer KEY'")
    parts.append(f"http://127.0.0.1:4290{path}")
    body = cast("dict[str, Json]", cast("Json", operation.get("requestBody", {})).get("content", {}))
    if "application/json" in body:
        parts.append(f"-d '{_pretty(body['application/json']['example'])}'")
    elif body:
        parts.append("--data-binary @FILE")
    return " ".join(parts)


def _properties(schema: Json) -> Iterator[str]:
    required = cast("list[str]", schema.get("required", []))
    yield "<table><tr><th>property</th><th>type</th><th>description</th></tr>"
    for name, one in cast("dict[str, Json]", schema.get("properties", {})).items():
        mark = " <small>required</small>" if name in required else ""
        text = _text(str(one.get("description", "")))
        yield f"<tr><td><code>{escape(name)}</code>{mark}</td><td>{_type(one)}</td><td>{text}{_bounds(one)}</td></tr>"
    yield "</table>"


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, cast("list[Json]", schema["anyOf"])))
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"array of {_type(cast('Json', schema['items']))}"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(one))}</code>" for one in cast("list[object]", schema["enum"]))
    return escape(str(schema.get("type", "any JSON")))


def _bounds(schema: Json) -> str:
    kinds = [schema, *cast("list[Json]", schema.get("anyOf", []))]
    names = {"minimum": "at least", "maximum": "at most", "maxLength": "characters at most", "default": "default"}
    found = dict.fromkeys(
        f"{words} {json.dumps(kind[key])}"
        for kind in kinds
        for key, words in names.items()
        if kind.get(key) is not None
    )
    return f" <small>{escape(', '.join(found))}</small>" if found else ""


def _text(text: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _anchor(name: str) -> str:
    return "tag-" + re.sub(r"\W+", "-", name)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
