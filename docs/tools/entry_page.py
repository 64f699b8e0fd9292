"""docs/reference/entry.md: every field of an entry, with its type and bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from chainlog_async.entry.model import Attempt, RequestLogEntry
from chainlog_async.server.http.entry_schema import PostedAttempt, PostedEntry
from chainlog_async.server.http.schemas import schemas_of

from .markdown import code, page, table

Json = Mapping[str, object]

INTRODUCTION = """\
An entry is one request of the gateway. In Python it is a `RequestLogEntry` with `Attempt`s; over HTTP, in `POST
/v1/logs`, and in files it is a JSON object with the names in the second column, or with those of Python. What is not
required may be left out. A value of an optional field that cannot be stored never costs the row: it is cut, replaced
or left out, and the row says so ([reliability.md](../explanation/reliability.md#the-promise)).
[tokens.md](tokens.md) says what the counts of tokens mean with each provider."""


def entry_page() -> str:
    """Returns the page."""
    types = (PostedEntry, PostedAttempt)
    _, components = schemas_of(types)
    entry, attempt = (components[kind.__name__] for kind in types)
    return page(
        "The fields of an entry",
        INTRODUCTION,
        table(TITLES, _rows(RequestLogEntry, entry)),
        "Over HTTP an entry may also have `entryId`. " + _description(entry, "entryId"),
        "## An attempt",
        "The items of `attempt_trail`.",
        table(TITLES, _rows(Attempt, attempt)),
    )


TITLES = ("Python", "JSON", "Type", "Meaning")


def _rows(struct: type[msgspec.Struct], schema: Json) -> Iterator[Sequence[str]]:
    properties = cast("dict[str, Json]", schema["properties"])
    required = cast("list[str]", schema["required"])
    for name, alias in zip((field.name for field in msgspec.structs.fields(struct)), properties, strict=False):
        one = properties[alias]
        mark = ", required" if alias in required else ""
        yield code(name), code(alias), f"{_type(one)}{mark}", str(one["description"])


def _description(schema: Json, name: str) -> str:
    return str(cast("dict[str, Json]", schema["properties"])[name]["description"])


def _type(schema: Json) -> str:
    if "anyOf" in schema:
        kinds = [_type(one) for one in cast("list[Json]", schema["anyOf"]) if one.get("type") != "null"]
        return " or ".join(kinds)
    kind = str(schema.get("type"))
    if kind == "array":
        return f"list of at most {schema['maxItems']}, each {_type(cast('Json', schema['items']))}"
    words = {"integer": "whole number", "string": "text", "boolean": "true or false", "object": "mapping"}
    text = "an attempt" if "$ref" in schema else words.get(kind, kind)
    if "minimum" in schema and "maximum" in schema:
        text += f" from {schema['minimum']} to {schema['maximum']}"
    if "maxLength" in schema:
        text += f" of at most {schema['maxLength']} characters"
    return "ISO 8601" if schema.get("format") == "date-time" else text
