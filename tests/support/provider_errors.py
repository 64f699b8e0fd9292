"""Error messages as providers write them, from the templates in tests/data/provider_errors.txt."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.support.secrets import Bodies

_TEMPLATES = Path(__file__).parents[1] / "data" / "provider_errors.txt"
_VARIANTS = 5

_MODELS = (
    "gpt-4o", "gpt-4o-mini-2024-07-18", "gpt-4.1-nano", "o3-mini", "text-embedding-3-large",
    "claude-3-5-sonnet-20241022", "claude-sonnet-4-5-20250929", "llama-3.1-8b-instant", "llama-3.3-70b-versatile",
    "llama3-70b-8192", "meta-llama/llama-4-scout-17b-16e-instruct", "mistral-large-2411", "mixtral-8x7b-32768",
    "command-r-plus-08-2024", "deepseek-reasoner", "qwen2.5-72b-instruct", "gemma2-9b-it",
    "ft:gpt-3.5-turbo-0125:acme::9aBcD1eF",
)  # fmt: skip
_BEDROCK_MODELS = (
    "anthropic.claude-3-5-sonnet-20240620-v1:0", "us.anthropic.claude-sonnet-4-20250514-v1:0", "amazon.nova-pro-v1:0",
    "meta.llama3-1-70b-instruct-v1:0", "cohere.command-r-plus-v1:0", "mistral.mixtral-8x7b-instruct-v0:1",
)  # fmt: skip
_GEMINI_MODELS = ("gemini-1.5-pro", "gemini-2.5-flash-lite", "gemini-2.0-flash-exp", "gemini-2.5-pro-preview-05-06")
_OPEN_MODELS = (
    "meta-llama/Llama-3.3-70B-Instruct-Turbo", "deepseek/deepseek-r1-0528:free", "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "moonshotai/kimi-k2", "Qwen/Qwen2.5-Coder-32B-Instruct", "openrouter/quasar-alpha",
)  # fmt: skip
_IMAGES = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////",
    "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
    "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAUAmJaQAA3AA/v3AgAA=",
)


def provider_errors() -> Iterator[str]:
    """Yields every message; a template with names in braces gives several."""
    chance, make = random.Random(1), Bodies(1)  # nothing is kept secret by it
    fill: dict[str, Callable[[], str]] = {
        "model": lambda: chance.choice(_MODELS),
        "bmodel": lambda: chance.choice(_BEDROCK_MODELS),
        "gmodel": lambda: chance.choice(_GEMINI_MODELS),
        "omodel": lambda: chance.choice(_OPEN_MODELS),
        "image": lambda: chance.choice(_IMAGES),
        "limit": lambda: chance.choice(("4096", "8192", "32768", "65536", "128000", "200000", "1048576")),
        "n": lambda: str(chance.randrange(1_000, 400_000)),
        "k": lambda: str(chance.randrange(2, 28)),
        "s": lambda: chance.choice(
            ("644ms", "6.780999999s", "9m38.016s", "12.5s", "1h2m3s", "0.379996", "37.82626638s")
        ),
        "ms": lambda: str(chance.randrange(1_700_000_000_000, 1_800_000_000_000)),
        "account": lambda: make.digits(12),
        "tail": lambda: make.alnum(4),
        "uuid": make.uuid,
        "org": lambda: "org-" + make.alnum(24),
        "gorg": lambda: "org_01" + make.alnum(24).lower(),
        "req": lambda: "req_" + make.hex(32),
        "areq": lambda: "req_011C" + make.alnum(20),
        "ulid": lambda: "01J" + make.upper(23),
        "b64": lambda: make.base64(43),
    }
    fill |= {f"hex{size}": partial(make.hex, size) for size in (8, 16, 24, 32, 40, 48, 64)}
    fill |= {f"id{size}": partial(make.alnum, size) for size in (8, 20, 24)}
    names = re.compile(r"\{(" + "|".join(fill) + r")\}")
    for template in _TEMPLATES.read_text("utf-8").splitlines():
        if template and not template.startswith("#"):
            unescaped = template.replace("\\n", "\n").replace("\\t", "\t")
            for _ in range(_VARIANTS if names.search(template) else 1):
                yield names.sub(lambda name: fill[name[1]](), unescaped)
