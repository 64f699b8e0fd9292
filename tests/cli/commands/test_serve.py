"""``chainlog serve`` as a process."""

from __future__ import annotations

import signal

import httpx
import pytest

from tests.support.cli import Cli, entry


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_drains_when_told_to_stop(cli: Cli, number: signal.Signals) -> None:
    """It prints its URL and its database; a signal ends it with 0, and what it took is in the database."""
    process = cli.start("serve", "--port", "0")
    assert process.stdout is not None
    first, second = process.stdout.readline().decode(), process.stdout.readline().decode()
    url = first.removeprefix("chainlog listens on ").strip()
    assert second == f"database: {cli.db}\n"
    assert httpx.post(f"{url}/v1/logs", json=[entry()] * 500).json()["accepted"] == 500
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (0, b"stopped\n"), stderr
    assert cli.rows() == 500


def test_options_win_over_the_settings(cli: Cli) -> None:
    """--host and --port replace the file's, and an open address without keys is refused with the remedy."""
    (cli.folder / "config.yaml").write_text("settings: {server: {host: 127.0.0.1, port: 1}}\n")
    done = cli.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 1
    assert done.stderr.startswith("error: server.host '0.0.0.0'")
    assert "server.api_keys" in done.stderr
    assert not cli.db.exists()


def test_a_port_in_use_is_told(cli: Cli) -> None:
    """A second service on the same port ends with 1 and says why."""
    process = cli.start("serve", "--port", "0")
    assert process.stdout is not None
    port = process.stdout.readline().decode().strip().rpartition(":")[2]
    done = cli.run("serve", "--port", port)
    assert done.code == 1
    assert f"cannot listen on http://127.0.0.1:{port}" in done.stderr
