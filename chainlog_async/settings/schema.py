"""The keys of the settings: groups, and dotted names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

KeyPath = tuple[str, ...]


def group_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """Returns the model of a field that is a group of settings, else None."""
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def item_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """Returns the model of the items of a field that is a list of mappings, else None."""
    parts = () if field is None else get_args(field.annotation)
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def leaves(model: type[BaseModel], parent: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Yields every setting that is not a group, with its path."""
    for name, field in model.model_fields.items():
        group = group_of(field)
        if group is None:
            yield (*parent, name), field
        else:
            yield from leaves(group, (*parent, name))


def all_keys(model: type[BaseModel]) -> list[str]:
    """Returns the dotted name of every setting."""
    return [".".join(path) for path, _ in leaves(model)]
