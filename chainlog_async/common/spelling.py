"""Suggestions for misspelt names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

MIN_LIKENESS: Final = 0.6

MAX_WORD_CHARS: Final = 300
"""Longer words get no suggestion: the time to compare grows with the square of their length."""


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Returns the most similar candidate, or None; ignores case, punctuation and a missing group name."""
    return None if len(word) > MAX_WORD_CHARS else _most_similar(word, tuple(candidates))


@lru_cache(maxsize=256)  # a sender that misspells a field does it in every entry
def _most_similar(word: str, candidates: tuple[str, ...]) -> str | None:
    scored = [(_likeness(word, candidate), candidate) for candidate in candidates]
    score, best = max(scored, default=(0.0, ""))
    return best if score >= MIN_LIKENESS else None


def _likeness(word: str, candidate: str) -> float:
    pairs = {(word, candidate), (word, candidate.rpartition(".")[2]), (word.rpartition(".")[2], candidate)}
    return max(_ratio(_plain(one), _plain(other)) for one, other in pairs)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def _ratio(one: str, other: str) -> float:
    matcher = SequenceMatcher(None, one, other)
    # Both are cheap upper bounds of the ratio.
    if matcher.real_quick_ratio() < MIN_LIKENESS or matcher.quick_ratio() < MIN_LIKENESS:
        return 0.0
    return matcher.ratio()
