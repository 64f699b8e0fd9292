"""The real LiteLLM proxy as processes, a client that hardly costs anything, and what must be in the log afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.common import environment
from chainlog_async import ChainLog
from chainlog_async.settings import Settings

CONFIG = """\
model_list:
  - {model_name: answers, litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "Of course."}}
  - {model_name: limited, litellm_params: {model: groq/llama-3.1-8b-instant, api_key: none,
                                           mock_response: "litellm.RateLimitError"}}
  - {model_name: doomed, litellm_params: {model: groq/llama-3.1-8b-instant, api_key: none,
                                          mock_response: "litellm.InternalServerError"}}
  - {model_name: broken, litellm_params: {model: cerebras/llama3.1-8b, api_key: none,
                                          mock_response: "litellm.InternalServerError"}}
router_settings:
  {num_retries: 0, disable_cooldowns: true, fallbacks: [{limited: [broken, answers]}, {doomed: [broken]}]}
"""

CALLBACKS = "litellm_settings: {callbacks: chainlog_async.integrations.litellm.handler}\n"

EXPECTED = {"answers": (200, 1), "limited": (200, 3), "doomed": (500, 2)}
"""Status and tries of a request, by the model it asks for."""

PROMPT = "the quick brown fox of this test jumps"
"""In every request; it must be nowhere in the log."""


RESTING_S = 1.0
"""Time without work after which every worker has started, in seconds."""


class Load(NamedTuple):
    """What the client saw."""

    answered: dict[str, str]
    """The model by the id of each request that was answered in full, as expected."""
    broken_off: dict[str, str]
    """The model by the id of each request whose connection ended before its answer."""
    seconds: float


class Proxy:
    """One run of ``litellm``, its workers included."""

    def __init__(self, folder: Path, *, workers: int, logs: bool, config: str = CONFIG) -> None:
        self.port = _free_port()
        self.key = f"sk-{secrets.token_hex(16)}"
        path = folder / "litellm.yaml"
        path.write_text(config + (CALLBACKS if logs else ""))
        settings = folder / "chainlog.yaml"
        settings.write_text(json.dumps({"settings": {"db_path": str(folder / "observability.db")}}))
        variables = {
            **environment(),
            "LITELLM_MASTER_KEY": self.key,
            "LITELLM_LOG": "CRITICAL",
            "CHAINLOG_CONFIG": str(settings),
        }
        command = [str(Path(sys.executable).parent / "litellm"), "--config", str(path), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--telemetry", "False", "--num_workers", str(workers)]
        # Its supervisor kills workers that take longer than 5 s to import LiteLLM, and on a busy machine all do.
        command += ["--timeout_worker_healthcheck", "300"]
        self._output = (folder / "proxy.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603  # the interpreter's own neighbour
            command, cwd=folder, env=variables, stdout=self._output, stderr=self._output, start_new_session=True
        )

    def wait_until_up(self) -> None:
        """Returns once it answers. Raises `RuntimeError` when it ended instead."""
        while self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/liveliness"):  # http
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the proxy ended at its start; see proxy.log")

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        return sum(_cpu_seconds(process) for process in _group(self._process.pid))

    def stop(self) -> None:
        """Asks it to end, and returns when every process has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills every process of it at once."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if number is signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self._process.wait()
        while _group(self._process.pid):
            time.sleep(0.05)
        self._output.close()


@contextmanager
def running(folder: Path, *, workers: int, logs: bool, config: str = CONFIG) -> Iterator[Proxy]:
    """A proxy that answers, and is stopped at the end."""
    proxy = Proxy(folder, workers=workers, logs=logs, config=config)
    try:
        proxy.wait_until_up()
        yield proxy
    finally:
        if _group(proxy._process.pid):  # noqa: SLF001  # defined in this module
            proxy.stop()


async def ask(proxy: Proxy, models: Sequence[str], *, connections: int = 32) -> Load:
    """Sends a request for each of the models; it gives up when connections break."""
    waiting = iter([(secrets.token_hex(8), model) for model in models])
    load = Load({}, {}, 0.0)
    began = time.perf_counter()

    async def keep_asking() -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        except OSError:
            return
        with closing(writer):
            for name, model in waiting:
                load.broken_off[name] = model
                try:
                    status = await _post(reader, writer, proxy.key, name, model)
                except (OSError, asyncio.IncompleteReadError):
                    return
                del load.broken_off[name]
                if status != EXPECTED[model][0]:
                    raise RuntimeError(f"{model} was answered with {status}")
                load.answered[name] = model

    await asyncio.gather(*(keep_asking() for _ in range(connections)))
    return load._replace(seconds=time.perf_counter() - began)


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, name: str, model: str) -> int:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}]})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer {key}\r\n"
        f"x-litellm-call-id: {name}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(f"{head}{body}".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
    return int(head.split(" ")[1])


def wait_until_reported(database: Path, count: int, *, patience_s: float = 30.0) -> None:
    """Returns once the log has so many rows, or after that time: LiteLLM reports a request after its answer."""
    end = time.monotonic() + patience_s
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while time.monotonic() < end:
            ((rows,),) = connection.execute("SELECT total_requests FROM usage_summary").fetchall()
            if rows >= count:
                return
            time.sleep(0.1)


def differences(database: Path, answered: dict[str, str], broken_off: dict[str, str]) -> list[str]:
    """What is wrong with the log: a request that is missing, doubled or told wrongly, or a text of a prompt."""
    asyncio.run(_take_over_journals(database))
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT request_id, http_status, attempts FROM request_logs").fetchall()
        dump = "\n".join(connection.iterdump())
    times = Counter(name for name, *_ in rows)
    wrong = [f"{name} for {answered[name]} is missing" for name in answered if name not in times]
    wrong += [f"{name} is there {count} times" for name, count in times.items() if count > 1]
    known = {**answered, **broken_off}
    wrong += [f"{name} was never sent" for name in times if name not in known]
    wrong += [
        f"{name} for {answered[name]} has status {status}, {attempts} tries"
        for name, status, attempts in rows
        if name in answered and (status, attempts) != EXPECTED[answered[name]]
    ]
    return wrong + (["the prompt is in the database"] if PROMPT in dump else [])


async def _take_over_journals(database: Path) -> None:
    """As the next start does: uvicorn ends its workers with the signal it got, and Python's own end never comes."""
    async with ChainLog(Settings(db_path=database)):
        pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _group(leader: int) -> list[Path]:
    """The processes that live in a session, as folders of /proc."""
    return [
        folder
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and (fields := _stat(folder)) and int(fields[3]) == leader and fields[0] != "Z"
    ]


def _stat(process: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name, from the state on; none when the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(process: Path) -> float:
    fields = _stat(process)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0
