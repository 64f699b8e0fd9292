"""The JSON schemas of the OpenAPI document: each property with its description and an example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast, get_origin

import msgspec

from chainlog_async.common.attribute_docs import attribute_docs
from chainlog_async.entry import model
from chainlog_async.entry.model import Attempt, RequestLogEntry

from .entry_schema import PostedAttempt, PostedEntry
from .schema_words import DESCRIPTIONS, EXAMPLES, TIME_EXAMPLE

Json = dict[str, object]

REF = "#/components/schemas/{name}"
_DESCRIBED_BY: Mapping[type, type] = {PostedEntry: RequestLogEntry, PostedAttempt: Attempt}
"""The types that are made of others at run time, and have their docstrings."""


def schemas_of(types: Sequence[object]) -> tuple[dict[object, Json], dict[str, Json]]:
    """Returns the schema of each type, and the components that these refer to by name."""
    schemas, components = msgspec.json.schema_components(types, schema_hook=_any, ref_template=REF)
    # The title of a generic type goes on with its arguments, in brackets.
    by_name = {str(component["title"]).partition("[")[0]: component for component in components.values()}
    for struct in _structs(msgspec.inspect.multi_type_info(types)):
        if (component := by_name.get(struct.__name__)) is not None:
            _describe(component, struct)
    return dict(zip(types, schemas, strict=True)), components


def example_of(schema: Mapping[str, object], components: Mapping[str, Json]) -> object:
    """Returns an example of a schema that was returned by `schemas_of`."""
    if "$ref" in schema:
        return example_of(components[str(schema["$ref"]).rpartition("/")[2]], components)
    if isinstance(given := schema.get("examples"), list):
        return given[0]
    if isinstance(properties := schema.get("properties"), Mapping):
        return {name: example_of(one, components) for name, one in properties.items()}
    if isinstance(options := schema.get("anyOf"), list):
        return example_of(next((one for one in options if one.get("type") != "null"), options[0]), components)
    if isinstance(items := schema.get("items"), Mapping):
        return [example_of(items, components)]
    return _by_type("", schema)


def with_example(name: str, schema: Mapping[str, object]) -> Json:
    """Returns a simple schema with an example of what `name` usually is."""
    return {**schema, "examples": [_simple_example(name, schema)]}


def constants_filled_in(text: str) -> str:
    """Returns a docstring for readers who see JSON: with the numbers of its constants, and null for None."""

    def value(match: re.Match[str]) -> str:
        found = getattr(model, match[1], None)
        return match[0] if found is None else str(found)

    return re.sub(r"\bNone\b", "null", re.sub(r"`(MAX_\w+)`", value, text.replace("``", "`")))


def _describe(component: Json, struct: type) -> None:
    described_by = _DESCRIBED_BY.get(struct, struct)
    if described_by is not struct and described_by.__doc__:
        component["description"] = described_by.__doc__.partition("\n")[0]
    docs = attribute_docs(described_by)
    general = attribute_docs(RequestLogEntry)
    properties = cast("dict[str, Json]", component.get("properties", {}))
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        text = docs.get(field.name) or DESCRIPTIONS.get(name) or general.get(field.name) or _in_words(name)
        described = properties[name]
        described["description"] = constants_filled_in(text)
        if "$ref" not in described and not _holds_refs(described):
            described["examples"] = [_simple_example(name, described)]


def _holds_refs(schema: object) -> bool:
    if isinstance(schema, Mapping):
        return "$ref" in schema or any(map(_holds_refs, schema.values()))
    return isinstance(schema, list) and any(map(_holds_refs, schema))


def _in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).capitalize() + "."


def _simple_example(name: str, schema: Mapping[str, object]) -> object:
    options = schema.get("anyOf")
    kinds = [schema] if options is None else [one for one in cast("list[Json]", options) if one.get("type") != "null"]
    for kind in kinds:
        given = EXAMPLES.get(name)
        for example in given if isinstance(given, tuple) else (given,):
            if _fits(example, kind):
                return example
        if name.endswith(("At", "Timestamp")) and kind.get("type") == "integer":
            return TIME_EXAMPLE
    return _by_type(name, kinds[0])


def _fits(example: object, schema: Mapping[str, object]) -> bool:
    if "enum" in schema:
        return example in cast("Sequence[object]", schema["enum"])
    if isinstance(example, str) and (pattern := schema.get("pattern")) is not None:
        return re.search(str(pattern), example) is not None
    return type(example) in {
        "array": (list,),
        "boolean": (bool,),
        "integer": (int,),
        "number": (int, float),
        "object": (dict,),
        "string": (str,),
    }.get(str(schema.get("type")), ())


def _by_type(name: str, schema: Mapping[str, object]) -> object:
    if schema.get("enum"):
        return cast("Sequence[object]", schema["enum"])[0]
    if schema.get("default") is not None:
        return schema["default"]
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return max(1, cast("int", schema.get("minimum", 1)))
    if kind == "array" and schema.get("minItems"):
        return [_by_type(name, cast("Json", schema.get("items", {})))]
    if (words := re.fullmatch(r"\^\((\w+)(\|\w+)*\)\$", str(schema.get("pattern")))) is not None:
        return words[1]
    text = "2025-12-01T08:00:00Z" if schema.get("format") == "date-time" else "text"
    return {"boolean": True, "array": [], "object": {}}.get(str(kind), text)


def _structs(infos: Iterable[object]) -> Iterator[type]:
    """Yields each struct that the types are made of, once."""
    seen: set[type] = set()
    waiting = list(infos)
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
            yield get_origin(info.cls) or info.cls
            waiting += [field.type for field in info.fields]
        elif isinstance(info, msgspec.inspect.UnionType):
            waiting += info.types
        elif isinstance(info, msgspec.inspect.Metadata):
            waiting.append(info.type)
        elif isinstance(info, msgspec.inspect.DictType):
            waiting.append(info.value_type)
        elif isinstance(info, msgspec.inspect.TupleType):
            waiting += info.item_types
        elif isinstance(info, msgspec.inspect.CollectionType):
            waiting.append(info.item_type)


def _any(kind: type) -> Json:
    """Returns the schema of `object`: any JSON."""
    if kind is object:
        return {"description": "Any JSON."}
    # msgspec expects this from a hook that does not know the type.
    raise NotImplementedError
