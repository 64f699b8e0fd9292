"""A request log with a thread and an event loop of its own: entries from anywhere, written at the end."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chainlog_async.errors import SettingsError
from chainlog_async.integrations import background_log as background
from chainlog_async.integrations.background_log import BackgroundLog, background_settings
from chainlog_async.settings import Settings
from tests.support.entries import entry as make_entry

MakeSettings = Callable[..., Settings]


def _rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM request_logs").fetchone()
    return int(count)


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_what_was_taken_in_is_written_at_the_close(make_settings: MakeSettings) -> None:
    """Entries of threads with an event loop and without one, the first before anything is open, are all written."""
    settings = make_settings()
    log = BackgroundLog(lambda: settings)

    async def in_a_loop() -> None:
        for _ in range(100):
            log.log(make_entry())

    threads = [threading.Thread(target=lambda: asyncio.run(in_a_loop())) for _ in range(4)]
    log.log(make_entry())
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert _rows(settings.db_path) == 401
    assert not [thread for thread in threading.enumerate() if thread.name == "chainlog"]


def test_nothing_is_opened_without_an_entry(make_settings: MakeSettings) -> None:
    """A log that nobody used reads no settings and makes no file."""

    def load() -> Settings:
        raise AssertionError

    BackgroundLog(load).close()
    assert not make_settings().db_path.exists()


def test_only_what_the_settings_want_is_logged(make_settings: MakeSettings) -> None:
    """Entries that `accepts` refuses are left out, the early ones too."""
    settings = make_settings(litellm_health_checks=True)
    log = BackgroundLog(
        lambda: settings, accepts=lambda given, entry: given.litellm_health_checks and entry.chain_name == "kept"
    )
    for _ in range(2):
        log.log(make_entry(chain_name="kept"))
        log.log(make_entry(chain_name="left out"))
        _until(lambda: log._chainlog is not None)
    log.close()
    assert _rows(settings.db_path) == 2


def test_a_log_that_cannot_be_opened_is_tried_again(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the settings are wrong entries wait and the log says why; once they are right, all are written."""
    monkeypatch.setattr(background, "REOPEN_INTERVAL_S", 0.01)
    mended = threading.Event()
    settings = make_settings()

    def load() -> Settings:
        if not mended.is_set():
            raise SettingsError("db_path is missing")
        return settings

    log = BackgroundLog(load)
    with caplog.at_level(logging.WARNING, "chainlog_async"):
        log.log(make_entry())
        _until(lambda: "db_path is missing" in caplog.text)
    log.log(make_entry())
    mended.set()
    _until(lambda: settings.db_path.exists() and log._chainlog is not None)
    log.close()
    assert _rows(settings.db_path) == 2


def test_entries_that_could_not_be_kept_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A log that never opens says at its close how many entries are lost, and takes in no more than its bound."""
    monkeypatch.setattr(background, "REOPEN_INTERVAL_S", 0.01)
    monkeypatch.setattr(background, "MAX_EARLY_ENTRIES", 3)

    def load() -> Settings:
        raise SettingsError("never")

    log = BackgroundLog(load)
    for _ in range(5):
        log.log(make_entry())
    log.close()
    log.log(make_entry())
    assert "3 entries are lost" in caplog.text
    assert "entry dropped" in caplog.text


def test_it_ticks_while_it_is_open(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the log is called again and again on its thread."""
    monkeypatch.setattr(background, "TICK_INTERVAL_S", 0.01)
    settings = make_settings()
    ticks: list[str] = []
    log = BackgroundLog(lambda: settings, on_tick=lambda: ticks.append(threading.current_thread().name))
    log.log(make_entry())
    _until(lambda: len(ticks) > 3)
    log.close()
    assert set(ticks) == {"chainlog"}


def test_commits_are_a_second_apart_unless_the_settings_say_otherwise(make_settings: MakeSettings) -> None:
    """The busy loop of the program is disturbed less often, and its own loop never gives way."""
    quiet = background_settings(make_settings())
    assert (quiet.flush_interval_ms, quiet.yield_gil) == (1_000, False)
    asked = background_settings(make_settings(flush_interval_ms=50))
    assert (asked.flush_interval_ms, asked.yield_gil) == (50, False)
    # What waits in memory alone is lost with the process.
    assert background_settings(make_settings(journal=False)).flush_interval_ms == 100
