"""The settings of chainlog-async: each with its unit, its bounds and its default.

A setting comes from the first of four places that has it: arguments, environment variables (`CHAINLOG_…`), the YAML
file, the default below. To add a setting, add a field here and a line to `config.example.yaml`.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chainlog_async.entry.redaction import Redactor
from chainlog_async.errors import SettingsError

from .alerts import AlertSettings, AlertTargets, check_alerts
from .budgets import Budgets
from .database_url import DatabaseUrl, EngineName, check_replica, check_url, sqlite_path
from .messages import explain
from .otel_export import OtelExportSettings
from .server import GIB, KIB, MIB, ApiKey, ServerSettings
from .sources import Arguments, Environment, Source
from .yaml_file import YamlSection


def _database_file(path: Path) -> Path:
    """Refuses paths that SQLite would not treat as a file, and expands `~`."""
    text = str(path)
    if path.name in {"", ".."} or "\0" in text:
        raise ValueError("must be the path of a file, such as ./data/observability.db")
    if path.name == ":memory:" or text.startswith("file:"):
        raise ValueError("must be the path of a file: readers could not share an in-memory database or a file: URI")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("must be a path without ~, because the home folder is unknown") from None


def _regular_expression(pattern: str) -> str:
    try:
        Redactor((pattern,))
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    if re.search(pattern, ""):
        raise ValueError("must be a regular expression that does not match empty text")
    return pattern


def _folder(path: Path) -> Path:
    if not path.name or "\0" in str(path):
        raise ValueError("must be the path of a folder, such as ./data/journal")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("must be a path without ~, because the home folder is unknown") from None


DatabaseFile = Annotated[Path, Field(strict=False), AfterValidator(_database_file)]
Folder = Annotated[Path, Field(strict=False), AfterValidator(_folder)]
CheckedUrl = Annotated[DatabaseUrl, AfterValidator(check_url)]
ReplicaUrl = Annotated[DatabaseUrl, AfterValidator(check_replica)]
Pattern = Annotated[str, AfterValidator(_regular_expression)]


class Settings(BaseSettings):
    """Settings of chainlog-async; immutable, and complete without any argument.

    `Settings(max_batch_size=500)` reads its arguments, then the environment, then the defaults; `Settings.load` also
    reads a YAML file. Groups are merged key by key: `Settings.load("gateway.yaml", server={"port": 0})` keeps
    `server.host` of the file. `dbPath` is accepted for `db_path`, as an argument and in YAML.

    Raises:
        SettingsError: An argument or an environment variable is unknown, or its value has the wrong type or is out of
            range. One line per problem, each with the place, the key, the value (never an API key) and the remedy.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    db_path: DatabaseFile = Field(
        default=Path("./data/observability.db"),
        description="The SQLite file; a relative path starts at the working directory, missing folders are created.",
    )
    db_url: CheckedUrl | None = Field(
        default=None,
        description="Where the log is kept instead of db_path: http(s)://HOST:PORT of a `chainlog serve`, or "
        "postgresql://…; sqlite:///FILE is the same as db_path.",
    )
    read_url: ReplicaUrl | None = Field(
        default=None,
        description="Where a postgresql:// log is read: a replica, which may be a moment behind; by default db_url.",
    )
    db_key: ApiKey | None = Field(
        default=None,
        description="API key for an http(s) db_url; to write, it needs the right to write, to read, that to read.",
    )
    journal_path: Folder | None = Field(
        default=None,
        description="The folder of the journal, on a disk of this machine; by default beside db_path.",
    )
    max_queue_size: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Maximum number of entries in the queue, in memory.",
    )
    max_queue_bytes: int = Field(
        default=64 * MIB,
        ge=64 * KIB,
        le=64 * GIB,
        description="Maximum size of the queue, in bytes of encoded entries in memory.",
    )
    max_batch_size: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Maximum number of entries in one transaction.",
    )
    flush_interval_ms: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="Maximum time in ms that an entry waits for others before its batch is committed.",
    )
    yield_gil: bool = Field(
        default=True,
        description="Whether a saturated event loop yields the GIL to the writer's thread, at most 2 % of its time.",
    )
    on_full: Literal["drop_newest", "drop_oldest"] = Field(
        default="drop_newest",
        description="Which entry is dropped when the queue is full: the one just submitted, or the oldest one.",
    )
    busy_timeout_ms: int = Field(
        default=5000,
        ge=0,
        le=600_000,
        description="Maximum time in ms to wait for the write lock of another process.",
    )
    synchronous: Literal["NORMAL", "FULL"] = Field(
        default="NORMAL",
        description="When SQLite waits for the disk: FULL at every commit, NORMAL only at checkpoints.",
    )
    shutdown_timeout_ms: int = Field(
        default=5000,
        ge=0,
        le=600_000,
        description="Maximum time in ms for draining the queue and replaying journals of killed processes at shutdown.",
    )
    wal_limit_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        le=64 * GIB,
        description="Size in bytes to which the write-ahead log is truncated after a checkpoint.",
    )
    journal: bool = Field(
        default=True,
        description="Whether an accepted entry is in a file before log_request returns, so that it survives a kill.",
    )
    journal_max_bytes: int = Field(
        default=GIB,
        ge=64 * KIB,
        le=1024 * GIB,
        description="Maximum size in bytes of this process's journal on disk; beyond it entries wait in memory only.",
    )
    journal_segment_bytes: int = Field(
        default=16 * MIB,
        ge=16 * KIB,
        le=GIB,
        description="Size in bytes at which the journal starts a new file; a file is deleted once committed. Mapped "
        "files begin with 64 KiB and grow up to it while entries come fast.",
    )
    journal_write: Literal["auto", "mmap", "pwrite"] = Field(
        default="auto",
        description="How lines are written to the journal: to files mapped into memory, by a system call for each "
        "(`pwrite`), or, with `auto`, to mapped files where the file system keeps the space that it reserved.",
    )
    journal_keep_s: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How long committed entries stay in the journal with PostgreSQL, in seconds and within "
        "journal_max_bytes: after a failover to a standby that was behind they are written again.",
    )
    on_corrupt: Literal["fail", "quarantine"] = Field(
        default="fail",
        description="With a damaged database: `fail` stops writing until an operator acts, `quarantine` moves it aside "
        "and starts a new one.",
    )
    retention_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Age in days at which requests are deleted; 0 keeps them. Totals are kept.",
    )
    retention_rows: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000_000,
        description="Number of requests above which the oldest are deleted; 0 sets no limit. Totals are kept.",
    )
    retention_bytes: int = Field(
        default=10 * GIB,
        ge=0,
        le=1024 * 1024 * GIB,
        description="Size in bytes of the database above which the oldest requests are deleted; totals are kept. "
        "At least a tenth of it is always available for requests. 0 sets no limit.",
    )
    redact_patterns: tuple[Pattern, ...] = Field(
        default=(),
        strict=False,
        description="Regular expressions of secrets to redact in error messages and metadata, besides those that "
        "always are.",
    )
    prices: bool = Field(
        default=True,
        description="Whether the prices of new models are looked up in genai-prices, if the extra `prices` is there.",
    )
    litellm_health_checks: bool = Field(
        default=False,
        description="Whether LiteLLM's own checks of its deployments are logged, with `health_check` in metadata.",
    )
    read_timeout_ms: int = Field(
        default=30_000,
        ge=1,
        le=3_600_000,
        description="Maximum time in ms that a query may run before it is interrupted.",
    )
    max_readers: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Maximum number of read-only connections open at once.",
    )
    budgets: Budgets = Field(
        default=(),
        strict=False,
        description="What may be spent: each budget has name, limit_usd, per, zone, and whom it is for.",
    )
    alert_targets: AlertTargets = Field(
        default=(),
        strict=False,
        description="Whom alerts are told to: each has a name and one of webhook, slack and command.",
    )
    alerts: tuple[AlertSettings, ...] = Field(
        default=(),
        strict=False,
        description="Alerts: each has when, such as `error_rate > 20 % for 10m`, name, to and min_requests.",
    )
    alert_interval_ms: int = Field(
        default=10_000,
        ge=1,
        le=3_600_000,
        description="Time in ms between two evaluations of the alerts.",
    )
    otel_export: OtelExportSettings = Field(
        default=OtelExportSettings(),
        description="Where requests are sent as spans of OpenTelemetry.",
    )
    server: ServerSettings = Field(
        default=ServerSettings(),
        description="The HTTP service that `chainlog serve` runs.",
    )

    # `load` passes the file as `document`, which is positional-only so that it cannot shadow a setting.
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

    @property
    def engine(self) -> EngineName:
        """The engine that keeps the log."""
        return "sqlite" if self.db_url is None else self.db_url.engine

    @property
    def database(self) -> str:
        """The path or the URL of the log for messages, without passwords."""
        return str(self.db_path) if self.db_url is None else self.db_url.shown

    @field_validator("alerts")
    @classmethod
    def _names_there_are(cls, alerts: tuple[AlertSettings, ...], info: ValidationInfo) -> tuple[AlertSettings, ...]:
        # What is itself wrong is not among the data, and told anyway.
        if {"alert_targets", "budgets"} <= info.data.keys():
            check_alerts(alerts, info.data["alert_targets"], info.data["budgets"])
        return alerts

    @model_validator(mode="before")
    @classmethod
    def _without_sqlite_url(cls, values: dict[str, object]) -> dict[str, object]:
        """A SQLite file has one name inside, `db_path`."""
        path = sqlite_path(values.get("db_url"))
        return values if path is None else {**values, "db_url": None, "db_path": path}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns our own sources, highest precedence first; those of pydantic-settings ignore unknown variables."""
        return _sources.get()

    @classmethod
    def load(cls, path: str | Path | None = None, section: str = "settings", **overrides: object) -> Self:
        """Loads the settings from a YAML file, the environment and `overrides`; the last named takes precedence.

        Args:
            path: The YAML file (UTF-8). None reads no file.
            section: Where in the file the settings are, dotted if nested: `observability.chainlog`. The rest of the
                file is ignored. An empty file and an empty section mean the defaults.
            overrides: Settings by name, which take precedence over the environment and the file; groups as mappings.

        Returns:
            The validated settings.

        Raises:
            SettingsError: The file is missing, unreadable or not YAML; it has no such section; or a setting in any of
                the three places is unknown, of the wrong type or out of range.
        """
        return cls(None if path is None else YamlSection(cls, Path(path), section), **overrides)


# pydantic-settings gets the sources from a class method, which does not see the instance under construction.
_sources: ContextVar[tuple[Source, ...]] = ContextVar("chainlog_async.settings")
