"""Suggestions for misspelt names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

MIN_LIKENESS: Final = 0.6


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
