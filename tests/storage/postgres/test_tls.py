"""TLS to PostgreSQL: with a certificate of an authority of one's own, and what is said of one that is not trusted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from chainlog_async.errors import DatabaseError
from chainlog_async.storage.engines import open_storage, reads_of
from chainlog_async.storage.postgres.connection import open_connection
from chainlog_async.storage.postgres.url import parse_url
from tests.storage.random_log import batch_of
from tests.support.entries import entry
from tests.support.postgres import SharedServer, in_a_loop_of_its_own, query, run
from tests.support.writing import settings_for

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make certificates with")

IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def openssl(folder: Path, command: str) -> None:
    """Runs it in the folder."""
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> None:
    """A key, and its own certificate."""
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(folder, f"req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}")


@pytest.fixture(scope="module")
def authorities(postgres_server: SharedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `ours.pem`, which has signed the server's certificate for 127.0.0.1, and `other.pem`."""
    folder = tmp_path_factory.mktemp("tls")
    make_authority(folder, "ours")
    make_authority(folder, "other")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(folder, f"req {key} -keyout server.key -out server.csr -subj /CN=server")
    (folder / "names").write_text("subjectAltName = IP:127.0.0.1\n")
    signed = "-CA ours.pem -CAkey ours.key -CAcreateserial -days 2 -extfile names"
    openssl(folder, f"x509 -req -in server.csr -out server.pem {signed}")
    server = postgres_server.server
    for name in ("server.key", "server.pem"):
        server.take(folder / name)
    plain = server.url(sslmode="disable")
    _set(plain, "SET ssl = on", "SET ssl_cert_file = 'server.pem'", "SET ssl_key_file = 'server.key'")
    yield folder
    _set(plain, "RESET ssl")


def _set(url: str, *changes: str) -> None:
    # ALTER SYSTEM is alone in its transaction.
    for statement in (*(f"ALTER SYSTEM {change}" for change in changes), "SELECT pg_reload_conf()"):
        in_a_loop_of_its_own(lambda sql=statement: run(url, sql))  # type: ignore[misc]  # a default to bind it


async def test_a_file_that_is_missing_is_named(postgres_url: str, tmp_path: Path) -> None:
    """The URL is what has to be corrected."""
    url = f"{postgres_url}?sslmode=verify-full&sslrootcert={tmp_path}/nowhere.pem"
    with pytest.raises(DatabaseError, match=r"nowhere\.pem"):
        await open_storage(settings_for(tmp_path / "o.db", db_url=url))


async def test_a_server_without_tls_is_named(postgres_server: SharedServer) -> None:
    """Where TLS is required, and no certificate is set up, nothing is sent in the clear."""
    with pytest.raises(DatabaseError, match="rejected SSL upgrade"):
        await open_connection(parse_url(postgres_server.server.url(sslmode="require")))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_log_is_written_and_read_over_tls(
    mode: str, authorities: Path, postgres_url: str, tmp_path: Path
) -> None:
    """By writer and readers, whether the certificate is looked at or not."""
    root = "" if mode == "require" else f"&sslrootcert={authorities}/ours.pem"
    url = f"{postgres_url}?sslmode={mode}{root}"
    connection = await open_connection(parse_url(url))
    assert await connection.fetchval(IS_ENCRYPTED)
    await connection.close()
    settings = settings_for(tmp_path / "o.db", db_url=url)
    async with aclosing(await open_storage(settings)) as storage:
        await storage.start()
        await storage.commit(batch_of("w", 0, [entry()]))
    async with aclosing(reads_of(settings)) as reads:
        assert (await reads.get_summary_stats()).total_requests == 1
    # What is not asked for is used where the server has it.
    assert await query(postgres_url, IS_ENCRYPTED) == [(True,)]
    assert await query(f"{postgres_url}?sslmode=disable", IS_ENCRYPTED) == [(False,)]


async def test_a_certificate_that_is_not_trusted_is_named(authorities: Path, postgres_url: str, tmp_path: Path) -> None:
    """Of another authority, or for another host: a start says so at once, since waiting would not help."""
    at_localhost = postgres_url.replace("127.0.0.1", "localhost")
    for url, reason in (
        (f"{postgres_url}?sslmode=verify-full&sslrootcert={authorities}/other.pem", "unable to get local issuer"),
        (f"{at_localhost}?sslmode=verify-full&sslrootcert={authorities}/ours.pem", "localhost"),
    ):
        with pytest.raises(
            DatabaseError, match=f"certificate not trusted: .*{reason}.*name its authority in sslrootcert"
        ):
            await open_storage(settings_for(tmp_path / "o.db", db_url=url))
