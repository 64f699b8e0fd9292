"""Where settings come from: arguments and environment variables, here; a YAML file, in `settings_document`.

Each source remembers what a person would call each of its values, so that an error can point at the line or variable.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from chainlog_async.errors import SettingsError

from .schema import KeyPath, did_you_mean, group_of, leaves

PREFIX: Final = "CHAINLOG_"
NESTED: Final = "__"
RESERVED: Final = frozenset({"CHAINLOG_CONFIG"})
RENAMED: Final = {"give_way": "yield_gil"}
"""Settings of earlier releases that have another name now; the old one is accepted, with a line in the log."""
ALIASES: Final = {"dbPath": "db_path", **RENAMED}

logger = logging.getLogger(__name__)

# Kubernetes describes a service called "chainlog" to every pod beside it with these variables.
_SERVICE_LINK: Final = re.compile(
    r"CHAINLOG(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


class Source(PydanticBaseSettingsSource):
    """Values from one place, under their proper names, and what each is called there."""

    def __init__(self, model: type[BaseSettings], values: Mapping[str, object], call: Callable[[KeyPath], str]) -> None:
        super().__init__(model)
        self.names: dict[KeyPath, str] = {}
        self.values = self._adopt(model, values, call, (), ())

    def _adopt(
        self,
        model: type[BaseModel],
        values: Mapping[str, object],
        call: Callable[[KeyPath], str],
        parent: KeyPath,
        written_parent: KeyPath,
    ) -> dict[str, object]:
        """Copy a group, recording names; `written_parent` is `parent` as the source spells it."""
        adopted: dict[str, object] = {}
        for key, value in values.items():
            written = (*written_parent, str(key))
            proper = ALIASES.get(str(key), str(key)) if not parent else str(key)
            path = (*parent, proper)
            if path in self.names:
                raise SettingsError(f"{self.names[path]} and {call(written)} are the same setting; keep one of them")
            self.names[path] = call(written)
            if not parent and key in RENAMED:
                logger.warning(
                    "%s is now called %s; the old name still works, but please rename it", call(written), proper
                )
            group = group_of(model.model_fields.get(proper))
            if group is not None and (value is None or isinstance(value, Mapping)):
                # A group whose every line is commented out is null in YAML.
                adopted[proper] = self._adopt(group, value or {}, call, path, written)
            else:
                adopted[proper] = value
        return adopted

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Give one value, as the base class demands; `__call__` gives them all at once."""
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, object]:
        """Give all values that this source knows."""
        return self.values


class Arguments(Source):
    """Keyword arguments."""

    def __init__(self, model: type[BaseSettings], values: Mapping[str, object]) -> None:
        super().__init__(model, values, lambda path: f"argument {'.'.join(path)}")


class Environment(Source):
    """Variables `CHAINLOG_KEY` and `CHAINLOG_GROUP__KEY`.

    Raises:
        SettingsError: A variable starts with `CHAINLOG_` but is no setting, or is empty.
    """

    def __init__(self, model: type[BaseSettings], environ: Mapping[str, str]) -> None:
        known = {_variable(path): (path, field) for path, field in leaves(model)}
        known |= {_variable((old,)): ((old,), model.model_fields[new]) for old, new in RENAMED.items()}
        ours = sorted(name for name in environ if name.upper().startswith(PREFIX) and name not in RESERVED)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name in ours:
            if name not in known:
                if not _is_service_link(name, environ):
                    problems.append(_unknown_variable(name, model))
            elif not environ[name]:
                problems.append(f"environment variable {name} is empty; give it a value or unset it")
            else:
                (*groups, key), field = known[name]
                target = values
                for group in groups:
                    target = target.setdefault(group, {})
                target[key] = _from_text(field, environ[name])
        if problems:
            raise SettingsError("\n".join(problems))
        super().__init__(model, values, lambda path: f"environment variable {_variable(path)}")


def _variable(path: KeyPath) -> str:
    return PREFIX + NESTED.join(path).upper()


def _is_service_link(name: str, environ: Mapping[str, str]) -> bool:
    if "KUBERNETES_SERVICE_HOST" not in environ or not _SERVICE_LINK.fullmatch(name):
        return False
    return name != "CHAINLOG_PORT" or "://" in environ[name]


def _unknown_variable(name: str, model: type[BaseSettings]) -> str:
    near = did_you_mean(name[len(PREFIX) :].replace(NESTED, "."), [".".join(path) for path, _ in leaves(model)])
    remedy = f"did you mean {_variable(tuple(near.split('.')))}? If not, unset it" if near else "unset it or rename it"
    # The value stays unsaid: whoever misspells CHAINLOG_SERVER__API_KEYS would find the key in a log.
    return f"environment variable {name} is not a setting of chainlog-async; {remedy}"


def _from_text(field: FieldInfo, text: str) -> object:
    """Turn a variable's text into the field's type; text that does not fit is left for validation to name."""
    wanted: Any = field.annotation
    if text == "null" and NoneType in get_args(wanted):
        return None
    value = _list_from_text(text) if get_origin(wanted) in {list, tuple, set, frozenset} else text
    try:
        return TypeAdapter[object](wanted).validate_python(value)
    except ValidationError:
        return value


def _list_from_text(text: str) -> object:
    if not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",")]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
