"""`db_url`: which engine keeps the log, and where. It may contain a password, so its text is never shown."""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

EngineName = Literal["sqlite", "postgres", "remote"]

ENGINES: Final[dict[str, EngineName]] = {
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "http": "remote",
    "https": "remote",
}
"""The engine of each scheme."""

SQLITE_PREFIX: Final = "sqlite:///"

_HOST: Final = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
"""A host name in ASCII: RFC 1035, section 2.3.4, and underscores, which Docker and Windows allow."""

_MAX_HOST_CHARS: Final = 253


class DatabaseUrl(SecretStr):
    """The URL of a database."""

    @property
    def engine(self) -> EngineName:
        """Which engine it names."""
        return ENGINES[self._parts.scheme]

    @property
    def shown(self) -> str:
        """Without user, password and parameters, for messages and logs."""
        scheme, netloc, path, _, _ = self._parts
        return f"{scheme}://{netloc.rpartition('@')[2]}{path}"

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.get_secret_value())


def check_url(url: DatabaseUrl) -> DatabaseUrl:
    """Raises `ValueError`, whose message does not contain the URL."""
    text = url.get_secret_value()
    scheme, separator, _ = text.partition(":")
    if ENGINES.get(scheme) is None or not separator:
        found = f", not {scheme}:" if separator and scheme.isalnum() else ""
        raise ValueError(f"must begin with http://, https://, postgresql:// or {SQLITE_PREFIX}{found}")
    if not text.isprintable() or " " in text:
        raise ValueError("must be a URL without spaces and control characters; encode them, as in %20")
    parts = urlsplit(text)
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        # What stands before it may be a password that is not encoded, and would be shown as part of the host or path.
        raise ValueError("must not contain /, ?, # and @ in names and passwords; encode them, as in %2F, %3F, %23, %40")
    if url.engine == "remote":
        _check_http(parts)
    return url


def check_replica(url: DatabaseUrl) -> DatabaseUrl:
    """Raises `ValueError`, whose message does not contain the URL, unless it names a PostgreSQL server."""
    if check_url(url).engine != "postgres":
        raise ValueError("must begin with postgresql://, as the db_url whose replica it names")
    return url


def sqlite_path(url: object) -> str | None:
    """The path in a URL of a SQLite file, else None."""
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    return text.removeprefix(SQLITE_PREFIX) if isinstance(text, str) and text.startswith(SQLITE_PREFIX) else None


def _check_http(parts: SplitResult) -> None:
    try:
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if not has_host:
        raise ValueError("must name a host and, if it has one, a port: http://log.example.org:4290")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or a key; set db_key instead")
    if not _can_be_named(parts.hostname or ""):
        raise ValueError(
            "must name a host of letters, digits, hyphens, underscores and dots, with 1 to 63 characters between dots "
            f"and {_MAX_HOST_CHARS} at most: http://log.example.org:4290"
        )
    if parts.query or parts.fragment:
        raise ValueError("must end after the host, port and path; remove what follows ? or #")


def _can_be_named(host: str) -> bool:
    # A name in another script is checked when the engine is loaded, which knows IDNA; urlsplit checked IPv6 addresses.
    return not host.isascii() or ":" in host or (len(host) <= _MAX_HOST_CHARS and _HOST.fullmatch(host) is not None)
