"""A primary and its standby, made by `pg_basebackup`, which change places at every failover."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

from examples.postgres.server import PostgresServer
from tests.support.postgres import query

STREAMING_TIMEOUT_S = 30
SETTINGS = {"max_wal_senders": "5", "wal_level": "replica", "hot_standby": "on", "shared_buffers": "64MB"}


class Pair:
    """Two servers on two ports, of which one is the primary. Everything here blocks."""

    def __init__(self, folder: Path, *, synchronous: bool) -> None:
        self.primary = PostgresServer(folder / "a")
        self._other = PostgresServer(folder / "b")
        self._synchronous = synchronous

    @property
    def url(self) -> str:
        """Both hosts; whichever takes writes is the right one."""
        ports = sorted((self.primary.port, self._other.port))
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write&connect_timeout=2"

    def start(self) -> None:
        """The primary, and a standby that has everything."""
        self.primary.create(SETTINGS)
        self.primary.start()
        self.add_standby()

    def add_standby(self) -> None:
        """A new standby of the primary, in the place of the server that failed."""
        standby = self._other
        shutil.rmtree(standby.data, ignore_errors=True)
        standby.own(standby.folder)
        standby.run(
            *("pg_basebackup", "-D", str(standby.data), "-R", "-X", "stream", "-c", "fast"),
            *("-d", f"host=127.0.0.1 port={self.primary.port} user=postgres application_name=standby"),
        )
        # A copy has the primary's settings, also that it waits for a standby.
        standby.configure({"synchronous_standby_names": ""})
        standby.start()
        self._wait_for_streaming()
        if self._synchronous:
            self._execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")

    def cut_replication(self) -> None:
        """From now on the standby falls behind."""
        self._execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()", of=self._other)
        self._wait_for_streaming(False)

    def fail_over(self) -> None:
        """The primary crashes for ever, and the standby takes over."""
        self.primary.stop("immediate")
        self._other.promote()
        self.primary, self._other = self._other, self.primary
        # It inherited what the one before was told with ALTER SYSTEM.
        self._execute("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Both of them."""
        for server in (self.primary, self._other):
            if server.data.exists() and server.is_running():
                server.stop("immediate")

    def _wait_for_streaming(self, streaming: bool = True) -> None:
        deadline = time.monotonic() + STREAMING_TIMEOUT_S
        sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        while (asyncio.run(query(self.primary.url(), sql)) == [(1,)]) is not streaming:
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.05)

    def _execute(self, *statements: str, of: PostgresServer | None = None) -> None:
        # ALTER SYSTEM is alone in its transaction.
        for statement in statements:
            asyncio.run(query((of or self.primary).url(), statement))
