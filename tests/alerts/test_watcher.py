"""An alert fires once and clears once, whatever restarts, and is told to targets without disturbing the log."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chainlog_async import ChainLog
from chainlog_async.alerts import AlertWatcher, report_alerts, send_tests, watcher
from chainlog_async.common.clock import HOUR_MS, now_ms
from chainlog_async.errors import MissingExtraError, SettingsError
from chainlog_async.settings import Settings
from chainlog_async.settings.alert_rule import AlertRule
from chainlog_async.usage.alerts import AlertDelivery, AlertReport
from tests.support.entries import entry
from tests.support.receiver import Receiver, receiver
from tests.support.settings_files import SECRET
from tests.support.writing import check_law, execute, settings_for, until

ERRORS = {"when": "error_rate by provider > 20 % for 10m", "name": "errors", "min_requests": 1}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert clears as soon as its rule is not met."""
    monkeypatch.setattr(AlertRule, "hold_ms", 0)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver of its own."""
    with receiver() as received:
        yield received


def settings_of(path: Path, url: str, *alerts: dict[str, object], **overrides: object) -> Settings:
    """Settings with one webhook and an evaluation every 50 ms."""
    return settings_for(
        path,
        **{
            "alert_targets": [{"name": "ops", "webhook": url}],
            "alerts": list(alerts or [ERRORS]),
            "alert_interval_ms": 50,
            **overrides,
        },
    )


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[AlertWatcher]:
    """A watcher whose steps the test takes, on a log that is open."""
    async with ChainLog(settings.model_copy(update={"alerts": ()})) as chainlog:
        one = AlertWatcher(settings, chainlog.usage, chainlog.statistics)
        await one.load()
        try:
            yield one
        finally:
            await one.aclose()


async def log(path: Path, *statuses: int, **values: object) -> None:
    """Writes one entry of now for each status."""
    async with ChainLog(settings_for(path)) as chainlog:
        for status in statuses:
            await chainlog.write(entry(**{"timestamp": now_ms(), "http_status": status, **values}))


def forget_requests(path: Path) -> None:
    """As if the requests had been long ago; rules are about sums."""
    execute(path, "DELETE FROM usage_buckets")


@pytest.mark.usefixtures("at_once")
async def test_an_alert_is_told_once_when_it_fires_and_once_when_it_clears(tmp_path: Path, hook: Receiver) -> None:
    """Each provider for itself, with what was measured, in JSON."""
    path = tmp_path / "o.db"
    settings = settings_of(path, hook.url)
    await log(path, 500, 200, provider_id="groq")
    await log(path, 500, provider_id="azure")
    await log(path, 200, provider_id="openai")
    async with ChainLog(settings) as chainlog:
        await until(lambda: len(hook.bodies) == 2)
        assert sorted(hook.events) == [("fired", "azure"), ("fired", "groq")]
        await asyncio.to_thread(forget_requests, path)
        await until(lambda: len(hook.bodies) == 4)
        assert sorted(hook.events[2:]) == [("cleared", "azure"), ("cleared", "groq")]
        report = await chainlog.alerts()
        assert [one.firing for one in report.alerts] == [()]
        assert all(delivery.tries == 1 for episode in report.history for delivery in episode.deliveries)
        assert [episode.cleared_at is not None for episode in report.history] == [True, True]
    first = next(body for body in hook.bodies if body["group"] == "groq")
    assert first["text"] == "Alert: errors (groq) at 50.0%; the rule is: error_rate by provider > 20 % for 10m"
    assert len({str(body["id"]) for body in hook.bodies}) == 4


@pytest.mark.usefixtures("at_once")
async def test_the_state_survives_a_restart(tmp_path: Path, hook: Receiver) -> None:
    """Whoever starts again neither tells again what fired, nor forgets to tell that it cleared."""
    path = tmp_path / "o.db"
    settings = settings_of(path, hook.url)
    await log(path, 500)
    for _ in range(3):
        async with watching(settings) as one:
            await one.evaluate()
            await one.evaluate()
            await one.send_due()
    assert hook.events == [("fired", "groq")]
    await asyncio.to_thread(forget_requests, path)
    for _ in range(2):
        async with watching(settings) as one:
            await one.evaluate()
            await one.send_due()
    assert hook.events == [("fired", "groq"), ("cleared", "groq")]
    # The next time is another episode.
    await log(path, 500)
    async with watching(settings) as one:
        await one.evaluate()
        await one.send_due()
    assert [body["id"] for body in hook.bodies] == ["1-fired", "1-cleared", "2-fired"]


@pytest.mark.usefixtures("at_once")
async def test_of_several_watchers_one_evaluates_and_each_message_is_sent_once(tmp_path: Path, hook: Receiver) -> None:
    """The others wait for the lease, and take over when it is given back."""
    path = tmp_path / "o.db"
    settings = settings_of(path, hook.url)
    await log(path, 500)
    async with watching(settings) as one, watching(settings) as other:
        await one.evaluate()
        await other.evaluate()
        sent = await asyncio.gather(one.send_due(), other.send_due())
        assert sum(sent) == 1
        await asyncio.to_thread(forget_requests, path)
        await other.evaluate()
        assert not await other.send_due()
        await one.aclose()
    async with watching(settings) as other:
        await other.evaluate()
        await other.send_due()
    assert hook.events == [("fired", "groq"), ("cleared", "groq")]


@pytest.mark.usefixtures("at_once")
async def test_a_target_that_fails_is_tried_again_within_bounds(
    tmp_path: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later each time, and given up at last; what follows waits for what came before."""
    pauses = [watcher.pause_ms(tries) for tries in range(1, watcher.MAX_TRIES + 1)]
    assert pauses == [2_000, 8_000, 32_000, 128_000, 300_000, 300_000, 300_000, None]
    monkeypatch.setattr(watcher, "FIRST_PAUSE_MS", 0)
    path = tmp_path / "o.db"
    await log(path, 500)
    hook.statuses = [500, 302, 404]
    async with watching(settings_of(path, hook.url)) as one:
        await one.evaluate()
        await asyncio.to_thread(forget_requests, path)
        await one.evaluate()
        for _ in range(3):
            assert await one.send_due() == 1
            assert hook.bodies == []
        await one.send_due()
        await one.send_due()
        assert hook.events == [("fired", "groq"), ("cleared", "groq")]
        # Of the next episode nothing is taken.
        hook.statuses = [503] * 100
        await log(path, 500)
        await one.evaluate()
        sent = 0
        while await one.send_due():
            sent += 1
        assert sent == watcher.MAX_TRIES
        (episode, *_) = (await chainlog_report(path)).history
        assert [(delivery.tries, delivery.error, delivery.is_due) for delivery in episode.deliveries] == [
            (watcher.MAX_TRIES, "it answered 503", False)
        ]


async def chainlog_report(path: Path) -> AlertReport:
    """What `chainlog alerts` reads."""
    return await report_alerts(settings_for(path))


async def deliveries(path: Path) -> tuple[AlertDelivery, ...]:
    """What became of the messages of the newest episode."""
    history = (await chainlog_report(path)).history
    return history[0].deliveries if history else ()


async def failures(path: Path, count: int) -> list[AlertDelivery]:
    """Those that failed, once there are so many."""
    deadline = time.monotonic() + 20
    while len(failed := [one for one in await deliveries(path) if one.error is not None]) < count:
        assert time.monotonic() < deadline, "they did not fail"
    return failed


async def test_a_failing_target_does_not_disturb_the_log(
    tmp_path: Path, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries are written while it hangs, the end of the log waits a moment at most, and no line has a secret."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "o.db"
    hook.hold.clear()
    alert_targets = [
        {"name": "hangs", "webhook": f"{hook.url}/{SECRET}", "headers": {"Authorization": f"Bearer {SECRET}"}},
        {"name": "refuses", "slack": f"http://user:{SECRET}@127.0.0.1:1/{SECRET}"},
        {"name": "fails", "command": [sys.executable, "-c", "raise SystemExit(3)", SECRET]},
        {"name": "missing", "command": [f"/nowhere/{SECRET}"]},
    ]
    settings = settings_of(path, hook.url, alert_targets=alert_targets)
    await log(path, 500)
    async with ChainLog(settings) as chainlog:
        failed = await failures(path, 3)
        for _ in range(100):
            assert chainlog.log_request(entry(timestamp=now_ms()))
        await chainlog.flush()
        report = await chainlog.alerts()
        hanging = report.history[0].deliveries[0]
        began = time.monotonic()
    assert time.monotonic() - began < 5
    hook.hold.set()
    check_law(chainlog.statistics())
    assert chainlog.statistics().written == 100
    assert (hanging.target, hanging.tries, hanging.error, hanging.is_due) == ("hangs", 1, None, True)
    assert [(one.target, one.error) for one in failed] == [
        ("refuses", "it cannot be reached"),
        ("fails", "it ended with exit code 3"),
        ("missing", "it cannot be started: No such file or directory"),
    ]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) >= 3
    assert SECRET not in caplog.text
    assert SECRET not in repr(report)


async def test_a_command_reads_the_message(tmp_path: Path) -> None:
    """From its standard input; one that does not read is no failure."""
    path, told = tmp_path / "o.db", tmp_path / "told.json"
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    alert_targets = [
        {"name": "reads", "command": [sys.executable, "-c", program, str(told)]},
        {"name": "ignores", "command": [sys.executable, "-c", ""]},
    ]
    await log(path, 500)
    async with watching(settings_of(path, "", alert_targets=alert_targets)) as one:
        await one.evaluate()
        assert await one.send_due() == 2
    assert json.loads(told.read_text())["event"] == "fired"
    (episode,) = (await chainlog_report(path)).history
    assert [(delivery.error, delivery.is_due) for delivery in episode.deliveries] == [(None, False)] * 2


async def test_slack_is_sent_text_without_markup(tmp_path: Path, hook: Receiver) -> None:
    """A model's name cannot mention everybody."""
    path = tmp_path / "o.db"
    await log(path, 500, model="<!channel> & co")
    alert = {"when": "error_rate by model > 20 % for 10m", "name": "errors", "min_requests": 1}
    settings = settings_of(path, "", alert, alert_targets=[{"name": "chat", "slack": hook.url}])
    async with watching(settings) as one:
        await one.evaluate()
        await one.send_due()
    assert hook.bodies == [
        {
            "text": "Alert: errors (&lt;!channel&gt; &amp; co) at 100.0%; "
            "the rule is: error_rate by model &gt; 20 % for 10m"
        }
    ]


async def test_a_test_message_goes_to_each_target(tmp_path: Path, hook: Receiver) -> None:
    """And says which of them took it, by name, kind and host."""
    alert_targets = [
        {"name": "ops", "webhook": hook.url, "headers": {"X-Key": SECRET}},
        {"name": "none", "slack": f"http://127.0.0.1:1/{SECRET}"},
        {"name": "page", "command": [f"/nowhere/{SECRET}/page", SECRET]},
    ]
    results = await send_tests(settings_for(tmp_path / "o.db", alert_targets=alert_targets))
    assert [(one.target, one.kind, one.place, one.error is None) for one in results] == [
        ("ops", "webhook", "127.0.0.1", True),
        ("none", "slack", "127.0.0.1", False),
        ("page", "command", "page", False),
    ]
    assert SECRET not in repr(results)
    assert hook.headers[0]["X-Key"] == SECRET
    assert str(hook.bodies[0]["text"]).startswith("Alert: test")


async def test_alerts_of_a_log_on_another_machine_belong_there(tmp_path: Path) -> None:
    """The service that keeps the log evaluates them; a gateway that would is told so when it starts."""
    settings = settings_for(tmp_path / "o.db", db_url="http://127.0.0.1:1", alerts=[ERRORS])
    with pytest.raises(SettingsError, match="alerts are evaluated where the log is kept"):
        async with ChainLog(settings):
            pass


async def test_without_httpx_a_webhook_is_refused_when_the_log_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extra to install, and nothing stays open; a command needs none."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    path = tmp_path / "o.db"
    with pytest.raises(MissingExtraError, match=r"webhook and slack in alert_targets need httpx; .*alerts"):
        async with ChainLog(settings_of(path, "http://127.0.0.1:1")):
            pass
    async with ChainLog(settings_of(path, "", alert_targets=[{"name": "page", "command": ["true"]}])) as chainlog:
        assert (await chainlog.alerts()).history == ()


# What rules measure


NOW = now_ms()


@pytest.mark.parametrize(
    ("when", "entries", "expected"),
    [
        ("error_rate > 40 % for 1h", [{"http_status": 500}, {}], {"": "50.0%"}),
        ("error_rate > 50 % for 1h", [{"http_status": 500}, {}], {}),
        ("error_rate where model = a > 50 % for 1h", [{"http_status": 500, "model": "a"}, {}], {"": "100.0%"}),
        (
            "refusal_rate by model >= 50 % for 1h",
            [{"http_status": 429, "model": "a"}, {"model": "a"}, {"model": "b"}],
            {"a": "50.0%"},
        ),
        ("refusal_rate where provider = p > 1 % for 1h", [{"http_status": 429}], {}),
        ("latency_p95 by model > 8 s for 1h", [{"latency_ms": 20_000}, {"model": "b"}], {"llama-3.1-8b-instant": "19"}),
        ("ttft_p50 > 100ms for 1h", [{"ttft_ms": 200}], {"": "19"}),
        ("cost by caller > 1 USD for 1h", [{"caller": "a", "cost_usd": 1.5}, {"caller": "b"}], {"a": "$1.50"}),
        ("requests > 1 for 1h", [{}, {}], {"": "2"}),
        ("requests < 1 for 1h", [], {"": "0"}),
        ("requests where model = a < 1 for 1h", [{}], {"": "0"}),
        ("cost < 1 USD for 1h", [], {"": "$0.00"}),
        ("nothing logged for 1h", [], {}),
        ("nothing logged for 1h", [{}], {}),
        ("nothing logged for 1h", [{"timestamp": NOW - 2 * HOUR_MS}], {"": "12"}),
        ("nothing logged where model = a for 1h", [{}], {"": "60 min"}),
        ("nothing logged where model = a for 1h", [{"model": "a"}], {}),
        ("error_rate > 40 % for 1h", [{"http_status": 500, "timestamp": NOW - 2 * HOUR_MS}], {}),
        ("budget team-a > 80 %", [{"caller": "team-a", "cost_usd": 4.5}], {"": "90.0%"}),
        ("budget team-a > 80 %", [{"caller": "team-b", "cost_usd": 4.5}], {}),
    ],
)
async def test_a_rule_measures_what_it_says(
    tmp_path: Path, when: str, entries: list[dict[str, object]], expected: dict[str, str]
) -> None:
    """From the log, for each group that the rule is met by."""
    path = tmp_path / "o.db"
    budget = {"name": "team-a", "caller": "team-a", "limit_usd": 5, "per": "month"}
    settings = settings_of(path, "", {"when": when, "min_requests": 1}, alert_targets=[], budgets=[budget])
    async with ChainLog(settings_for(path)) as chainlog:
        for values in entries:
            await chainlog.write(entry(**{"timestamp": now_ms(), **values}))
    async with watching(settings) as one:
        await one.evaluate()
    history = (await chainlog_report(path)).history
    assert {episode.group: episode.value[: len(expected.get(episode.group, ""))] for episode in history} == expected


async def test_few_requests_say_nothing(tmp_path: Path, hook: Receiver) -> None:
    """One failure of one request is no rate."""
    path = tmp_path / "o.db"
    await log(path, 500, 500, 500)
    for least, fired in ((4, 0), (3, 1)):
        async with watching(settings_of(path, hook.url, {**ERRORS, "min_requests": least})) as one:
            await one.evaluate()
            assert await one.send_due() == fired
