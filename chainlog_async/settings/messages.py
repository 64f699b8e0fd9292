"""Turns what pydantic finds wrong into sentences that name the place, the key, the value and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from .sources import Source

KeyPath = tuple[str, ...]

NEAR_ENOUGH: Final = 0.6
LONGEST_VALUE: Final = 80

# What pydantic says about these fits Python, not the file or variable that somebody has to mend.
_PHRASES: Final = {
    "path_type": "must be a path",
    "string_type": "must be text, in quotes where YAML would see a number or a truth value",
    "tuple_type": 'must be a list, such as ["one", "two"]',
}
_RANGE_ERRORS: Final = {"int_type", "greater_than_equal", "less_than_equal"}


def group_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """Return the model of a field that is a group of settings, else None."""
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def leaves(model: type[BaseModel], parent: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Yield every setting that is not a group, with its path."""
    for name, field in model.model_fields.items():
        group = group_of(field)
        if group is None:
            yield (*parent, name), field
        else:
            yield from leaves(group, (*parent, name))


def explain(model: type[BaseModel], error: ValidationError, sources: Sequence[Source]) -> str:
    """Return one line per problem; `sources` has the deciding source first."""
    problems = error.errors(include_url=False)
    return "\n".join(dict.fromkeys(_sentence(model, problem, sources) for problem in problems))


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `word`, or None; case and punctuation do not count, nor need a group be named."""
    scored = [(_likeness(word, candidate), candidate) for candidate in candidates]
    score, best = max(scored, default=(0.0, ""))
    return best if score >= NEAR_ENOUGH else None


def _likeness(word: str, candidate: str) -> float:
    def plain(text: str) -> str:
        return re.sub(r"[\W_]", "", text.lower())

    pairs = {(word, candidate), (word, candidate.rpartition(".")[2]), (word.rpartition(".")[2], candidate)}
    return max(SequenceMatcher(None, plain(one), plain(other)).ratio() for one, other in pairs)


def _sentence(model: type[BaseModel], problem: ErrorDetails, sources: Sequence[Source]) -> str:
    path, field = _resolve(model, problem["loc"])
    name = next((source.names[path] for source in sources if path in source.names), ".".join(path) or "settings")
    if field is None and path:
        near = did_you_mean(".".join(path), all_keys(model))
        remedy = f"did you mean {near}?" if near else f"the settings are {', '.join(all_keys(model))}"
        # The value stays unsaid: under a misspelt key it may be a secret.
        return f"{name} is not a setting; {remedy}"
    items = "".join(f"[{part}]" for part in problem["loc"][len(path) :] if isinstance(part, int))
    value = "" if field is None else _shown(field, problem["input"])
    return f"{name}{items}{value} {_demand(field, problem)}{_near_choice(field, problem)}{_default(field)}"


def _resolve(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[KeyPath, FieldInfo | None]:
    """Return the path of the setting that an error is about, and its field if there is one."""
    path: KeyPath = ()
    field: FieldInfo | None = None
    group: type[BaseModel] | None = model
    for part in location:
        if group is None or not isinstance(part, str):
            break
        path = (*path, part)
        field = group.model_fields.get(part)
        group = group_of(field)
    return path, field


def all_keys(model: type[BaseModel]) -> list[str]:
    """Return every setting's dotted name."""
    return [".".join(path) for path, _ in leaves(model)]


def _is_secret(annotation: object) -> bool:
    return annotation in {SecretStr, SecretBytes} or any(_is_secret(part) for part in get_args(annotation))


def _shown(field: FieldInfo, value: object) -> str:
    if _is_secret(field.annotation):
        return " (its value is not shown)"
    if group_of(field) is not None or isinstance(value, (Mapping, list, tuple, set)):
        return ""
    text = repr(str(value) if isinstance(value, PurePath) else value)
    return f" is {text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + '…'}, but"


def _demand(field: FieldInfo | None, problem: ErrorDetails) -> str:
    """Return what the value must be, as `must be …` wherever pydantic lets us."""
    kind, text = problem["type"], problem["msg"]
    group = group_of(field)
    if group is not None:
        return f"must be a mapping of {', '.join(group.model_fields)}"
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
    if field is None or group_of(field) is not None or _is_secret(field.annotation):
        return ""
    return f" (default {field.get_default(call_default_factory=True)})"
