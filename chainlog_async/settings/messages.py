"""Turns pydantic's errors into sentences with the place, the key, the value and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from chainlog_async.common.spelling import did_you_mean

from .schema import KeyPath, all_keys, group_of, item_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from .sources import Source


MAX_SHOWN_VALUE_CHARS: Final = 80

# pydantic's messages for these fit Python code, not the file or variable that has to be corrected.
_PHRASES: Final = {
    "missing": "is missing",
    "path_type": "must be a path",
    "string_type": "must be text; quote it if YAML would read a number or a boolean",
    "tuple_type": 'must be a list, such as ["one", "two"]',
}
_RANGE_ERRORS: Final = {"int_type", "greater_than_equal", "less_than_equal"}


def explain(model: type[BaseModel], error: ValidationError, sources: Sequence[Source]) -> str:
    """Returns one line per problem; `sources` starts with the one that takes precedence."""
    problems = error.errors(include_url=False)
    return "\n".join(dict.fromkeys(_sentence(model, problem, sources) for problem in problems))


def _sentence(model: type[BaseModel], problem: ErrorDetails, sources: Sequence[Source]) -> str:
    path, item, field = _resolve(model, problem["loc"])
    name = next((source.names[path] for source in sources if path in source.names), ".".join(path) or "settings")
    if field is None and item:
        keys = list(_model_at(model, problem["loc"][:-1]).model_fields)
        near = did_you_mean(str(problem["loc"][-1]), keys)
        remedy = f"did you mean {near}?" if near else f"it has {', '.join(keys)}"
        return f"{name}{item} is not a setting; {remedy}"
    if field is None and path:
        near = did_you_mean(".".join(path), all_keys(model))
        remedy = f"did you mean {near}?" if near else f"the settings are {', '.join(all_keys(model))}"
        # The value is left out: under a misspelt key it may be a secret.
        return f"{name} is not a setting; {remedy}"
    value = "" if field is None or problem["type"] == "missing" else _shown(field, problem["input"])
    return f"{name}{item}{value} {_demand(field, problem)}{_near_choice(field, problem)}{_default(field)}"


def _resolve(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[KeyPath, str, FieldInfo | None]:
    """Returns the path of the setting that an error is about, the place inside a list, and the field.

    The field is None for an unknown setting.
    """
    path: KeyPath = ()
    item = ""
    field: FieldInfo | None = None
    group: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int):
            item += f"[{part}]"
            group = item_of(field)
            continue
        if group is None:
            # In a list of several kinds. Of the keys inside, only those that we know: another may be a secret.
            if item and field is not None and part in _inner_keys(field.annotation):
                item += f".{part}"
            continue
        if item:
            item += f".{part}"
        else:
            path = (*path, part)
        field = group.model_fields.get(part)
        group = group_of(field)
    return path, item, field


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """Returns the model of the mapping at that place."""
    for part, after in zip(location, (*location[1:], None), strict=True):
        if isinstance(part, str):
            field = model.model_fields.get(part)
            model = (item_of(field) if isinstance(after, int) else group_of(field)) or model
    return model


def _is_secret(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(_is_secret(field.annotation) for field in annotation.model_fields.values())
    is_secret = isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes)
    return is_secret or any(_is_secret(part) for part in get_args(annotation))


def _inner_keys(annotation: object) -> tuple[str, ...]:
    """Returns the keys of the mappings that a list may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return tuple(annotation.model_fields)
    return tuple(key for part in get_args(annotation) for key in _inner_keys(part))


def _shown(field: FieldInfo, value: object) -> str:
    if group_of(field) is not None:
        return ""
    if _is_secret(field.annotation):
        return " (its value is not shown)"
    if isinstance(value, (Mapping, list, tuple, set)):
        return ""
    text = repr(str(value) if isinstance(value, PurePath) else value)
    return f" is {text if len(text) <= MAX_SHOWN_VALUE_CHARS else text[:MAX_SHOWN_VALUE_CHARS] + '…'}, but"


def _demand(field: FieldInfo | None, problem: ErrorDetails) -> str:
    """Returns what the value must be, as `must be …` where pydantic's message allows it."""
    kind, text = problem["type"], problem["msg"]
    group = group_of(field)
    if group is not None:
        return f"must be a mapping of {', '.join(group.model_fields)}"
    item = item_of(field)
    if kind == "model_type" and item is not None:
        return f"must be a mapping of {', '.join(item.model_fields)}"
    if kind in _PHRASES:
        return _PHRASES[kind]
    bounds = _bounds(field)
    if kind in _RANGE_ERRORS and bounds is not None:
        return f"must be a whole number from {bounds[0]} to {bounds[1]}"
    text = re.sub(r"^\w+ should\b", "must", text.removeprefix("Value error, "))
    return text[:1].lower() + text[1:]


def _bounds(field: FieldInfo | None) -> tuple[object, object] | None:
    if field is None or field.annotation is not int:
        return None
    low, high = (
        next((value for item in field.metadata if (value := getattr(item, side, None)) is not None), None)
        for side in ("ge", "le")
    )
    return None if low is None or high is None else (low, high)


def _near_choice(field: FieldInfo | None, problem: ErrorDetails) -> str:
    if field is None or get_origin(field.annotation) is not Literal:
        return ""
    near = did_you_mean(str(problem["input"]), [str(choice) for choice in get_args(field.annotation)])
    return f"; did you mean {near!r}?" if near else ""


def _default(field: FieldInfo | None) -> str:
    if field is None or field.is_required() or group_of(field) is not None or _is_secret(field.annotation):
        return ""
    return f" (default {field.get_default(call_default_factory=True)})"
