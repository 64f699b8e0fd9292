"""Requests of OTLP/JSON, made up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.support.service import BEGIN_MS

CALL: dict[str, object] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 3,
}
"""Attributes of a call."""


def value(plain: object) -> dict[str, object]:
    """A value as OTLP/JSON has it."""
    match plain:
        case bool():
            return {"boolValue": plain}
        case int():
            return {"intValue": str(plain)}
        case float():
            return {"doubleValue": plain}
        case list():
            return {"arrayValue": {"values": [value(item) for item in plain]}}
        case _:
            return {"stringValue": plain}


def attributes(plain: Mapping[str, object]) -> list[dict[str, object]]:
    """Attributes as OTLP/JSON has them."""
    return [{"key": key, "value": value(item)} for key, item in plain.items()]


def span(
    span_id: str = "a1",
    parent: str = "",
    *,
    ms: tuple[float, float] = (0, 100),
    trace: str = "t1",
    name: str = "chat m",
    error: str | None = None,
    events: list[tuple[str, float, Mapping[str, object]]] | None = None,
    **plain: object,
) -> dict[str, object]:
    """A span from and to these ms after `BEGIN_MS`; names of attributes have ``__`` for a dot."""
    found = {key.replace("__", "."): item for key, item in plain.items() if key != "attrs"}
    given = plain.get("attrs")
    assert given is None or isinstance(given, dict)
    return {
        "traceId": trace,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(_ns(ms[0])),
        "endTimeUnixNano": str(_ns(ms[1])),
        "attributes": attributes(found | (given or {})),
        "events": [
            {"name": event, "timeUnixNano": str(_ns(at)), "attributes": attributes(told)}
            for event, at, told in events or ()
        ],
        "status": {} if error is None else {"code": 2, "message": error},
    }


def call(span_id: str = "a1", parent: str = "", **given: Any) -> dict[str, object]:
    """A span that is a call of a model."""
    return span(span_id, parent, **{**given, "attrs": CALL | (given.get("attrs") or {})})


def document(*spans: object, scope: str = "one", **resource: object) -> dict[str, object]:
    """A request with these spans of one instrumentation in one process."""
    plain = {"service.name": "gateway", **{key.replace("__", "."): item for key, item in resource.items()}}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(plain)},
                "scopeSpans": [{"scope": {"name": scope}, "spans": list(spans)}],
            }
        ]
    }


def body(*spans: object, scope: str = "one", **resource: object) -> bytes:
    """The same, encoded."""
    return json.dumps(document(*spans, scope=scope, **resource)).encode()


def log_records(*records: tuple[str, Mapping[str, object]], **resource: object) -> dict[str, object]:
    """A request of log records, each with its event and attributes."""
    return {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": attributes({key.replace("__", "."): item for key, item in resource.items()})
                },
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "timeUnixNano": str(_ns(0)),
                                "body": {"stringValue": event},
                                "attributes": attributes(told),
                            }
                            for event, told in records
                        ]
                    }
                ],
            }
        ]
    }


def _ns(ms: float) -> int:
    return BEGIN_MS * 1_000_000 + round(ms * 1_000_000)
