"""A request log for programs that have no single, long-lived event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.entry.model import RequestLogEntry
from chainlog_async.settings import Settings

TICK_INTERVAL_S = 1.0
"""Time between two calls of `on_tick`, in seconds."""

REOPEN_INTERVAL_S = 5.0
"""Pause before another attempt to open the database, in seconds."""

MAX_EARLY_ENTRIES = 100_000
"""How many entries may wait in memory while the database is not open; further ones are dropped with a warning."""

EXIT_GRACE_S = 10.0
"""How long closing may take in addition to `shutdown_timeout_ms`, in seconds."""

BACKGROUND_FLUSH_INTERVAL_MS = 1_000
"""Time between two commits when the settings do not set it and there is a journal, in ms."""

logger = logging.getLogger(__name__)


def settings_from_environment() -> Settings:
    """Loads the settings from ``CHAINLOG_CONFIG`` and ``CHAINLOG_...`` variables. Raises `SettingsError`."""
    return Settings.load(os.environ.get("CHAINLOG_CONFIG"))


def background_settings(settings: Settings) -> Settings:
    """Returns the settings adapted to a loop on its own thread: one commit per second, and no yielding of the GIL.

    Each commit interrupts the program's loop, and entries that wait for one are already in the journal. Without a
    journal, or when `flush_interval_ms` was set, the interval stays unchanged. Yielding would check every 2 ms whether
    this loop is busy, which it is not.
    """
    changes: dict[str, object] = {"yield_gil": False}
    if settings.journal and "flush_interval_ms" not in settings.model_fields_set:
        changes["flush_interval_ms"] = BACKGROUND_FLUSH_INTERVAL_MS
    return settings.model_copy(update=changes)


class BackgroundLog:
    """Runs a `ChainLog` in a thread with an event loop of its own, from the first entry until `close`.

    Entries come from any thread, with or without an event loop. If the log cannot be opened, it retries every
    `REOPEN_INTERVAL_S` seconds; meanwhile entries wait in memory. `accepts` says which of them the settings, which are
    only known once the thread has loaded them, want logged. Thread-safe.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        *,
        on_tick: Callable[[], None] = lambda: None,
        accepts: Callable[[Settings, RequestLogEntry], bool] = lambda _settings, _entry: True,
    ) -> None:
        self._load = load
        self._on_tick = on_tick
        self._accepts = accepts
        self._lock = threading.Lock()
        self._early: deque[RequestLogEntry] = deque()
        self._chainlog: ChainLog | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._closing = threading.Event()
        self._close_timeout_s = EXIT_GRACE_S
        self._log_throttle = LogThrottle()

    def log(self, entry: RequestLogEntry) -> None:
        """Accepts the entry and returns at once. Never raises."""
        chainlog = self._chainlog
        if chainlog is None:
            with self._lock:
                chainlog = self._chainlog
                if chainlog is None:
                    self._take_early(entry)
                    return
        if self._accepts(chainlog.settings, entry):
            chainlog.log_request(entry)

    def close(self) -> None:
        """Writes the accepted entries, ends the thread, and returns once that is done. Later entries are dropped.

        Meant for the end of the process: it starts no thread, which Python no longer allows then.
        """
        self._closing.set()
        if self._thread is None:
            return
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # the loop has already ended
                loop.call_soon_threadsafe(self._wake.set)
        self._thread.join(self._close_timeout_s)
        if self._early:
            logger.error("%d entries are lost: the request log could not be opened", len(self._early))

    def _take_early(self, entry: RequestLogEntry) -> None:
        if len(self._early) >= MAX_EARLY_ENTRIES or self._closing.is_set():
            why = "is closed" if self._closing.is_set() else "cannot be opened; the lines above say why"
            self._log_throttle.warn("entry dropped", f"the request log {why}")
            return
        self._early.append(entry)
        if self._thread is None:
            # A daemon, so that the interpreter does not wait for it before atexit calls close.
            self._thread = threading.Thread(target=self._run, name="chainlog", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                settings = background_settings(self._load())
                self._close_timeout_s = settings.shutdown_timeout_ms / 1000 + EXIT_GRACE_S
                asyncio.run(self._serve(settings))
            except Exception as error:  # noqa: BLE001  # no error here may reach the program
                self._log_throttle.warn("the request log cannot be opened", f"{type(error).__name__}: {error}")
            if self._closing.wait(REOPEN_INTERVAL_S):
                return

    async def _serve(self, settings: Settings) -> None:
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with ChainLog(settings) as chainlog:
            self._open(chainlog)
            try:
                while not self._closing.is_set():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), TICK_INTERVAL_S)
                    self._on_tick()
            finally:
                with self._lock:
                    self._chainlog = None

    def _open(self, chainlog: ChainLog) -> None:
        """Submits the entries that came early, before any later one."""
        with self._lock:
            while self._early:
                entry = self._early.popleft()
                if self._accepts(chainlog.settings, entry):
                    chainlog.log_request(entry)
            self._chainlog = chainlog
