"""An entry as clients post it, for the OpenAPI document: the fields and bounds of a line, with their JSON names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, get_type_hints

import msgspec

from chainlog_async.common.clock import MAX_TIMESTAMP_MS, MIN_CLEAR_TIMESTAMP_MS
from chainlog_async.common.json_names import camel_case
from chainlog_async.entry.line import LineAttempt, LineEntry
from chainlog_async.entry.model import MAX_ATTEMPTS, MAX_NAME_CHARS, Attempt, RequestLogEntry


def _posted(
    name: str,
    entry: type[msgspec.Struct],
    line: type[msgspec.Struct],
    more: Sequence[tuple[str, object, object]] = (),
    **types: object,
) -> type[msgspec.Struct]:
    """Combines two types: `entry` says which fields are optional, `line` which values they may have."""
    of_line = get_type_hints(line, include_extras=True) | types
    fields: list[tuple[str, object] | tuple[str, object, object]] = []
    for field in msgspec.structs.fields(entry):
        named = (field.name, of_line[field.name])
        if field.required:
            fields.append(named)
        elif field.default is msgspec.NODEFAULT:
            fields.append((*named, msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((*named, field.default))
    fields += more
    return msgspec.defstruct(name, fields, rename=camel_case, kw_only=True, forbid_unknown_fields=True, module=__name__)


PostedAttempt = _posted("PostedAttempt", Attempt, LineAttempt)
PostedEntry = _posted(
    "PostedEntry",
    RequestLogEntry,
    LineEntry,
    [("entry_id", Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)] | None, None)],
    timestamp=Annotated[int, msgspec.Meta(ge=MIN_CLEAR_TIMESTAMP_MS, le=MAX_TIMESTAMP_MS)]
    | Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})],
    metadata=dict[str, object] | None,
    attempt_trail=Annotated[list[PostedAttempt], msgspec.Meta(max_length=MAX_ATTEMPTS)] | None,  # type: ignore[valid-type]  # a type that is created at run time
)
