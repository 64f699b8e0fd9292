"""What the tests of settings share."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainlog_async.errors import SettingsError
from chainlog_async.settings import Settings
from chainlog_async.settings.schema import leaves

FIELDS = {".".join(path): field for path, field in leaves(Settings)}
NUMBERS = [name for name, field in FIELDS.items() if field.annotation is int]
SECRET = "sk-very-secret"


def refusal(path: Path | None = None, section: str = "settings", /, **overrides: object) -> str:
    """Load settings that must be refused and give the message, whose traceback must not go on to pydantic's."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(path, section, **overrides)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def nested(dotted: str, value: object) -> dict[str, object]:
    """Give the arguments that set one setting."""
    group, _, key = dotted.rpartition(".")
    return {group: {key: value}} if group else {key: value}


def value_of(settings: Settings, dotted: str) -> object:
    """Give one setting's value."""
    value: object = settings
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def bounds(dotted: str) -> tuple[int, int]:
    """Give the least and the greatest value of a number."""
    low, high = (next(getattr(m, side) for m in FIELDS[dotted].metadata if hasattr(m, side)) for side in ("ge", "le"))
    return low, high


def write_yaml(folder: Path, text: str) -> Path:
    """Write a YAML file and give its path."""
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path
