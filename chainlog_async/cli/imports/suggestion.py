"""Which options may import a file of another shape: a guess from the names in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import msgspec

from chainlog_async.entry.json_input import field_named
from chainlog_async.entry.model import ENTRY_FIELDS, RequestLogEntry

MAX_NAMES_SHOWN = 12
"""How many names of a file are listed."""

_REQUIRED = tuple(field.name for field in msgspec.structs.fields(RequestLogEntry) if field.required)

_NAMED: dict[str, str] = {
    "timestamp": r"timestamp|datetime|time|date|ts|when|createdat|starttime|endtime|runtimestamp",
    "chain_name": r"chain|route|modelgroup|group",
    "provider_id": r"provider|vendor|providername|customllmprovider|backend|upstream",
    "model": r"model|modelname|modelid|llm|deployment",
    "prompt_tokens": r"(?:number|num|n)?(?:input|prompt|context)(?:tokens?|tokencount)|tokensin",
    "completion_tokens": r"(?:number|num|n)?(?:output|completion|generated)(?:tokens?|tokencount)|tokensout",
    "total_tokens": r"(?:number|num|n)?(?:total)?tokens|totaltokencount",
    "latency_ms": r"(?:latency|duration|elapsed|responsetime|endtoendlatency)?(?:ms|s|sec|secs|seconds)|latency"
    r"|duration|elapsed|responsetime|took",
    "http_status": r"(?:http)?status(?:code)?|responsestatus|errorcode|code",
    "error_message": r"error|errormsg|errormessage|exception|message|reason",
    "request_id": r"(?:request|trace|call|correlation)id",
    "caller": r"user|userid|username|team|customer|client|apikeyalias|keyalias",
    "ttft_ms": r"(?:ttft|timetofirsttoken)(?:ms|s|sec|seconds)?",
    "cost_usd": r"cost|spend|price|costusd|totalcost",
    "streamed": r"stream|streaming|isstream",
}
"""What other programs call a field, without case and separators."""

_IN_SECONDS = re.compile(r"(?:^|[\W_])(?:s|sec|secs|seconds)$|[a-z]S$")

_EXAMPLES = {"latency_ms": "0", "http_status": "200"}


def suggested_options(names: Sequence[str]) -> str:
    """Returns ``--map`` for each name that looks like a field, and ``--set`` for what an entry has to have besides."""
    found: dict[str, str] = {}
    for name in names:
        field = field_named(name) or _field_called(name)
        if field is not None and field not in found:
            found[field] = name
    options = [_mapped(name, field) for field, name in found.items() if name != field]
    options += [f"--set {name}={_EXAMPLES.get(name, '...')}" for name in _REQUIRED if name not in found]
    return " ".join(options)


def listed(names: Sequence[str]) -> str:
    """Returns the first names, for a message."""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + (", …" if len(names) > MAX_NAMES_SHOWN else "")


def _mapped(name: str, field: str) -> str:
    factor = "*1000" if field.endswith("_ms") and _IN_SECONDS.search(name) else ""
    return f"--map {shlex.quote(f'{name}={field}{factor}')}"


def _field_called(name: str) -> str | None:
    plain = re.sub(r"[\W_]", "", name).lower()
    return next((field for field in ENTRY_FIELDS if field in _NAMED and re.fullmatch(_NAMED[field], plain)), None)
