"""The command itself: help, version, where the settings come from, and how errors are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import chainlog_async
from chainlog_async.cli import chainlog
from chainlog_async.cli.app import Commands
from chainlog_async.common.extras import install_command
from chainlog_async.errors import ChainlogError, DatabaseError, SettingsError
from tests.support.cli import ROOT, Cli, entry

COMMANDS = chainlog.list_commands(click.Context(chainlog))


def _yaml(cli: Cli, name: str, db: str, section: str = "settings") -> Path:
    path = cli.folder / name
    path.write_text(f"{section}: {{db_path: {db}}}\n")
    return path


def _database(cli: Cli, *args: str | Path, env: dict[str, str] | None = None) -> str:
    """Which database a command takes."""
    return Path(str(cli.json("migrate", *args, db=False, env=env)["database"])).name


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_teaches(command: str | None) -> None:
    """Every command's --help says what it does and has examples that begin with the command itself."""
    result = CliRunner().invoke(chainlog, ["--help"] if command is None else [command, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"chainlog {command or 'serve'}" in result.stdout.partition("Examples:")[2]
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_every_command_is_in_the_overview() -> None:
    """`chainlog --help` names each command with a whole sentence."""
    overview = CliRunner().invoke(chainlog, ["--help"]).stdout
    for command in COMMANDS:
        (line,) = (line for line in overview.splitlines() if line.startswith(f"  {command} "))
        assert line.endswith(".")
        assert "..." not in line


def test_only_the_command_that_is_called_is_imported() -> None:
    """Whoever asks for usage does not wait for the libraries of an import."""
    program = (
        "import sys; from chainlog_async.cli import chainlog;"
        "chainlog.main(['usage', '--help'], standalone_mode=False);"
        "print(*(name for name in sys.modules if name.startswith('chainlog_async.cli.commands.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    package = "chainlog_async.cli.commands"
    assert set(done.stderr.split()) == {f"{package}.usage", f"{package}.usage_over_time"}


def test_every_module_of_commands_is_called_by_a_name() -> None:
    """A new module that nobody can call is noticed here."""
    modules = {path.stem for path in (ROOT / "chainlog_async" / "cli" / "commands").glob("[a-z]*.py")}
    assert modules - {"usage_over_time"} == {place.partition(":")[0] for place in Commands.places.values()}


def test_the_version_is_the_package_s(cli: Cli) -> None:
    """`chainlog --version` says the package's name and version."""
    assert cli.run("--version", db=False).stdout == f"chainlog-async {chainlog_async.__version__}\n"


def test_settings_are_looked_for_in_order(cli: Cli) -> None:
    """--db wins over --config, that over CHAINLOG_CONFIG, that over ./config.yaml, that over the defaults."""
    assert _database(cli) == "observability.db"
    _yaml(cli, "config.yaml", "from-folder.db")
    assert _database(cli) == "from-folder.db"
    env = {"CHAINLOG_CONFIG": str(_yaml(cli, "other.yaml", "from-variable.db"))}
    assert _database(cli, env=env) == "from-variable.db"
    option = _yaml(cli, "option.yaml", "from-option.db")
    assert _database(cli, "--config", option, env=env) == "from-option.db"
    assert _database(cli, "--config", option, "--db", "from-db.db", env=env) == "from-db.db"


def test_a_variable_wins_over_the_file_and_db_over_both(cli: Cli) -> None:
    """CHAINLOG_DB_PATH is stronger than the file, and --db stronger than that."""
    _yaml(cli, "config.yaml", "from-folder.db")
    env = {"CHAINLOG_DB_PATH": "from-variable.db"}
    assert _database(cli, env=env) == "from-variable.db"
    assert _database(cli, "--db", "from-db.db", env=env) == "from-db.db"


def test_settings_inside_a_gateway_s_own_file(cli: Cli) -> None:
    """--section finds them under any dotted name."""
    (cli.folder / "gateway.yaml").write_text("gateway: {logging: {db_path: gateway.db}, port: 1}\n")
    assert _database(cli, "--config", "gateway.yaml", "--section", "gateway.logging") == "gateway.db"


@pytest.mark.parametrize("command", [[name] for name in COMMANDS if name not in {"copy", "import"}])
def test_a_config_that_is_missing_is_an_error(cli: Cli, command: list[str]) -> None:
    """A file that was named and is not there is told by name, ends with 1, and nothing is made."""
    needed = {
        "backup": ["backup.db"],
        "export": ["requests.csv"],
        "prices": ["list"],
        "session": ["1"],
        "show": ["1"],
        "sql": ["SELECT 1"],
    }
    arguments = needed.get(command[0], [])
    done = cli.here(*command, *arguments, "--config", "nowhere.yaml")
    assert done.code == 1
    assert done.stderr.startswith("error: nowhere.yaml")
    assert not cli.db.exists()


def test_several_problems_are_a_line_each(cli: Cli) -> None:
    """Every wrong setting is told, each on a line that begins with error."""
    (cli.folder / "config.yaml").write_text("settings: {max_batch_size: many, db_pat: x}\n")
    done = cli.run("usage", db=False)
    assert done.code == 1
    assert len(done.stderr.splitlines()) == 2
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("args", "code"), [(["usag"], 2), (["usage", "everything"], 2), (["recent", "-n", "-1"], 2), (["--nope"], 2)]
)
def test_misuse_ends_with_2(args: list[str], code: int) -> None:
    """An unknown command, option or value is a usage error."""
    assert CliRunner().invoke(chainlog, args).exit_code == code


@pytest.fixture
def failing() -> Iterator[click.Group]:
    """The group with a command that raises what it is told to."""
    errors: dict[str, BaseException] = {
        "ours": DatabaseError("the disk is \x1b[31mfull\nand old"),
        "system": PermissionError(13, "Permission denied", "/etc/x"),
        "group": ExceptionGroup("", [SettingsError("one"), ExceptionGroup("", [ChainlogError("two")])]),
        "bug": ZeroDivisionError("a bug"),
        "mixed": ExceptionGroup("", [SettingsError("one"), ZeroDivisionError("a bug")]),
    }

    @chainlog.command("fail")
    @click.argument("name")
    def fail(name: str) -> None:
        raise errors[name]

    yield chainlog
    del chainlog.commands["fail"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ours", "error: the disk is \\x1b[31mfull\nerror: and old\n"),
        ("system", "error: /etc/x: Permission denied\n"),
        ("group", "error: one\nerror: two\n"),
    ],
)
def test_what_went_wrong_is_a_sentence(failing: click.Group, name: str, says: str) -> None:
    """Our errors and the system's, alone or in groups, are a sentence on stderr and exit code 1."""
    result = CliRunner().invoke(failing, ["fail", name])
    assert (result.exit_code, result.output) == (1, says)


@pytest.mark.parametrize("name", ["bug", "mixed"])
def test_a_bug_keeps_its_traceback(failing: click.Group, name: str) -> None:
    """What is a mistake of ours is not dressed up as the user's."""
    result = CliRunner().invoke(failing, ["fail", name])
    assert isinstance(result.exception, ZeroDivisionError | ExceptionGroup)


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_how_to_get_it(missing: str) -> None:
    """Where click or rich is not installed, the command says what to install and ends with 2."""
    code = f"import sys; sys.modules[{missing!r}] = None; from chainlog_async.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: the command line needs {missing}; {install_command('server')}\n"


def test_a_terminal_that_is_not_utf8_is_no_error(cli: Cli) -> None:
    """Where a character cannot be printed its escape is, and the command goes on."""
    cli.store(entry(provider_id="日本"))
    done = cli.run("usage", "providers", env={"PYTHONIOENCODING": "latin-1"})
    assert done.code == 0
    assert "\\u65e5\\u672c" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("usge",), "there is no command 'usge'; did you mean chainlog usage?"),
        (("help",), "there is no command 'help'; did you mean chainlog --help?"),
        (("server",), "did you mean chainlog serve?"),
        (("purge",), "there is no command 'purge'; did you mean chainlog prune?"),
        (("stats",), "did you mean chainlog usage?"),
        (("logs",), "did you mean chainlog recent?"),
        (("repair",), "did you mean chainlog rebuild?"),
        (("compact",), "did you mean chainlog vacuum?"),
        (("dashboards",), f"there is no command 'dashboards'; the commands are {', '.join(COMMANDS)}."),
        (("journal", "repaly"), "there is no command 'repaly'; did you mean chainlog journal replay?"),
        (("rejected", "zzz"), "there is no command 'zzz'; the commands are delete, retry."),
        (("export", "--format", "json", "x"), "did you mean 'jsonl'?"),
    ],
)
def test_an_unknown_word_is_answered_with_the_one_that_was_meant(arguments: tuple[str, ...], told: str) -> None:
    """Commands, subcommands and choices that do not exist are a misuse that says what there is."""
    result = CliRunner().invoke(chainlog, arguments)
    assert (result.exit_code, told in " ".join(result.stderr.split())) == (2, True), result.stderr
