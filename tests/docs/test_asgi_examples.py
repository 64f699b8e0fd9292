"""The examples run as their documentation says, in processes of their own, over real HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest

from tests.support.gateways import program, rows_in

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "asgi.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent

UVICORN_SAYS = "Uvicorn running on"
QUESTION = {"model": "fast", "messages": [{"role": "user", "content": "Hello"}], "input": "Hello"}


async def shell(command: str, folder: Path) -> str:
    """What a command line prints; it has to end well."""
    return (await anyio.run_process(["sh", "-ec", command], cwd=folder)).stdout.decode()


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("fastapi_gateway", "/v1/chat/completions", ("fast", "cerebras", 12, 5, 2, 0)),
        ("starlette_gateway", "/v1/chat/completions", ("fast", "groq", 12, 5, 1, 1)),
        ("litestar_gateway", "/v1/embeddings", ("search", "mistral", 12, 0, 1, 0)),
    ],
)
async def test_an_example_logs(tmp_path: Path, name: str, path: str, expected: tuple[object, ...]) -> None:
    """Each framework's example answers, and has the request in its database once it is stopped."""
    command = [str(BIN / "uvicorn"), f"{name}:app", "--port", "0", "--app-dir", str(ROOT / "examples")]
    async with (
        program(command, folder=tmp_path, announces=UVICORN_SAYS) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client,
    ):
        assert (await client.post(path, json=QUESTION)).status_code == 200
        assert (await client.get("/elsewhere")).status_code == 404
    (row,) = rows_in(tmp_path / "data" / "observability.db")
    names = ("chain_name", "provider_id", "prompt_tokens", "completion_tokens", "attempts", "streamed")
    assert tuple(row[each] for each in names) == expected
    assert (row["http_status"], row["caller"]) == (200, "search-team")


@pytest.mark.parametrize("failing", ["status", "exception"])
async def test_litestars_failures_are_rows(tmp_path: Path, failing: str) -> None:
    """An exception of Litestar's is recorded with the status that the client gets."""
    source = (ROOT / "examples" / "litestar_gateway.py").read_text("utf-8")
    raising = {"status": "litestar.exceptions.HTTPException(status_code=429)", "exception": "ValueError('secret')"}
    broken = source.replace("    vector =", f"    import litestar\n\n    raise {raising[failing]}\n    vector =")
    assert broken != source
    (tmp_path / "broken.py").write_text(broken, "utf-8")
    expected = {"status": 429, "exception": 500}[failing]
    command = [str(BIN / "uvicorn"), "broken:app", "--port", "0"]
    async with (
        program(command, folder=tmp_path, announces=UVICORN_SAYS) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client,
    ):
        assert (await client.post("/v1/embeddings", json=QUESTION)).status_code == expected
    (row,) = rows_in(tmp_path / "data" / "observability.db")
    assert row["http_status"] == expected
    assert "secret" not in str(row)


async def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    """Followed literally, but for the port: save the block, start it, run the commands, and read the row."""
    (source,) = (text for language, text in BLOCKS if language == "python")
    assert source == (ROOT / "examples" / "fastapi_gateway.py").read_text("utf-8")
    _install, start, use = (text for language, text in BLOCKS if language == "sh")
    ask, recent, recent_json = use.splitlines()
    (tmp_path / "gateway.py").write_text(source, "utf-8")
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    command = start.replace("--port 8000", "--port 0").split()
    async with program(command, folder=tmp_path, announces=UVICORN_SAYS) as url:
        assert "You said" in await shell(ask.replace("http://127.0.0.1:8000", url), tmp_path)
        while not (rows := json.loads(await shell(recent_json, tmp_path))["requests"]):
            pass
        assert "cerebras" in await shell(recent, tmp_path)
    (row,) = rows
    assert (row["chainName"], row["providerId"], row["httpStatus"], row["attempts"]) == ("fast", "cerebras", 200, 2)


async def test_the_demo_lives_until_ctrl_c(tmp_path: Path) -> None:
    """The demo shows its dashboard while the log fills; Ctrl-C ends it, live tails too, with a closed database."""
    db_path = tmp_path / "demo.db"
    command = [sys.executable, "-m", "examples.demo", "--port", "0", "--per-s", "50", "--db", str(db_path)]
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        async with program(command, folder=ROOT, announces="The dashboard") as dashboard:
            models = (await client.get(dashboard.replace("/chainlog", "/v1/models"))).json()["data"]
            assert "<html" in (await client.get(f"{dashboard}/")).text
            live_tail = client.build_request("GET", f"{dashboard}/v1/requests/stream", timeout=None)
            watching = await client.send(live_tail, stream=True)
            written = 0
            while written < 30:
                written = (await client.get(f"{dashboard}/health")).json()["accounting"]["written"]
        await watching.aread()
        with pytest.raises(httpx.ConnectError):
            await client.get(dashboard)
    assert [model["id"] for model in models] == ["fast", "smart", "cheap", "lab"]
    assert not [name for name in ("demo.db-wal", "demo.db-shm") if db_path.with_name(name).exists()]
    rows = rows_in(db_path)
    assert len(rows) >= written
    assert {row["caller"] for row in rows} == {"search-team", "support-bot", "mobile-app", "data-team"}


async def test_the_gateway_serves_what_its_file_says(tmp_path: Path) -> None:
    """Started with a copy of gateway.yaml, the gateway lists its chains; Ctrl-C ends it while a page watches."""
    config = (ROOT / "examples" / "gateway" / "gateway.yaml").read_text("utf-8")
    config = config.replace("port: 4291", "port: 0").replace("./data", str(tmp_path))
    (tmp_path / "gateway.yaml").write_text(config, "utf-8")
    command = [sys.executable, "-m", "examples.gateway", str(tmp_path / "gateway.yaml")]
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        async with program(command, folder=ROOT, announces=UVICORN_SAYS) as url:
            models = (await client.get(f"{url}/v1/models")).json()["data"]
            live_tail = client.build_request("GET", f"{url}/chainlog/v1/requests/stream", timeout=None)
            watching = await client.send(live_tail, stream=True)
        await watching.aread()
    assert [model["id"] for model in models] == ["fast"]
    assert rows_in(tmp_path / "gateway.db") == []


def test_make_runs_the_demo() -> None:
    """`make demo` is the command that the tests run."""
    done = subprocess.run(
        ["make", "--dry-run", "demo", "DEMO_ARGS=--port 0"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "python -m examples.demo --port 0" in done.stdout
