"""The settings of the HTTP service, and who may ask it what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from chainlog_async.entry.model import MAX_NAME_CHARS

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


def _one_word(host: str) -> str:
    if not host or any(character.isspace() for character in host):
        raise ValueError("must be one host name or address, such as 127.0.0.1")
    return host


def _header_safe(key: SecretStr) -> SecretStr:
    """Refuses an API key that no `Authorization` header can carry."""
    text = key.get_secret_value()
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("must be one or more visible ASCII characters without spaces")
    return key


def _origin(text: str) -> str:
    """Refuses what no browser sends as `Origin`: it has a scheme and a host, and no path."""
    if text == "*":
        return text
    if re.fullmatch(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", text) is None:
        raise ValueError("must be an origin in small letters, such as https://tools.example.org, or *")
    return text


Origin = Annotated[str, AfterValidator(_origin)]
Host = Annotated[str, AfterValidator(_one_word)]
ApiKey = Annotated[SecretStr, AfterValidator(_header_safe)]


class ScopedKey(BaseModel):
    """An API key that may do only one thing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    key: ApiKey
    """The key itself, one or more visible ASCII characters without spaces."""
    can: Literal["read", "write"]
    """What it may do: ask for everything, or add entries and batches."""
    caller: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)] | None = None
    """Whose requests and usage it may read, and no others'; None for everybody's."""

    @model_validator(mode="after")
    def _caller_reads(self) -> Self:
        if self.caller is not None and self.can != "read":
            raise ValueError("must not have a caller with can: write; a caller limits what a key may read")
        return self


def _kind_of_key(value: object) -> str:
    return "scoped" if isinstance(value, Mapping | ScopedKey) else "plain"


AnyKey = Annotated[Annotated[ApiKey, Tag("plain")] | Annotated[ScopedKey, Tag("scoped")], Discriminator(_kind_of_key)]
"""A key that may do everything, or one that may do one thing."""


def _one_scope_each(keys: tuple[AnyKey, ...]) -> tuple[AnyKey, ...]:
    scopes: dict[str, AnyKey] = {}
    for key in keys:
        secret = key.key if isinstance(key, ScopedKey) else key
        if scopes.setdefault(secret.get_secret_value(), key) != key:
            raise ValueError("must not have one key twice, with different rights")
    return keys


class ServerSettings(BaseModel):
    """The HTTP service that `chainlog serve` runs; usually given as a mapping, `Settings(server={"port": 0})`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    host: Host = Field(
        default="127.0.0.1",
        description="Host name or address to listen on; any but a loopback address needs api_keys.",
    )
    port: int = Field(
        default=4290,
        ge=0,
        le=65_535,
        description="TCP port to listen on; 0 picks a free one.",
    )
    api_keys: Annotated[tuple[AnyKey, ...], AfterValidator(_one_scope_each)] = Field(
        default=(),
        strict=False,
        description="Accepted API keys, sent as `Authorization: Bearer KEY`; a mapping of key, can (read or write) and "
        "caller is a key that may do only that. Without any there is no authentication.",
    )
    cors_origins: tuple[Origin, ...] = Field(
        default=(),
        strict=False,
        description="Origins, such as https://tools.example.org, whose pages browsers let read and write here; "
        "`*` is any, and needs api_keys. Without any, pages of other origins may not.",
    )
    max_body_bytes: int = Field(
        default=4 * MIB,
        ge=KIB,
        le=GIB,
        description="Maximum size of a request body, in bytes; a larger one is answered with 413.",
    )
    max_metric_groups: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Maximum number of combinations of chain, provider and model in /metrics; later ones are `other`.",
    )
    max_connections: int = Field(
        default=500,
        ge=1,
        le=100_000,
        description="Maximum number of connections to `chainlog serve` at once; others are answered with 503.",
    )
    max_watchers: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Maximum number of clients of /v1/requests/stream at once; others are answered with 503.",
    )
    max_exports: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Maximum number of exports over HTTP at once; others are answered with 503.",
    )
    max_buffered_bytes: int = Field(
        default=64 * MIB,
        ge=KIB,
        le=64 * GIB,
        description="Maximum size in bytes of all request bodies held at once, and of all responses not read yet.",
    )
    header_timeout_ms: int = Field(
        default=10_000,
        ge=1,
        le=3_600_000,
        description="Maximum time in ms for a client of `chainlog serve` to send the headers of a request.",
    )
    body_timeout_ms: int = Field(
        default=30_000,
        ge=1,
        le=3_600_000,
        description="Maximum time in ms for a client to send the body of a request; then it is answered with 408.",
    )
    write_timeout_ms: int = Field(
        default=30_000,
        ge=1,
        le=3_600_000,
        description="Time in ms after which a client that reads nothing of its response is disconnected.",
    )

    @field_validator("cors_origins")
    @classmethod
    def _any_origin_has_a_key(cls, origins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # Keys that are themselves wrong are not among the data, and told anyway.
        if "*" in origins and not info.data.get("api_keys", True):
            raise ValueError("must name origins, or server.api_keys must be set: with *, every page could read the log")
        return origins
