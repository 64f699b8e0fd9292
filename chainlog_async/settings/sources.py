"""Arguments and environment variables as sources of settings; `yaml_file` has the YAML file.

Each source keeps the name of each value as its user knows it, so that an error can name the line or the variable.
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

from chainlog_async.common.spelling import did_you_mean
from chainlog_async.common.sqlite import MODULE_VARIABLE, MODULES
from chainlog_async.errors import SettingsError

from .schema import KeyPath, group_of, leaves

PREFIX: Final = "CHAINLOG_"
NESTED: Final = "__"
RESERVED: Final = frozenset({"CHAINLOG_CONFIG", MODULE_VARIABLE})
RENAMED: Final = {"give_way": "yield_gil"}
"""Settings that have been renamed: the old name is still accepted, with a warning in the log."""
ALIASES: Final = {"dbPath": "db_path", **RENAMED}

logger = logging.getLogger(__name__)

# Kubernetes sets these variables in every pod next to a service named "chainlog".
_SERVICE_LINK: Final = re.compile(
    r"CHAINLOG(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


class Source(PydanticBaseSettingsSource):
    """Values from one place by the names of their settings, and what each is called in that place."""

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
        """Copies a group and records its names; `written_parent` is `parent` as the source spells it."""
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
                    "%s has been renamed to %s; the old name still works, but please change it", call(written), proper
                )
            group = group_of(model.model_fields.get(proper))
            if group is not None and (value is None or isinstance(value, Mapping)):
                # In YAML, a group with every line commented out is null.
                adopted[proper] = self._adopt(group, value or {}, call, path, written)
            else:
                adopted[proper] = value
        return adopted

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Returns one value, as the base class requires; `__call__` returns all of them."""
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, object]:
        """Returns all values of this source."""
        return self.values


class Arguments(Source):
    """Settings from keyword arguments."""

    def __init__(self, model: type[BaseSettings], values: Mapping[str, object]) -> None:
        super().__init__(model, values, lambda path: f"argument {'.'.join(path)}")


class Environment(Source):
    """Settings from variables named `CHAINLOG_KEY` and `CHAINLOG_GROUP__KEY`.

    Raises:
        SettingsError: A variable starts with `CHAINLOG_` but is not a setting, or is empty.
    """

    def __init__(self, model: type[BaseSettings], environ: Mapping[str, str]) -> None:
        known = {_variable(path): (path, field) for path, field in leaves(model)}
        known |= {_variable((old,)): ((old,), model.model_fields[new]) for old, new in RENAMED.items()}
        ours = sorted(name for name in environ if name.upper().startswith(PREFIX) and name not in RESERVED)
        values: dict[str, Any] = {}
        problems: list[str] = []
        if environ.get(MODULE_VARIABLE, MODULES[0]) not in MODULES:
            problems.append(f"environment variable {MODULE_VARIABLE} is not one of {' and '.join(MODULES)}; unset it")
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
    # The value is left out: for a misspelt CHAINLOG_SERVER__API_KEYS it would put a key into a log.
    return f"environment variable {name} is not a setting of chainlog-async; {remedy}"


def _from_text(field: FieldInfo, text: str) -> object:
    """Converts the text of a variable to the type of the field; text that does not fit is left for validation."""
    wanted: Any = field.annotation
    if text == "null" and NoneType in get_args(wanted):
        return None
    value: object = text
    if get_origin(wanted) in {list, tuple, set, frozenset}:
        value = _list_from_text(text)
    elif get_origin(wanted) is dict:
        value = _from_json(text)
    try:
        return TypeAdapter[object](wanted).validate_python(value)
    except ValidationError:
        return value


def _list_from_text(text: str) -> object:
    if not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",")]
    return _from_json(text)


def _from_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
