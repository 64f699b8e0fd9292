"""How a mistake in the settings is told: the place, the key, the value and the remedy, and never an API key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from chainlog_async.errors import SettingsError
from chainlog_async.settings import Settings
from tests.support.settings_files import FIELDS, NUMBERS, SECRET, bounds, nested, refusal, value_of, write_yaml


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("CHAINLOG"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


# Values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"max_queue_sze": 5}, "argument max_queue_sze is not a setting; did you mean max_queue_size?"),
        ({"maxQueueSize": 5}, "argument maxQueueSize is not a setting; did you mean max_queue_size?"),
        ({"port": 5}, "argument port is not a setting; did you mean server.port?"),
        ({"zzz": 5}, f"argument zzz is not a setting; the settings are {', '.join(FIELDS)}"),
        (
            {"synchronous": "normal"},
            "argument synchronous is 'normal', but must be 'NORMAL' or 'FULL'; did you mean 'NORMAL'? (default NORMAL)",
        ),
        (
            {"max_readers": True},
            "argument max_readers is True, but must be a whole number from 1 to 64 (default 4)",
        ),
        (
            {"max_readers": "4"},
            "argument max_readers is '4', but must be a whole number from 1 to 64 (default 4)",
        ),
        (
            {"server": {"host": 0}},
            (
                "argument server.host is 0, but must be text; quote it if YAML would read a number or a boolean "
                "(default 127.0.0.1)"
            ),
        ),
        (
            {"server": 5},
            (
                "argument server must be a mapping of host, port, api_keys, cors_origins, max_body_bytes, "
                "max_metric_groups, max_connections, max_watchers, max_exports, max_buffered_bytes, "
                "header_timeout_ms, body_timeout_ms, write_timeout_ms"
            ),
        ),
        (
            {"server": {"host": "a b"}},
            (
                "argument server.host is 'a b', but must be one host name or address, such as 127.0.0.1 "
                "(default 127.0.0.1)"
            ),
        ),
    ],
)
def test_a_wrong_argument_is_told_with_its_name_value_and_remedy(values: Mapping[str, object], expected: str) -> None:
    """`Settings(...)` and `Settings.load(...)` both raise SettingsError, never pydantic's own."""
    assert refusal(**values) == expected
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    assert str(caught.value) == expected


@pytest.mark.parametrize("dotted", NUMBERS)
def test_numbers_are_kept_within_their_bounds(dotted: str) -> None:
    """Each number accepts both of its bounds and refuses what lies just outside, naming them."""
    low, high = bounds(dotted)
    for bound in (low, high):
        assert value_of(Settings(**nested(dotted, bound)), dotted) == bound
    for outside in (low - 1, high + 1):
        message = refusal(**nested(dotted, outside))
        assert f"argument {dotted} is {outside}, but must be a whole number from {low} to {high}" in message


def test_every_wrong_value_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistakes in three places make one error of three lines, each with its own place."""
    path = write_yaml(tmp_path, "settings: {max_batch_size: 0}")
    monkeypatch.setenv("CHAINLOG_FLUSH_INTERVAL_MS", "soon")
    places = [line.split(" is ")[0] for line in refusal(path, on_full="block").splitlines()]
    assert places == [
        f"{path}, line 1: settings.max_batch_size",
        "environment variable CHAINLOG_FLUSH_INTERVAL_MS",
        "argument on_full",
    ]


@pytest.mark.parametrize(
    "path", ["", ".", "..", "a/..", ":memory:", "file:a.db?mode=memory", "a\0b", "~nobody-such/a.db"]
)
def test_db_path_must_be_a_file(path: str) -> None:
    """What SQLite would keep in memory, or take for a folder, is refused before any entry is lost in it."""
    message = refusal(db_path=path)
    assert message.startswith(f"argument db_path is {path!r}, but must be ")


# The file


@pytest.mark.parametrize(
    ("text", "section", "expected"),
    [
        ("[1]", "settings", "is not a mapping; put the settings under the key settings"),
        ("setting: {}", "settings", "has no section 'settings'; did you mean 'setting'?"),
        ("db_path: a.db", "settings", "has no section 'settings'; indent the settings under the key settings"),
        ("a: {b: 1}", "a.x", "has no section 'a.x'; put the settings under the key a.x"),
        ("a: 1", "a.x", "has no section 'a.x': a is not a mapping; put the settings under the key a.x"),
        ("settings: [1]", "settings", ", line 1: settings is a list, but must be a mapping of settings"),
        ("settings: 5", "settings", ", line 1: settings is a single value, but must be a mapping of settings"),
        ("settings: {}\nsettings: {}", "settings", ", line 2, column 1: the key settings is given twice; keep one"),
        (
            "settings:\n  server: {port: 1, port: 2}",
            "settings",
            ", line 2, column 21: the key port is given twice; keep one",
        ),
        (
            "settings:\n  dbPath: a\n  db_path: b",
            "settings",
            ", line 2: settings.dbPath and {path}, line 3: settings.db_path are the same setting; keep one of them",
        ),
        (
            "settings:\n\tdb_path: a",
            "settings",
            (
                ", line 2, column 1: bad YAML, found character '\\t' that cannot start any token; "
                "check for a missing quote or colon, wrong indentation or a tab, here or just above"
            ),
        ),
        (
            "settings:\n  db_path: 2024-13-45",
            "settings",
            ", line 2, column 12: not a valid value of its YAML type; quote it",
        ),
        ("[" * 10_000, "settings", "is nested too deeply to be read; flatten it"),
        (
            "settings:\n  server:\n    prot: 1",
            "settings",
            ", line 3: settings.server.prot is not a setting; did you mean server.port?",
        ),
        (
            "obs:\n  log:\n    max_batch_size: many",
            "obs.log",
            ", line 3: obs.log.max_batch_size is 'many', but must be a whole number from 1 to 100000 (default 1000)",
        ),
        (
            "base: &base {port: 1}\nsettings:\n  server:\n    <<: *base\n    port: -1",
            "settings",
            ", line 5: settings.server.port is -1, but must be a whole number from 0 to 65535 (default 4290)",
        ),
        (
            "settings:\n  dbPath: 5",
            "settings",
            ", line 2: settings.dbPath is 5, but must be a path (default data/observability.db)",
        ),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place_and_remedy(
    text: str, section: str, expected: str, tmp_path: Path
) -> None:
    """Every mistake in a file names the file, the line where there is one, the key, the value and what to do."""
    path = write_yaml(tmp_path, text)
    separator = "" if expected.startswith(",") else " "
    assert refusal(path, section) == f"{path}{separator}{expected.replace('{path}', str(path))}"


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    """A file that was named and is missing is not taken for an empty one."""
    path = tmp_path / "none.yaml"
    assert refusal(path) == f"{path} does not exist; create it, or name the file that holds the settings"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in the file's place is told with the system's reason."""
    assert refusal(tmp_path) == f"{tmp_path} cannot be read: Is a directory; name a readable YAML file"


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are told with their position."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"settings: {db_path: caf\xe9.db}")
    assert refusal(path) == f"{path}, byte 23: not text, invalid continuation byte; save it as UTF-8"


@pytest.mark.parametrize("section", ["", ".", "a..b", "settings."])
def test_a_section_must_be_a_dotted_name(section: str, tmp_path: Path) -> None:
    """A section with an empty part is refused before the file is opened."""
    assert refusal(write_yaml(tmp_path, ""), section).startswith(f"section {section!r} is not a dotted name")


# Secrets


@pytest.mark.parametrize(
    "line",
    [
        f"server: {{api_keys: {SECRET}}}",
        f"server: {{api_keys: ['{SECRET} ']}}",
        f"server: {{api_keys: [[{SECRET}]]}}",
        f"server: {{api_keys: {{{SECRET}: 1}}}}",
        f"server: {{api_keys: [*{SECRET}]}}",
        f"server: {{api_keys: [!{SECRET} x]}}",
        f"server: {{api_key: {SECRET}}}",
        f"api_keys: [{SECRET}]",
        f"server: {SECRET}",
        f"server: [{SECRET}]",
    ],
)
def test_an_api_key_is_never_shown_by_an_error(line: str, tmp_path: Path) -> None:
    """However wrongly a key is written into the file, the error does not repeat it."""
    assert SECRET not in refusal(write_yaml(tmp_path, f"settings:\n  {line}\n"))


@pytest.mark.parametrize("text", [f"{SECRET} x", f'["{SECRET}', f"{SECRET},,", f'[["{SECRET}"]]', f'["{SECRET}", 5]'])
def test_an_api_key_in_a_variable_is_never_shown_by_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However wrongly a key is written into its variable, the error names the variable alone."""
    monkeypatch.setenv("CHAINLOG_SERVER__API_KEYS", text)
    message = refusal()
    assert "CHAINLOG_SERVER__API_KEYS" in message
    assert SECRET not in message
