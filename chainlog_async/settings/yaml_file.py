"""Settings from one section of a YAML file, each with its line number."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic_settings import BaseSettings

from chainlog_async.common.spelling import did_you_mean
from chainlog_async.errors import SettingsError

from .schema import KeyPath
from .sources import ALIASES, Source


class YamlSection(Source):
    """One section of a YAML file.

    Only this section is validated: the rest of the file may hold any tags, duplicates and types.

    Raises:
        SettingsError: The file cannot be read, is not YAML, or has no such section.
    """

    def __init__(self, model: type[BaseSettings], path: Path, section: str) -> None:
        if not all(section.split(".")):
            raise SettingsError(f"section {section!r} is not a dotted name, such as 'settings' or 'observability.logs'")
        node, values = _read_section(model, path, section)

        def call(key: KeyPath) -> str:
            return f"{path}, line {_line(node, key)}: {section}.{'.'.join(key)}"

        super().__init__(model, values, call)


class _SectionError(yaml.MarkedYAMLError):
    """A mistake that PyYAML accepts, or reports without a line; its problem includes the remedy."""


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):
            # PyYAML raises these for `2024-13-45`, `!!bool maybe` and `!!timestamp soon`, without a line.
            raise _SectionError(
                problem="not a valid value of its YAML type; quote it", problem_mark=node.start_mark
            ) from None


def _read_section(model: type[BaseSettings], path: Path, section: str) -> tuple[yaml.Node | None, dict[str, object]]:
    """Returns the node of the section, for its line numbers, and its values."""
    try:
        loader = _Loader(path.read_bytes())
        node = _find_section(model, path, section, loader.get_single_node())
        if node is None:
            return None, {}
        _refuse_duplicates(node, set())
        values = loader.construct_document(node)
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist; create it, or name the file that holds the settings") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; name a readable YAML file") from None
    except yaml.MarkedYAMLError as error:
        raise SettingsError(f"{path}, {_place(error)}: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        raise SettingsError(f"{path}, byte {error.position}: not text, {error.reason}; save it as UTF-8") from None
    except RecursionError:
        raise SettingsError(f"{path} is nested too deeply to be read; flatten it") from None
    if values is None:
        return node, {}
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a single value"
        raise SettingsError(f"{path}, line {_line(node, ())}: {section} is {kind}, but must be a mapping of settings")
    return node, values


def _find_section(model: type[BaseSettings], path: Path, section: str, root: yaml.Node | None) -> yaml.Node | None:
    """Returns the node of the section, or None if the file is empty."""
    node = root
    walked: list[str] = []
    for part in section.split(".") if root is not None else ():
        if not isinstance(node, yaml.MappingNode):
            problem = f"has no section {section!r}: {'.'.join(walked)} is" if walked else "is"
            raise SettingsError(f"{path} {problem} not a mapping; put the settings under the key {section}")
        found = [(key, value) for key, value in node.value if key.value == part]
        walked.append(part)
        if not found:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            raise SettingsError(f"{path} has no section {'.'.join(walked)!r}; {_section_remedy(model, section, keys)}")
        if len(found) > 1:
            raise _duplicate(found[1][0])
        node = found[0][1]
    return node


def _section_remedy(model: type[BaseSettings], section: str, keys: list[str]) -> str:
    """Returns the remedy for a missing section; `keys` are those next to it."""
    if any(ALIASES.get(key, key) in model.model_fields for key in keys):
        return f"indent the settings under the key {section}"
    near = did_you_mean(section, keys)
    return f"did you mean {near!r}?" if near else f"put the settings under the key {section}"


def _refuse_duplicates(node: yaml.Node, seen: set[yaml.Node]) -> None:
    if node in seen:
        return
    seen.add(node)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise _duplicate(key)
            keys.add(str(key.value))
            _refuse_duplicates(value, seen)


def _duplicate(key: yaml.Node) -> _SectionError:
    return _SectionError(problem=f"the key {key.value} is given twice; keep one", problem_mark=key.start_mark)


def _line(node: yaml.Node | None, path: KeyPath) -> int:
    """Returns the line of a key, from 1; if it is not written as such (`on:` is True), that of its nearest parent."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        # The last one wins: keys from a merge (<<) stand before the mapping's own.
        found = next(((key, value) for key, value in reversed(pairs) if key.value == part), None)
        if found is None:
            break
        line = found[0].start_mark.line + 1
        node = found[1]
    return line


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it cannot be parsed"
    if isinstance(error, _SectionError):
        return problem
    # PyYAML's message quotes an unknown alias or tag, which may be an unquoted API key that starts with * or !.
    unquoted = re.sub(r""" ?(?P<quote>['"])[^'"<\\][^'"]+(?P=quote)""", "", problem)
    if unquoted != problem:
        return f"bad YAML, {unquoted}; quote text that starts with * or !"
    return f"bad YAML, {problem}; check for a missing quote or colon, wrong indentation or a tab, here or just above"
