"""docs/how-to/senders.md: the senders in TypeScript and Go, run by Node and Go where they are installed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import STDOUT, run

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.demo.serving import listening, serving
from examples.demo.simulated import BrokenOffError
from tests.support.service import count_rows, running, service_settings, settled

from .blocks import ROOT

SENDERS = ROOT / "examples" / "senders"
COUNT = 1_200
"""Entries that a program sends, which are three batches."""

TYPE = r"(?:Required<Options>|Promise<\w+>|Record<string, string>|Entry|Options|string|number|boolean|unknown)(?:\[\])?"

NODE_PROGRAM = """
import { Sender } from "./chainlog.mjs";
const sender = new Sender(process.argv[2]);
for (let number = 0; number < Number(process.argv[3]); number++) {
  const entry = { chainName: "node", providerId: "groq", model: "m", latencyMs: number, httpStatus: 200 };
  if (!sender.log(entry)) throw new Error("not accepted");
}
sender.log({ chainName: "node", cost: 10n });
await sender.close(Number(process.argv[4]));
if (sender.log({})) throw new Error("accepted after the end");
console.log(sender.dropped);
"""

GO_PROGRAM = """
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"example/chainlog"
)

func main() {
	sender := chainlog.New(os.Args[1], "")
	count, _ := strconv.Atoi(os.Args[2])
	graceMs, _ := strconv.Atoi(os.Args[3])
	for number := 0; number < count; number++ {
		entry := chainlog.Entry{"chainName": "go", "providerId": "groq", "model": "m", "httpStatus": 200}
		entry["latencyMs"] = number
		if !sender.Log(entry) {
			panic("not accepted")
		}
	}
	sender.Log(chainlog.Entry{"chainName": make(chan int)})
	sender.Close(time.Duration(graceMs) * time.Millisecond)
	if sender.Log(chainlog.Entry{}) {
		panic("accepted after the end")
	}
	fmt.Println(sender.Dropped())
}
"""


def without_types(source: str) -> str:
    """JavaScript of the TypeScript file, which only has interfaces, and annotations of these few types."""
    source = re.sub(r"^export interface .*?^\}\n", "", source, flags=re.DOTALL | re.MULTILINE)
    return re.sub(rf"\??: {TYPE}(?: \| undefined)?(?=[ ,;)])", "", source)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs a program with the TypeScript file."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp("node")
    (folder / "chainlog.mjs").write_text(without_types((SENDERS / "chainlog.ts").read_text("utf-8")), "utf-8")
    (folder / "program.mjs").write_text(NODE_PROGRAM, "utf-8")
    return ["node", str(folder / "program.mjs")]


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs a program with the Go file."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    folder = tmp_path_factory.mktemp("go")
    (folder / "chainlog").mkdir()
    shutil.copy(SENDERS / "chainlog.go", folder / "chainlog")
    (folder / "go.mod").write_text("module example\n\ngo 1.19\n", "utf-8")
    (folder / "main.go").write_text(GO_PROGRAM, "utf-8")
    run(["go", "vet", "./..."], cwd=folder, check=True)
    run(["go", "build", "-o", "program"], cwd=folder, check=True)
    return [str(folder / "program")]


@pytest.fixture(params=["node", "go"])
def program(request: pytest.FixtureRequest) -> list[str]:
    """The command that runs a program with one of the senders."""
    command: list[str] = request.getfixturevalue(request.param)
    return command


async def dropped_by(program: list[str], url: str, count: int, grace_ms: int) -> int:
    """Runs the program. Returns how many entries it counts as dropped, besides two that are never accepted."""
    done = await anyio.run_process([*program, url, str(count), str(grace_ms)], stderr=STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()
    return int(done.stdout) - 2


@pytest.mark.timeout(180)
async def test_a_sender_sends_everything(tmp_path: Path, program: list[str]) -> None:
    """Each entry is a row when the sender is closed."""
    async with running(service_settings(tmp_path)) as client:
        assert await dropped_by(program, str(client.base_url).rstrip("/"), COUNT, 50_000) == 0
        await settled(client)
    assert count_rows(tmp_path / "log.db") == COUNT


class FlakyServer:
    """Refuses a request, then takes one without answering it, then answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, list[dict[str, object]]]] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its URL, while the block runs."""
        app = Starlette(routes=[Route("/v1/logs", self._answer, methods=["POST"])])
        with listening() as sock:
            async with serving(app, sock) as url:
                yield url

    async def _answer(self, request: Request) -> Response:
        entries: list[dict[str, object]] = json.loads(await request.body())
        self.requests.append((request.headers["idempotency-key"], entries))
        if len(self.requests) == 1:
            return JSONResponse({"error": "not now"}, 503)
        if len(self.requests) == 2:
            raise BrokenOffError
        return JSONResponse({"accepted": len(entries) - 1, "rejected": [{"index": 0, "error": "bad"}]}, 202)


@pytest.mark.timeout(180)
async def test_a_batch_is_sent_again_under_its_key(program: list[str]) -> None:
    """Until it is answered, the same batch comes with the same key; the next has another. What is refused counts."""
    server = FlakyServer()
    async with server.serving() as url:
        assert await dropped_by(program, url, COUNT, 50_000) == 3
    first, *others = server.requests
    assert others[:2] == [first, first]
    assert [len(entries) for _key, entries in server.requests] == [500, 500, 500, 500, 200]
    assert len({key for key, _entries in server.requests}) == 3
    assert [entry["latencyMs"] for _key, entries in server.requests[2:] for entry in entries] == list(range(COUNT))


@pytest.mark.timeout(180)
async def test_a_server_that_is_away_holds_nobody_up(program: list[str], unused_tcp_port: int) -> None:
    """After the grace, what is left counts as dropped."""
    assert await dropped_by(program, f"http://127.0.0.1:{unused_tcp_port}", COUNT, 300) == COUNT
