"""`otel_export`: every request reaches the endpoint, whatever happens on the way."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from chainlog_async import ChainLog, RequestLogEntry
from chainlog_async.common.clock import now_ms
from chainlog_async.entry.model import Attempt
from chainlog_async.errors import SettingsError
from chainlog_async.integrations import otel
from chainlog_async.otel_export import exporter
from chainlog_async.server import create_app
from chainlog_async.settings import Settings
from chainlog_async.statistics import OtelExportCounts
from tests.support.otlp_receiver import OtlpReceiver, attributes_of, otlp_receiver
from tests.support.service import running, service_settings, serving

SECRET = "Bearer secret-of-the-endpoint"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_S", "TAKE_OVER_S", "FIRST_PAUSE_S"):
        monkeypatch.setattr(exporter, name, 0.02)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver on this machine."""
    with otlp_receiver() as received:
        yield received


def settings_of(folder: Path, url: str, **values: object) -> Settings:
    """Settings of a log that is exported to this address."""
    export = {"endpoint": url, "headers": {"Authorization": SECRET}}
    return Settings(db_path=folder / "log.db", flush_interval_ms=5, otel_export=export, **values)


def entry(number: int = 0, **values: object) -> RequestLogEntry:
    """A request with that number in its model."""
    given: dict[str, Any] = {
        "timestamp": now_ms(),
        "chain_name": "fast",
        "provider_id": "groq",
        "model": f"m{number}",
        "latency_ms": 50.0,
        "http_status": 200,
        **values,
    }
    return RequestLogEntry(**given)


def counts_of(log: ChainLog) -> OtelExportCounts:
    """What the log says about its export."""
    counts = log.statistics().otel_export
    assert counts is not None
    return counts


def notes_of(log: ChainLog) -> list[str]:
    """The notes of its health that are about the export."""
    return [note for note in log.health().notes if "otel_export" in note]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a state; pytest's timeout ends the test when it never comes."""
    while True:
        if condition():
            return
        await anyio.sleep(0.01)


@asynccontextmanager
async def exporting(settings: Settings) -> AsyncIterator[ChainLog]:
    """An open log that exports."""
    async with ChainLog(settings) as log:
        await until(lambda: counts_of(log).is_exporting)
        yield log


def remove_database(folder: Path) -> None:
    """Removes the database, and leaves how far it was exported."""
    for path in folder.glob("log.db*"):
        if path.is_file() and "otel" not in path.name:
            path.unlink()


def models(receiver: OtlpReceiver) -> list[object]:
    """The models of the requests that arrived."""
    return [attributes_of(span)["gen_ai.request.model"] for span in receiver.requests()]


async def test_each_request_is_sent_once(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """With the headers of the settings, to the path of OTLP; nothing shows them."""
    async with exporting(settings_of(tmp_path, receiver.url)) as log:
        for number in range(5):
            log.log_request(entry(number))
        await until(lambda: len(receiver.requests()) == 5)
        await until(lambda: counts_of(log).requests == 5)
        statistics, health = repr(log.statistics()), repr(log.health())
    assert models(receiver) == [f"m{number}" for number in range(5)]
    assert set(receiver.paths) == {"/v1/traces"}
    assert {headers["Authorization"] for headers in receiver.headers} == {SECRET}
    assert SECRET not in statistics + health + repr(log.settings)


async def test_what_was_logged_before_the_export_began_is_not_sent(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """But all that is logged after that, also by a process that does not export."""
    async with ChainLog(Settings(db_path=tmp_path / "log.db")) as log:
        await log.write(entry(1))
    async with exporting(settings_of(tmp_path, receiver.url)):
        pass
    async with ChainLog(Settings(db_path=tmp_path / "log.db")) as log:
        await log.write(entry(2))
    async with exporting(settings_of(tmp_path, receiver.url)):
        await until(lambda: models(receiver) == ["m2"])


async def test_an_endpoint_that_fails_is_asked_again(
    tmp_path: Path, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """After its Retry-After, or a while; health has a note until then, and no line of the log has a secret."""
    caplog.set_level(logging.DEBUG)
    later = {"Retry-After": "0"}
    receiver.answers = [(503, later, b""), (429, {"Retry-After": "x"}, b""), (401, {}, b"no"), (404, {}, b"")]
    receiver.hold.clear()
    async with exporting(settings_of(tmp_path, receiver.url)) as log:
        await log.write(entry(1))
        receiver.hold.set()
        await until(lambda: counts_of(log).failures > 0)
        await until(lambda: models(receiver) == ["m1"])
        await until(lambda: counts_of(log).requests == 1 and not counts_of(log).pending)
        counts = counts_of(log)
        assert not notes_of(log)
    assert (counts.failures, counts.pending, counts.last_error) == (4, 0, "it answered 404")
    assert SECRET not in caplog.text
    assert "requests are not exported at present" in caplog.text


async def test_health_has_a_note_while_nothing_arrives(tmp_path: Path) -> None:
    """It says how many wait, and no address."""
    async with exporting(settings_of(tmp_path, "http://127.0.0.1:9")) as log:
        await log.write(entry(1))
        await until(lambda: bool(notes_of(log)))
        (note,) = notes_of(log)
        assert log.health().status == "ok"
    assert note == "requests are not exported to otel_export.endpoint at present; 1 wait: it cannot be reached"


async def test_a_request_that_is_refused_does_not_hold_up_the_others(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """A batch that is refused is sent in parts, and what is refused alone is counted and left out."""
    receiver.max_spans = 3
    async with exporting(settings_of(tmp_path, receiver.url)) as log:
        receiver.hold.clear()
        trail = [Attempt(provider_id="groq", model="m") for _ in range(5)]
        for number in range(8):
            log.log_request(entry(number, attempts=5, attempt_trail=trail) if number == 4 else entry(number))
        await log.flush()
        receiver.hold.set()
        await until(lambda: counts_of(log).requests == 7)
        assert counts_of(log).refused_requests == 1
    assert models(receiver) == ["m0", "m1", "m2", "m3", "m5", "m6", "m7"]


async def test_what_the_endpoint_rejects_is_counted(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """And not sent again."""
    partial = b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no room"}}'
    receiver.answers = [(200, {}, partial)]
    async with exporting(settings_of(tmp_path, receiver.url)) as log:
        await log.write(entry(1))
        await until(lambda: counts_of(log).rejected_spans == 1)
        await log.write(entry(2))
        await until(lambda: counts_of(log).requests == 2)
    assert models(receiver) == ["m1", "m2"]


async def test_one_process_of_a_log_sends(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """The others wait, and what they log is sent too."""
    settings = settings_of(tmp_path, receiver.url)
    async with ChainLog(settings) as second:
        await until(lambda: counts_of(second).is_exporting)
        async with ChainLog(settings) as first:
            await first.write(entry(1))
            await until(lambda: models(receiver) == ["m1"])
            assert not counts_of(first).is_exporting
        await second.write(entry(2))
        await until(lambda: models(receiver) == ["m1", "m2"])


PROGRAM = """
import sys, anyio
from pathlib import Path
from chainlog_async import ChainLog, Settings
from tests.otel_export.test_exporter import entry, settings_of

async def main():
    async with ChainLog(settings_of(Path(sys.argv[1]), sys.argv[2])) as log:
        while not log.statistics().otel_export.is_exporting:
            await anyio.sleep(0.01)
        for number in range(2_000):
            log.log_request(entry(number))
        await log.flush()
        print("written", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


async def test_a_kill_in_the_middle_loses_no_request(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """Each arrives once, or twice as the very same spans."""
    receiver.hold.clear()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), receiver.url]
    async with await anyio.open_process(command) as process:
        assert process.stdout is not None
        await process.stdout.receive()
        # The first batch has arrived, and is not answered.
        await anyio.to_thread.run_sync(receiver.arrived.acquire)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    receiver.hold.set()
    async with exporting(settings_of(tmp_path, receiver.url)) as log:
        await until(lambda: counts_of(log).pending == 0 and len(set(models(receiver))) == 2_000)
    by_id = {span.span_id: attributes_of(span)["gen_ai.request.model"] for span in receiver.requests()}
    assert len(by_id) == len(set(by_id.values())) == 2_000


async def test_a_database_in_the_place_of_the_one_before_is_sent_from_its_start(
    tmp_path: Path, receiver: OtlpReceiver
) -> None:
    """Its requests have smaller ids than those that were sent."""
    async with exporting(settings_of(tmp_path, receiver.url)) as log:
        for number in range(3):
            await log.write(entry(number))
        await until(lambda: len(receiver.requests()) == 3)
        await until(lambda: counts_of(log).pending == 0)
    remove_database(tmp_path)
    async with exporting(settings_of(tmp_path, receiver.url)) as log:
        await log.write(entry(9))
        await until(lambda: models(receiver)[3:] == ["m9"])


async def test_a_round_trip_through_our_own_route_is_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its attempts, and without going round again."""
    monkeypatch.setattr(otel, "HOLD_S", 0.05)
    trail = [
        Attempt(provider_id="groq", model="m", http_status=429, latency_ms=5, error_message="RateLimitError"),
        Attempt(provider_id="azure", model="gpt", http_status=200, latency_ms=20, prompt_tokens=2_006, cost_usd=0.5),
    ]
    sent = entry(
        provider_id="azure",
        model="gpt",
        prompt_tokens=2_006,
        completion_tokens=300,
        cached_tokens=920,
        cache_write_tokens=1_000,
        cache_write_1h_tokens=400,
        reasoning_tokens=128,
        prompt_audio_tokens=3,
        ttft_ms=12,
        cost_usd=0.5,
        streamed=True,
        finish_reason="stop",
        service_tier="flex",
        response_id="resp-1",
        session_id="session-1",
        caller="team-a",
        attempts=2,
        attempt_trail=trail,
    )
    failed = entry(http_status=429, error_message="RateLimitError")
    (tmp_path / "other").mkdir()
    other = service_settings(tmp_path / "other", otel_export={"endpoint": "http://127.0.0.1:9"})
    async with serving(create_app(ChainLog(other))) as client:
        async with exporting(settings_of(tmp_path, str(client.base_url))) as log:
            await log.write(sent)
            await log.write(failed)
            rows = sorted(await log.usage.get_recent_requests(), key=lambda row: row.id)
            while True:
                found = (await client.get("/v1/requests")).json()["requests"]
                if len(found) == 2:
                    break
                await anyio.sleep(0.02)
        accounting = (await client.get("/v1/statistics")).json()["otelExport"]
    assert (accounting["requests"], accounting["failures"]) == (0, 0)
    own = {"id", "requestId", "metadata", "costSource"}
    for row, arrived in zip(rows, sorted(found, key=lambda one: one["model"]), strict=True):
        before = {key: value for key, value in msgspec.to_builtins(row).items() if key not in own}
        after = {key: value for key, value in arrived.items() if key not in own}
        assert after == before


async def test_counters_are_metrics(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """Of a service that exports, and of no other."""
    settings = service_settings(tmp_path, otel_export={"endpoint": receiver.url})
    async with running(settings) as client:
        assert "chainlog_otel_export_requests_total 0.0" in (await client.get("/metrics")).text
    async with running(service_settings(tmp_path)) as client:
        assert "otel_export" not in (await client.get("/metrics")).text


async def test_a_log_on_another_machine_is_exported_there(tmp_path: Path) -> None:
    """Beside its db_url the setting is refused."""
    settings = Settings(
        db_path=tmp_path / "log.db", db_url="http://127.0.0.1:9", otel_export={"endpoint": "http://127.0.0.1:9"}
    )
    with pytest.raises(SettingsError, match="otel_export is for the service that keeps the log"):
        async with ChainLog(settings):
            pass


def test_settings_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers as JSON."""
    monkeypatch.setenv("CHAINLOG_OTEL_EXPORT__ENDPOINT", "https://example.org")
    monkeypatch.setenv("CHAINLOG_OTEL_EXPORT__HEADERS", '{"Authorization": "Bearer x"}')
    export = Settings().otel_export
    assert export.headers["Authorization"].get_secret_value() == "Bearer x"
    assert "Bearer x" not in repr(export)


@pytest.mark.parametrize("endpoint", ["example.org", "ftp://example.org", "", "http://"])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    """Anything else is refused, without showing it."""
    with pytest.raises(SettingsError, match=r"otel_export\.endpoint.*must be an address"):
        Settings(otel_export={"endpoint": endpoint})
