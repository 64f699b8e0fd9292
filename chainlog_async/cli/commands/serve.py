"""``chainlog serve``."""

from __future__ import annotations

import functools
import logging

import anyio
import click

from chainlog_async.cli.options.settings import SettingsOptions, examples, settings_options
from chainlog_async.cli.output.log_handler import log_to_stderr
from chainlog_async.cli.output.render import plain
from chainlog_async.common.extras import install_command


@click.command(
    "serve",
    epilog=examples(
        "chainlog serve                                   with ./config.yaml, or the defaults",
        "chainlog serve --config config.yaml --port 8080",
        "CHAINLOG_SERVER__API_KEYS='[\"secret\"]' chainlog serve --host 0.0.0.0",
        "curl http://127.0.0.1:4290/v1/stats/summary      ask it for usage",
    ),
)
@click.option("--host", metavar="ADDRESS", help="Listen on this address; without api_keys it must be loopback.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65_535), help="Listen on this port; 0 picks a free one.")
@settings_options
def serve_command(options: SettingsOptions, host: str | None, port: int | None) -> None:
    """Accept entries over HTTP and serve usage reports.

    A database that does not exist is created, with its folders, as the service may start before the first entry.

    Ctrl-C or SIGTERM stops it: requests in progress are answered, and waiting entries are written first.
    """
    try:
        from chainlog_async.server import serve as run_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"starlette", "uvicorn"}:
            raise
        raise click.UsageError(f"serve needs {error.name}; {install_command('server')}") from error
    server = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = options.load(**({"server": server} if server else {}))
    log_to_stderr(logging.INFO, with_time=True)
    logging.getLogger("chainlog_async.sqlite").setLevel(logging.INFO)
    anyio.run(functools.partial(run_server, settings, announce=_announce))
    click.echo("stopped")


def _announce(url: str, database: str) -> None:
    click.echo(f"chainlog listens on {plain(url)}")
    click.echo(f"database: {plain(database)}")
