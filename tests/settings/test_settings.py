"""What is promised about settings: where they come from, which place wins, and that they cannot be changed."""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from chainlog_async.settings import ServerSettings, Settings
from tests.support.settings_files import FIELDS, NUMBERS, SECRET, bounds, nested, refusal, value_of, write_yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.yaml"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("CHAINLOG"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


# The example file


def test_the_example_equals_the_defaults() -> None:
    """config.example.yaml says for every setting what it is when nobody says anything."""
    assert Settings.load(EXAMPLE) == Settings()


def test_the_example_names_every_setting_and_nothing_else() -> None:
    """A setting that is added without a line in config.example.yaml is noticed."""
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert list(content) == ["settings"]
    named = [
        f"{key}.{inner}" if isinstance(value, dict) else key
        for key, value in content["settings"].items()
        for inner in (value if isinstance(value, dict) else [""])
    ]
    assert named == list(FIELDS)


@pytest.mark.parametrize("dotted", FIELDS)
def test_the_example_documents_each_setting_with_its_unit(dotted: str) -> None:
    """Each setting in config.example.yaml stands under a comment, which names the unit and the bounds of a number."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    key = dotted.rpartition(".")[2]
    position = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    comment = ""
    while lines[position - 1].strip().startswith("#"):
        position -= 1
        comment = lines[position] + comment
    assert comment
    if dotted in NUMBERS:
        unit = {"ms": "ms", "bytes": "bytes"}.get(key.rpartition("_")[2], "")
        low, high = bounds(dotted)
        assert unit in comment
        assert f"{low} to {high}" in comment


@pytest.mark.parametrize("dotted", FIELDS)
def test_each_setting_describes_itself(dotted: str) -> None:
    """Every field carries a description, for help texts and schemas."""
    assert FIELDS[dotted].description


# Which place wins


@given(
    dotted=st.sampled_from([name for name in NUMBERS if not name.endswith("bytes")]),
    argument=st.none() | st.integers(1, 64),
    variable=st.none() | st.integers(1, 64),
    in_file=st.none() | st.integers(1, 64),
)
def test_arguments_win_over_variables_over_the_file_over_defaults(
    dotted: str, argument: int | None, variable: int | None, in_file: int | None
) -> None:
    """Whatever subset of places knows a setting, the first of arguments, variables, file, default decides."""
    given_values = [value for value in (argument, variable, in_file) if value is not None]
    content = {"settings": {} if in_file is None else nested(dotted, in_file)}
    overrides = {} if argument is None else nested(dotted, argument)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        if variable is not None:
            patch.setenv("CHAINLOG_" + dotted.replace(".", "__").upper(), str(variable))
        settings = Settings.load(path, "settings", **overrides)
    expected = given_values[0] if given_values else value_of(Settings.model_construct(), dotted)
    assert value_of(settings, dotted) == expected


def test_groups_are_merged_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable or argument for one key of `server` leaves its other keys as the file has them."""
    path = write_yaml(tmp_path, "settings: {server: {host: localhost, port: 1, max_body_bytes: 2048}}")
    monkeypatch.setenv("CHAINLOG_SERVER__PORT", "2")
    server = Settings.load(path, server={"max_body_bytes": 4096}).server
    assert (server.host, server.port, server.max_body_bytes) == ("localhost", 2, 4096)


def test_a_finished_group_may_be_given_whole(tmp_path: Path) -> None:
    """ServerSettings as an argument stands for all of its keys."""
    path = write_yaml(tmp_path, "settings: {server: {host: localhost}}")
    assert Settings.load(path, server=ServerSettings(port=7)).server == ServerSettings(port=7)


@pytest.mark.parametrize("name", ["db_path", "dbPath"])
def test_both_spellings_of_db_path_keep_the_precedence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name dbPath is db_path in the file and as an argument, and wins over or loses to a variable just the same."""
    path = write_yaml(tmp_path, f"settings: {{{name}: file.db}}")
    assert Settings.load(path).db_path == Path("file.db")
    monkeypatch.setenv("CHAINLOG_DB_PATH", "variable.db")
    assert Settings.load(path).db_path == Path("variable.db")
    assert Settings.load(path, **{name: "argument.db"}).db_path == Path("argument.db")
    assert Settings(**{name: Path("argument.db")}).db_path == Path("argument.db")


def test_give_way_is_still_understood_and_said_to_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old name of yield_gil works in the file, as an argument and as a variable, with one line in the log each."""
    path = write_yaml(tmp_path, "settings: {give_way: false}")
    assert not Settings.load(path).yield_gil
    assert not Settings(give_way=False).yield_gil
    monkeypatch.setenv("CHAINLOG_GIVE_WAY", "false")
    assert not Settings().yield_gil
    assert [record.getMessage().partition(" has been renamed to yield_gil")[0] for record in caplog.records] == [
        f"{path}, line 1: settings.give_way",
        "argument give_way",
        "environment variable CHAINLOG_GIVE_WAY",
    ]


def test_two_spellings_of_one_setting_are_refused() -> None:
    """db_path and dbPath in one place would leave open which is meant."""
    assert (
        refusal(db_path="a", dbPath="b")
        == "argument db_path and argument dbPath are the same setting; keep one of them"
    )


# Environment variables


@pytest.mark.parametrize("text", ["one,two", " one , two ", '["one", "two"]'])
def test_api_keys_come_from_a_variable_as_json_or_commas(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several keys fit into one variable, either way of writing a list."""
    monkeypatch.setenv("CHAINLOG_SERVER__API_KEYS", text)
    assert Settings().server.api_keys == (SecretStr("one"), SecretStr("two"))


def test_no_api_keys_can_be_said_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty JSON list takes the file's keys away."""
    monkeypatch.setenv("CHAINLOG_SERVER__API_KEYS", "[]")
    assert Settings.load(write_yaml(tmp_path, "settings: {server: {api_keys: [one]}}")).server.api_keys == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CHAINLOG_DBPATH", "CHAINLOG_DB_PATH"),
        ("chainlog_db_path", "CHAINLOG_DB_PATH"),
        ("CHAINLOG_MAX_BACTH_SIZE", "CHAINLOG_MAX_BATCH_SIZE"),
        ("CHAINLOG_PORT", "CHAINLOG_SERVER__PORT"),
        ("CHAINLOG_SERVER_PORT", "CHAINLOG_SERVER__PORT"),
        ("CHAINLOG_API_KEYS", "CHAINLOG_SERVER__API_KEYS"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt variable is not passed over, and its value, which may be a key, is not shown."""
    monkeypatch.setenv(name, SECRET)
    message = refusal()
    assert message == (
        f"environment variable {name} is not a setting of chainlog-async; did you mean {meant}? If not, unset it"
    )


def test_all_wrong_variables_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt is enough to see every unknown or empty variable."""
    monkeypatch.setenv("CHAINLOG_ZZZ", "1")
    monkeypatch.setenv("CHAINLOG_DB_PATH", "")
    assert refusal().splitlines() == [
        "environment variable CHAINLOG_DB_PATH is empty; give it a value or unset it",
        "environment variable CHAINLOG_ZZZ is not a setting of chainlog-async; unset it or rename it",
    ]


def test_the_command_lines_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHAINLOG_CONFIG names the file for the command line and is neither read nor refused here."""
    monkeypatch.setenv("CHAINLOG_CONFIG", "/nowhere.yaml")
    assert Settings() == Settings.model_construct()


def test_variables_that_kubernetes_sets_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kubernetes service called chainlog does not keep the pods beside it from starting."""
    links = {
        "CHAINLOG_SERVICE_HOST": "10.0.0.1",
        "CHAINLOG_SERVICE_PORT": "4290",
        "CHAINLOG_SERVICE_PORT_HTTP": "4290",
        "CHAINLOG_PORT": "tcp://10.0.0.1:4290",
        "CHAINLOG_PORT_4290_TCP": "tcp://10.0.0.1:4290",
        "CHAINLOG_PORT_4290_TCP_ADDR": "10.0.0.1",
    }
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    assert len(refusal().splitlines()) == len(links)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.2")
    assert Settings() == Settings.model_construct()
    monkeypatch.setenv("CHAINLOG_PORT", "4290")
    assert "did you mean CHAINLOG_SERVER__PORT?" in refusal()


# The file


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "settings:\n", "settings: {}\n", "settings:\n  server:\n"])
def test_a_file_that_says_nothing_means_the_defaults(text: str, tmp_path: Path) -> None:
    """An empty file, section or group, as is left when every line is commented out, is no mistake."""
    assert Settings.load(write_yaml(tmp_path, text)) == Settings()


def test_a_section_inside_a_gateways_own_file(tmp_path: Path) -> None:
    """A dotted section is found, and whatever stands around it, even what only the gateway can read, is ignored."""
    path = write_yaml(
        tmp_path, "a: 1\na: !gateway 2\nobservability:\n  other: {zzz: 1}\n  chainlog: {max_batch_size: 7}\n"
    )
    assert Settings.load(path, "observability.chainlog").max_batch_size == 7


def test_yaml_merge_keys_work(tmp_path: Path) -> None:
    """Settings may be taken over from an anchor elsewhere in the file, and a key of one's own wins over them."""
    path = write_yaml(tmp_path, "base: &base {port: 1, host: a}\nsettings:\n  server: {<<: *base, host: b}\n")
    assert Settings.load(path).server == ServerSettings(port=1, host="b")


# Values


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` in db_path, which no shell has seen in a YAML file, is the home folder."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert Settings(db_path="~/a.db").db_path == Path("/home/someone/a.db")


def test_api_keys_are_hidden_when_settings_are_shown() -> None:
    """Neither repr nor str nor a dump to JSON gives a key away."""
    settings = Settings(server={"api_keys": [SECRET]})
    assert settings.server.api_keys == (SecretStr(SECRET),)
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_settings_cannot_be_changed() -> None:
    """Settings are values: frozen all the way down, hashable, equal when equal, and they survive copy and pickle."""
    settings = Settings(server={"api_keys": [SECRET]})
    with pytest.raises(ValidationError):
        setattr(settings, "max_readers", 5)  # noqa: B010 - mypy would refuse the assignment, which is the point
    with pytest.raises(ValidationError):
        setattr(settings.server, "port", 5)  # noqa: B010 - as above
    twin = Settings(server={"api_keys": (SECRET,)})
    assert hash(settings) == hash(twin)
    assert settings == twin == copy.deepcopy(settings) == pickle.loads(pickle.dumps(settings))
