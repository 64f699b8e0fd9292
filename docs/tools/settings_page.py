"""docs/reference/settings.md: every setting, from the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from chainlog_async.common.attribute_docs import attribute_docs
from chainlog_async.settings import OtelExportSettings, ScopedKey, Settings
from chainlog_async.settings.alerts import AlertSettings, AlertTarget
from chainlog_async.settings.budgets import BudgetSettings

from .markdown import code, page, table

Json = Mapping[str, object]

INTRODUCTION = """\
A setting comes from the first of four places that has it: arguments (`Settings(max_batch_size=500)`), environment
variables, a YAML file, the default. `Settings.load("gateway.yaml", section="observability.chainlog")` reads them from a
section of your own file; the commands read `config.yaml`, or what `--config` or `CHAINLOG_CONFIG` names.
[config.example.yaml](../../config.example.yaml) has every setting with a longer explanation.

An environment variable is the name in capital letters with `CHAINLOG_` before it, such as
`CHAINLOG_FLUSH_INTERVAL_MS=50`; a setting of a group has two underscores: `CHAINLOG_SERVER__PORT=8080`. Lists are
written as JSON: `CHAINLOG_SERVER__API_KEYS='["a-key"]'`. A setting that is unknown, of the wrong type or out of range
is a `SettingsError` that names the place, the value and the remedy."""


def settings_page() -> str:
    """Returns the page."""
    schema = Settings.model_json_schema()
    server = schema["$defs"]["ServerSettings"]
    return page(
        "Settings",
        INTRODUCTION,
        table(TITLES, _rows(schema, skipped="server")),
        "## `server`: the HTTP service",
        table(TITLES, _rows(server, "server.")),
        *_groups(schema["$defs"]),
    )


TITLES = ("Setting", "Type", "Default", "Meaning")


def _rows(schema: Json, prefix: str = "", *, skipped: str = "", model: type | None = None) -> Iterator[Sequence[str]]:
    required = cast("list[str]", schema.get("required", []))
    docs = {} if model is None else attribute_docs(model)
    for name, one in cast("dict[str, Json]", schema["properties"]).items():
        if name != skipped:
            value = "" if "$ref" in one else _default(one.get("default"))
            default = "required" if name in required else code(value)
            text = str(one.get("description") or docs.get(name, "")).replace("``", "`")
            yield code(prefix + name), _type(one), default, text


def _groups(definitions: Mapping[str, Json]) -> Iterator[str]:
    """Yields what the items of lists have: budgets, alerts, their targets and limited keys."""
    for title, model in (
        ("An item of `budgets`", BudgetSettings),
        ("An item of `alerts`", AlertSettings),
        ("An item of `alert_targets`", AlertTarget),
        ("`otel_export`", OtelExportSettings),
        ("A limited item of `server.api_keys`", ScopedKey),
    ):
        yield f"## {title}"
        yield table(TITLES, _rows(definitions[model.__name__], model=model))


def _default(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _type(schema: Json) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in cast("list[Json]", schema["anyOf"]) if one.get("type") != "null")
    if "enum" in schema:
        return " or ".join(code(one) for one in cast("list[object]", schema["enum"]))
    if "$ref" in schema:
        return "mapping"
    words = {"integer": "whole number", "string": "text", "array": "list", "boolean": "true or false"}
    kind = words.get(str(schema.get("type")), str(schema.get("type", "text")))
    bounds = [schema.get("minimum"), schema.get("maximum")]
    return f"{kind} from {bounds[0]} to {bounds[1]}" if None not in bounds else kind
