"""What chainlog-async can be told: every setting, its unit, its bounds and its default.

Four places are asked, and the first that knows a setting decides: arguments, environment variables (`CHAINLOG_…`),
the YAML file, the default below. To add a setting, add a field here and a line to `config.example.yaml`.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chainlog_async.entry.redaction import Redactor
from chainlog_async.errors import SettingsError

from .messages import explain
from .sources import Arguments, Environment, Source
from .yaml_file import YamlSection

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


def _database_file(path: Path) -> Path:
    """Refuse what SQLite would take for something other than a file, and expand `~`."""
    text = str(path)
    if path.name in {"", ".."} or "\0" in text:
        raise ValueError("must be the path of a file, such as ./data/observability.db")
    if path.name == ":memory:" or text.startswith("file:"):
        raise ValueError("must be the path of a file: readers could not share an in-memory database or a file: URI")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("must be a path without ~, for the home folder it stands for is unknown") from None


def _one_word(host: str) -> str:
    if not host or any(character.isspace() for character in host):
        raise ValueError("must be one host name or address, such as 127.0.0.1")
    return host


def _header_safe(key: SecretStr) -> SecretStr:
    """Refuse an API key that no `Authorization` header could ever carry."""
    text = key.get_secret_value()
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("must be one or more visible ASCII characters without spaces")
    return key


def _regular_expression(pattern: str) -> str:
    try:
        Redactor((pattern,))
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    if re.search(pattern, ""):
        raise ValueError("must be a regular expression that does not match the empty text")
    return pattern


DatabaseFile = Annotated[Path, Field(strict=False), AfterValidator(_database_file)]
Pattern = Annotated[str, AfterValidator(_regular_expression)]
Host = Annotated[str, AfterValidator(_one_word)]
ApiKey = Annotated[SecretStr, AfterValidator(_header_safe)]


class ServerSettings(BaseModel):
    """The HTTP service that `chainlog serve` runs; usually given as a mapping, `Settings(server={"port": 0})`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    host: Host = Field(
        default="127.0.0.1",
        description="Name or address to listen on; anything but a loopback address needs api_keys.",
    )
    port: int = Field(
        default=4290,
        ge=0,
        le=65_535,
        description="TCP port to listen on; 0 lets the system choose a free one.",
    )
    api_keys: tuple[ApiKey, ...] = Field(
        default=(),
        strict=False,
        description="Keys, each of which is accepted as `Authorization: Bearer KEY`; none means no authentication.",
    )
    max_body_bytes: int = Field(
        default=4 * MIB,
        ge=KIB,
        le=GIB,
        description="Largest request body, in bytes; a larger one is answered with 413.",
    )
    max_metric_groups: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Most combinations of chain, provider and model named by /metrics; later ones are `other`.",
    )


class Settings(BaseSettings):
    """Settings of chainlog-async; immutable, and complete without any argument.

    `Settings(max_batch_size=500)` asks its arguments, then the environment, then the defaults; `Settings.load` asks a
    YAML file as well. Groups are merged key by key: `Settings.load("gateway.yaml", server={"port": 0})` keeps the
    file's `server.host`. `dbPath` is accepted for `db_path`, as argument and in YAML.

    Raises:
        SettingsError: An argument or an environment variable is unknown, or its value is of the wrong type or out of
            range. One line per problem, each with the place, the key, the value (never an API key's) and the remedy.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    db_path: DatabaseFile = Field(
        default=Path("./data/observability.db"),
        description="The SQLite file; a relative path starts at the working directory, missing folders are made.",
    )
    max_queue_size: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Most entries waiting in memory to be written.",
    )
    max_queue_bytes: int = Field(
        default=64 * MIB,
        ge=64 * KIB,
        le=64 * GIB,
        description="Most bytes of encoded entries waiting in memory to be written.",
    )
    max_batch_size: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Most entries in one transaction.",
    )
    flush_interval_ms: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="Longest time in ms that an entry waits for others before it is written.",
    )
    yield_gil: bool = Field(
        default=True,
        description="Whether a saturated event loop makes room for the writer's thread, with at most 2 % of its time.",
    )
    on_full: Literal["drop_newest", "drop_oldest"] = Field(
        default="drop_newest",
        description="Which entry goes when the queue is full: the one just submitted, or the one waiting longest.",
    )
    busy_timeout_ms: int = Field(
        default=5000,
        ge=0,
        le=600_000,
        description="Longest wait in ms for another process's write lock.",
    )
    synchronous: Literal["NORMAL", "FULL"] = Field(
        default="NORMAL",
        description="When SQLite waits for the disk: FULL at every commit, NORMAL only at checkpoints.",
    )
    shutdown_timeout_ms: int = Field(
        default=5000,
        ge=0,
        le=600_000,
        description="Longest time in ms that a shutdown goes on writing what is waiting.",
    )
    wal_limit_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        le=64 * GIB,
        description="Size in bytes to which the write-ahead log is cut back after a checkpoint.",
    )
    journal: bool = Field(
        default=True,
        description="Whether an accepted entry is in a file before log_request returns, and so survives a kill.",
    )
    journal_max_bytes: int = Field(
        default=GIB,
        ge=64 * KIB,
        le=1024 * GIB,
        description="Most bytes on disk of entries waiting in this process's journal; beyond it they wait in memory.",
    )
    journal_segment_bytes: int = Field(
        default=16 * MIB,
        ge=16 * KIB,
        le=GIB,
        description="Size in bytes at which the journal begins a new file; a committed file is deleted whole.",
    )
    on_corrupt: Literal["fail", "quarantine"] = Field(
        default="fail",
        description="With a damaged database: stop writing until somebody acts, or move it aside and start afresh.",
    )
    retention_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Age in days at which requests are deleted; 0 keeps them. Totals stay.",
    )
    retention_rows: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000_000,
        description="Number of requests above which the oldest are deleted; 0 sets no bound. Totals stay.",
    )
    retention_bytes: int = Field(
        default=10 * GIB,
        ge=0,
        le=1024 * 1024 * GIB,
        description="Size in bytes of the database above which the oldest requests are deleted, down to a tenth of it; "
        "0 sets no bound.",
    )
    redact_patterns: tuple[Pattern, ...] = Field(
        default=(),
        strict=False,
        description="Regular expressions of secrets to blot out of error messages, beside the usual API keys.",
    )
    read_timeout_ms: int = Field(
        default=30_000,
        ge=1,
        le=3_600_000,
        description="Longest time in ms that a query may run before it is cut off.",
    )
    max_readers: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Most read-only connections open at once.",
    )
    server: ServerSettings = Field(
        default=ServerSettings(),
        description="The HTTP service that `chainlog serve` runs.",
    )

    # `document` is how `load` hands over the file; being positional-only it cannot shadow a setting.
    def __init__(self, document: YamlSection | None = None, /, **values: object) -> None:
        model = type(self)
        sources: list[Source] = [Arguments(model, values), Environment(model, os.environ)]
        if document is not None:
            sources.append(document)
        token = _sources.set(tuple(sources))
        try:
            super().__init__()
        except ValidationError as error:
            raise SettingsError(explain(model, error, sources)) from None
        finally:
            _sources.reset(token)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Ask our own sources, first one first; pydantic-settings would let an unknown variable pass, for one."""
        return _sources.get()

    @classmethod
    def load(cls, path: str | Path | None = None, section: str = "settings", **overrides: object) -> Self:
        """Read the settings from a YAML file, the environment and `overrides`; the last named wins.

        Args:
            path: The YAML file (UTF-8). None reads no file.
            section: Where in the file the settings are, dotted if deeper: `observability.chainlog`. Whatever else the
                file holds is ignored. An empty file and an empty section mean the defaults.
            overrides: Settings by name, which win over the environment and the file; groups as mappings.

        Returns:
            The settings, checked.

        Raises:
            SettingsError: The file is missing, unreadable or not YAML; it has no such section; or a setting in any of
                the three places is unknown, of the wrong type or out of range.
        """
        return cls(None if path is None else YamlSection(cls, Path(path), section), **overrides)


# pydantic-settings asks a class method for the sources, which cannot know the instance that is being made.
_sources: ContextVar[tuple[Source, ...]] = ContextVar("chainlog_async.settings")
