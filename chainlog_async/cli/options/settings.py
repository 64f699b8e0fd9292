"""Options that all commands share: where the settings come from, ``--json``, and examples."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

from chainlog_async.errors import SettingsError
from chainlog_async.settings import Settings

_P = ParamSpec("_P")
_R = TypeVar("_R")

CONFIG_VARIABLE = "CHAINLOG_CONFIG"
DEFAULT_CONFIG = Path("config.yaml")


@dataclass(frozen=True, slots=True)
class SettingsOptions:
    """Where the settings of a command come from."""

    file: Path | None
    """The YAML file; None means only environment and defaults."""
    section: str
    """The mapping in the file that holds the settings, dotted when nested."""
    db: Path | None
    """The database file of ``--db``, which overrides every other source; None if not given."""
    db_url: str | None = None
    """The URL of ``--db-url``, which overrides every other source; None if not given."""

    def load(self, **overrides: object) -> Settings:
        """Loads the settings; `overrides` take precedence over the file and the environment. Raises `SettingsError`."""
        if self.db is not None:
            overrides |= {"db_path": self.db, "db_url": None}
        if self.db_url is not None:
            overrides |= {"db_url": self.db_url, "read_url": None}
        return Settings.load(self.file, section=self.section, **overrides)

    def load_here(self, **overrides: object) -> Settings:
        """Like `load`, for a command that works on the database itself. Raises `SettingsError` for a remote log."""
        settings = self.load(**overrides)
        if settings.engine == "remote":
            raise SettingsError(
                f"this command works on the database itself, and the log is kept by {settings.database}: run it on "
                "that host, or name a file with --db"
            )
        return settings

    def load_file(self, in_postgres: str = "use the tools of that database", **overrides: object) -> Settings:
        """Like `load`, for a command that works on a SQLite file. Raises `SettingsError` for any other engine.

        `in_postgres` is what to do instead where the log is in PostgreSQL.
        """
        settings = self.load_here(**overrides)
        if settings.engine != "sqlite":
            raise SettingsError(
                f"this command works on a database file, and the log is kept by {settings.database}: {in_postgres}, "
                "or name a file with --db"
            )
        return settings


def settings_options(command: Callable[Concatenate[SettingsOptions, _P], _R]) -> Callable[_P, _R]:
    """Adds ``--config``, ``--section``, ``--db`` and ``--db-url``, which the command receives as `SettingsOptions`."""

    @click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        metavar="FILE",
        help=f"YAML file with the settings.  [default: ${CONFIG_VARIABLE}, else ./{DEFAULT_CONFIG} if it exists]",
    )
    @click.option(
        "--section",
        default="settings",
        show_default=True,
        metavar="NAME",
        help="Section of that file to read; dotted when nested, as in gateway.logging.",
    )
    @click.option("--db", type=click.Path(path_type=Path), metavar="FILE", help="Use this database file instead.")
    @click.option("--db-url", metavar="URL", help="Use this log instead: http(s)://HOST:PORT or postgresql://…")
    @functools.wraps(command)
    def with_options(
        config: Path | None, section: str, db: Path | None, db_url: str | None, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        if db is not None and db_url is not None:
            raise click.UsageError("--db and --db-url name two logs; give one of them")
        if config is None and DEFAULT_CONFIG.is_file():
            config = DEFAULT_CONFIG
        return command(SettingsOptions(config, section, db, db_url), *args, **kwargs)

    # click calls it with keywords only, which a ParamSpec cannot express.
    return with_options  # type: ignore[return-value]  # the four extra keywords come from the options above


def json_option(what: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Adds ``--json``, passed on as ``as_json``; `what` describes the JSON that is printed."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print JSON: {what}.")


def examples(*lines: str) -> str:
    """Returns an epilog of examples that click prints unchanged."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
