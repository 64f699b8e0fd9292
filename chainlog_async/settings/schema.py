"""The keys of the settings: groups, dotted names, and suggestions for misspelt ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

KeyPath = tuple[str, ...]


MIN_LIKENESS: Final = 0.6


def group_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """Returns the model of a field that is a group of settings, else None."""
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def leaves(model: type[BaseModel], parent: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Yields every setting that is not a group, with its path."""
    for name, field in model.model_fields.items():
        group = group_of(field)
        if group is None:
            yield (*parent, name), field
        else:
            yield from leaves(group, (*parent, name))


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Returns the most similar candidate, or None; ignores case, punctuation and a missing group name."""
    scored = [(_likeness(word, candidate), candidate) for candidate in candidates]
    score, best = max(scored, default=(0.0, ""))
    return best if score >= MIN_LIKENESS else None


def _likeness(word: str, candidate: str) -> float:
    def plain(text: str) -> str:
        return re.sub(r"[\W_]", "", text.lower())

    pairs = {(word, candidate), (word, candidate.rpartition(".")[2]), (word.rpartition(".")[2], candidate)}
    return max(SequenceMatcher(None, plain(one), plain(other)).ratio() for one, other in pairs)


def all_keys(model: type[BaseModel]) -> list[str]:
    """Returns the dotted name of every setting."""
    return [".".join(path) for path, _ in leaves(model)]
