"""``chainlog mcp``: an agent reads the log through tools that change nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from tests.support.cli import DB, ROOT, Cli, entry, jsonl


@asynccontextmanager
async def session(folder: Path) -> AsyncIterator[ClientSession]:
    """An agent's connection to the command."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "chainlog_async", "mcp", "--db", DB], cwd=folder
    )
    async with stdio_client(command) as (read, write), ClientSession(read, write) as agent:
        await agent.initialize()
        yield agent


async def test_an_agent_finds_out_what_failed(cli: Cli, tmp_path: Path) -> None:
    """It lists the tools, all of them read-only, asks for usage, searches the failed requests and runs SQL."""
    failed = entry(provider_id="cerebras", http_status=503, error_message="overloaded")
    cli.run("import", "-", stdin=jsonl(entry(), failed))
    async with session(tmp_path) as agent:

        async def ask(tool: str, **arguments: object) -> object:
            result = await agent.call_tool(tool, arguments)
            (content,) = result.content
            assert isinstance(content, TextContent)
            return f"error: {content.text}" if result.is_error else json.loads(content.text)

        tools = (await agent.list_tools()).tools
        assert [tool.name for tool in tools] == [
            "usage",
            "latency",
            "provider_health",
            "find_requests",
            "get_request",
            "names",
            "sql",
        ]
        assert all(tool.description and tool.annotations and tool.annotations.read_only_hint for tool in tools)
        window = {"since": "2023-11-14T00:00Z", "until": "2023-11-16T00:00Z"}
        usage = await ask("usage", by="provider", **window)
        assert {(point["name"], point["errors"]) for point in usage["points"]} == {("groq", 0), ("cerebras", 1)}  # type: ignore[index]  # an object
        found = await ask("find_requests", status="errors")
        assert [row["errorMessage"] for row in found["requests"]] == ["overloaded"]  # type: ignore[index]  # an object
        assert await ask("get_request", id=99) == {"request": None}
        health = await ask("provider_health", **window)
        assert len(health["providers"]) == 2  # type: ignore[index]  # an object
        counted = await ask("sql", query="SELECT COUNT(*) AS n FROM request_logs")
        assert counted == {"columns": ["n"], "rows": [[2]], "isComplete": True}
        assert "may only read" in str(await ask("sql", query="DELETE FROM request_logs"))
        assert "is not a time" in str(await ask("latency", since="yesterday"))


def test_without_the_package_the_command_names_it(cli: Cli) -> None:
    """The extra that is missing is said, with how to install it."""
    (cli.folder / "mcp.py").write_text("raise ModuleNotFoundError('no', name='mcp')", "utf-8")
    done = cli.run("mcp", env={"PYTHONPATH": f"{cli.folder}{os.pathsep}{ROOT}"})
    assert done.code == 1
    assert "needs the package mcp" in done.stderr
