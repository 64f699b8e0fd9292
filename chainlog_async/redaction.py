"""Secrets in error messages: providers repeat keys and URLs in theirs, and a log is read by many."""

from __future__ import annotations

import re
from collections.abc import Sequence

REDACTED = "[redacted]"

_WORD = r"[A-Za-z0-9._~+/*=-]"

PATTERNS: tuple[str, ...] = (
    # Keys by their makers' prefixes: OpenAI, Anthropic, OpenRouter and DeepSeek (sk-), Stripe, Groq, xAI, Perplexity,
    # Fireworks, Hugging Face, Replicate, GitHub, Google, NVIDIA, Cerebras, AWS, and JSON web tokens.
    rf"\b(?:sk|rk|pk)[-_]{_WORD}{{6,}}",
    rf"\b(?:gsk|hf|r8|fw|ghp|gho|ghs|github_pat)_{_WORD}{{8,}}",
    rf"\b(?:xai|pplx|csk|nvapi|glpat|xox[abps])-{_WORD}{{8,}}",
    r"\bAIza[A-Za-z0-9_-]{10,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    # Keys by their place: after "Bearer", after "api key", before the host of a URL, in its query.
    rf"(?i:\b(?P<scheme>bearer|basic)\s{{1,4}}){_WORD}{{6,}}",
    rf"(?i:(?P<name>\b(?:x-)?(?:api[-_]?key|access[-_]?token|auth[-_]?token|secret|password)[\"']?\s{{0,2}}[:=]\s{{0,2}}[\"']?)){_WORD}{{6,}}",
    rf"(?i:(?P<query>[?&](?:key|token)=)){_WORD}{{6,}}",
    r"(?P<url>\b[a-z][a-z0-9+.-]{1,15}://)[^\s@\"'<>]{1,200}(?=@)",
)
"""What is blotted out without being asked for; each is linear in the length of the text."""


class Redactor:
    """Blots secrets out of a text."""

    def __init__(self, more_patterns: Sequence[str] = ()) -> None:
        """`more_patterns` are regular expressions. Raises `re.error` when one is none."""
        self._secret = re.compile("|".join(f"(?:{pattern})" for pattern in (*PATTERNS, *more_patterns)))

    def __call__(self, text: str) -> str:
        """The text with every secret replaced by ``[redacted]``."""
        return self._secret.sub(_blot, text)


def _blot(secret: re.Match[str]) -> str:
    """Keeps the word that gave the secret away: readers want to know what was there."""
    groups = secret.groupdict()
    if groups["scheme"]:
        return f"{groups['scheme']} {REDACTED}"
    return (groups["name"] or groups["query"] or groups["url"] or "") + REDACTED
