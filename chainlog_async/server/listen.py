"""The address that the service listens on, and its socket."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from chainlog_async.errors import SettingsError
from chainlog_async.settings import Settings

from .loopback import is_loopback

REMEDIES = {
    errno.EADDRINUSE: "stop the process that uses the port, or set server.port to another one (0 picks a free one)",
    errno.EACCES: "set server.port to 1024 or more, or allow this user to use the port",
    errno.EADDRNOTAVAIL: "set server.host to an address that this machine has",
}


MAX_UNSENT_BYTES = 128 * 1024
"""How much of a response the kernel takes before it is sent, in bytes."""


class BindAddress(NamedTuple):
    """A numeric address, in the form that the socket module takes."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

    @property
    def host(self) -> str:
        """The numeric address without the port."""
        return str(self.sockaddr[0])


def check_bind(settings: Settings) -> BindAddress:
    """Returns the address to listen on. May resolve a name, so call it in a thread.

    Raises `SettingsError` when the host cannot be resolved, or when other machines can reach it although no
    ``server.api_keys`` are set.
    """
    host, port = settings.server.host, settings.server.port
    found = _resolve(host, port)
    if not settings.server.api_keys and not all(is_loopback(address.host) for address in found):
        raise SettingsError(
            f"server.host {host!r} can be reached from other machines, and no server.api_keys are set: "
            "set server.api_keys, or set server.host to 127.0.0.1"
        )
    # A name with IPv4 and IPv6 addresses, such as localhost, is served on IPv4, which every client supports.
    return min(found, key=lambda address: address.family != socket.AF_INET)


def _resolve(host: str, port: int) -> list[BindAddress]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"server.host {host!r} is neither an address nor a name that can be resolved ({error}): "
            "set server.host to an address of this machine, such as 127.0.0.1"
        ) from error
    return [BindAddress(family, sockaddr) for family, _, _, _, sockaddr in answers]


@contextmanager
def bound_socket(address: BindAddress) -> Iterator[socket.socket]:
    """Yields a socket that is bound but does not listen yet. Raises `SettingsError` when the address is unavailable."""
    # asyncio only disables Nagle's algorithm, a delay of 40 ms per reply, when the protocol is given explicitly.
    with socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        with _named_failure(address):
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                # Accepted connections inherit it. For a client that does not read, the kernel would keep 3 MB.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
            sock.bind(address.sockaddr)
        yield sock


def listen(sock: socket.socket, address: BindAddress, backlog: int) -> str:
    """Starts listening and returns the service's URL, with the actual port. Raises `SettingsError`."""
    with _named_failure(address):
        sock.listen(backlog)
    return _url(sock.getsockname())


@contextmanager
def _named_failure(address: BindAddress) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(
            error.errno or 0, "set server.host and server.port to an address of this machine and a free port"
        )
        raise SettingsError(f"cannot listen on {_url(address.sockaddr)} ({error.strerror}): {remedy}") from error


def _url(sockaddr: tuple[object, ...]) -> str:
    host, port = str(sockaddr[0]), sockaddr[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
