"""What a ``postgresql://`` URL says: hosts, schema, timeouts; all else is the driver's business.

The URL is libpq's, with several hosts, ``target_session_attrs``, ``sslmode`` and so on. Of our own are the parameters
``schema``, ``statement_timeout`` (ms) and ``connect_timeout`` (s, for each host).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from chainlog_async.errors import SettingsError

DEFAULT_SCHEMA = "chainlog"

CONNECT_TIMEOUT_S = 5.0
"""How long each host of a URL may take to connect, by default, in seconds."""

STATEMENT_TIMEOUT_MS = 30_000
"""How long the server may work on one statement, by default, in ms."""

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A URL, taken apart. Its text contains the password: show `shown`."""

    dsn: str
    """The URL without hosts and without our own parameters, for the driver."""
    hosts: tuple[tuple[str | None, int | None], ...]
    """Each host and port in the order in which they are tried; None is the driver's default."""
    shown: str
    """Without user, password and parameters."""
    schema: str = DEFAULT_SCHEMA
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
    files: tuple[tuple[str, str], ...] = ()
    """Parameters that name a file of TLS, and that file."""

    def sql(self, statement: str) -> str:
        """The statement with the name of the schema, which is a plain word, in the place of ``{s}``."""
        return statement.replace("{s}", self.schema)


def parse_url(text: str) -> PostgresUrl:
    """Takes a URL apart. Raises `SettingsError`, whose message does not contain the password."""
    scheme, netloc, path, query, _ = urlsplit(text)
    account, _, host_list = netloc.rpartition("@")
    shown = f"{scheme}://{host_list}{path}"
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    schema = parameters.pop("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema):
        raise SettingsError(
            f"the schema in {shown} is {schema!r}; give a name of small letters, digits and underscores, such as "
            f"{DEFAULT_SCHEMA}"
        )
    connect_timeout_s = _number(parameters.pop("connect_timeout", ""), "connect_timeout", shown) or CONNECT_TIMEOUT_S
    statement_timeout_ms = _number(parameters.pop("statement_timeout", ""), "statement_timeout", shown)
    host_list = parameters.pop("host", "") or host_list
    ports = parameters.pop("port", "")
    return PostgresUrl(
        dsn=urlunsplit((scheme, f"{account}@" if account else "", path, urlencode(parameters), "")),
        hosts=tuple(_hosts(host_list, ports, shown)),
        shown=shown,
        schema=schema,
        connect_timeout_s=connect_timeout_s,
        statement_timeout_ms=statement_timeout_ms or STATEMENT_TIMEOUT_MS,
        files=tuple((name, parameters[name]) for name in _FILES if parameters.get(name)),
    )


def _hosts(host_list: str, ports: str, shown: str) -> list[tuple[str | None, int | None]]:
    hosts: list[tuple[str | None, int | None]] = []
    of_all = ports.split(",") if ports else []
    for number, one in enumerate(host_list.split(",")):
        # An address of version 6 stands in brackets.
        host, _, port = one.rpartition(":") if re.search(r":\d*$", one) and not one.endswith("]") else (one, "", "")
        if not port and of_all:
            port = of_all[number] if len(of_all) > 1 and number < len(of_all) else of_all[0]
        hosts.append((unquote(host.strip("[]")) or None, _number(port, "port", shown) or None))
    return hosts


def _number(text: str, name: str, shown: str) -> int:
    if text and not text.isdecimal():
        raise SettingsError(f"the {name} in {shown} is {text!r}; give a whole number")
    return int(text or 0)
