"""``chainlog mcp``."""

from __future__ import annotations

import anyio
import click

from chainlog_async.cli.options.settings import SettingsOptions, examples, settings_options
from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError


@click.command(
    short_help="Let an agent read the log (MCP).",
    epilog=examples(
        "chainlog mcp --db /srv/chainlog/observability.db",
        "claude mcp add chainlog -- chainlog mcp --db /srv/chainlog/observability.db",
        "chainlog mcp --db-url https://log.example.org       with the key in CHAINLOG_DB_KEY",
    ),
)
@settings_options
def mcp(options: SettingsOptions) -> None:
    """Answer an agent's questions about the log over the Model Context Protocol, on stdin and stdout.

    The agent's program starts this command. Its tools are usage, latency, provider_health, find_requests, get_request
    and names, and sql for a SQLite file. None of them can change the log. The agent sees what is in it: names, error
    messages and metadata, but no prompts or answers, which are not logged. Needs the extra mcp.

    Exit codes: 0 stdin ended, 1 the log cannot be opened (the reason is on stderr).
    """
    try:
        from chainlog_async.cli.mcp.server import serve_stdio
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise MissingExtraError(f"the command mcp needs the package mcp; {install_command('mcp')}") from error
    settings = options.load()
    anyio.run(serve_stdio, settings)
