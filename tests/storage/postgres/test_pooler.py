"""A pooler in transaction mode between the writers and the server; skipped where there is no PgBouncer."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from chainlog_async import ChainLog, UsageFilter, UsageQuery, Window
from examples.postgres.server import unprivileged_user
from tests.support.entries import entry
from tests.support.postgres import SharedServer, query
from tests.support.writing import check_law, settings_for

PGBOUNCER = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = 3
unix_socket_dir =
"""


@pytest.fixture
def pooler_port(postgres_server: SharedServer) -> Iterator[int]:
    """Where PgBouncer listens, with fewer sessions than there are writers."""
    if PGBOUNCER is None:
        pytest.skip("there is no pgbouncer")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="chainlog-pgbouncer-"))
    folder.chmod(0o755)
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(server=postgres_server.server.port, port=port), "utf-8")
    user = unprivileged_user()
    process = subprocess.Popen(
        [PGBOUNCER, "--quiet", str(file)],
        stdin=subprocess.DEVNULL,
        user=None if user is None else pwd.getpwnam(user).pw_uid,
    )
    try:
        while not _answers(port):
            assert process.poll() is None
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_four_writers_and_readers_share_three_sessions(
    postgres_server: SharedServer, pooler_port: int, tmp_path: Path
) -> None:
    """Nothing is kept in a session: every entry is stored once, and questions are answered."""
    database = postgres_server.new_database(migrated=False)
    url = f"postgresql://postgres@127.0.0.1:{pooler_port}/{database.rpartition('/')[2]}"

    async def write(name: str) -> None:
        async with ChainLog(settings_for(tmp_path / f"{name}.db", db_url=url, max_batch_size=10)) as chainlog:
            for _ in range(100):
                chainlog.log_request(entry(provider_id=name))
            await chainlog.flush()
            usage = await chainlog.usage.get_provider_usage(name)
            assert usage is not None
            assert usage.total_requests == 100
            window = Window(start=0, end=2_000_000_000_000)
            asked = UsageQuery(window=window, where=UsageFilter(provider=name))
            assert [point.requests for point in await chainlog.usage.get_usage(asked)] == [100]
            assert len(await chainlog.usage.get_recent_requests(10, after_id=0)) == 10
            check_law(chainlog.statistics())

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(write, f"p{number}")
    assert await query(database, "SELECT count(*), count(DISTINCT id) FROM chainlog.request_logs") == [(400, 400)]
