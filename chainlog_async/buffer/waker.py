"""Wakes the writer's event loop, from any thread."""

from __future__ import annotations

import asyncio
import threading


class WriterWaker:
    """Knows which event loop the writer runs on, while it runs."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        """Set when the writer should check for work; only its own event loop may touch it."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    @property
    def is_attached(self) -> bool:
        """Whether a writer runs."""
        return self._loop is not None

    def attach(self) -> None:
        """Called on the event loop of a writer that starts, which it wakes at once."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.event.set()

    def detach(self) -> None:
        """Nobody has to be woken any more."""
        self._loop = None

    def wake(self) -> None:
        """Wakes the writer, if one runs."""
        if (loop := self._loop) is None:
            return
        if threading.get_ident() == self._thread:
            self.event.set()
            return
        try:
            loop.call_soon_threadsafe(self.event.set)
        except RuntimeError:
            # The loop was closed while the writer ran; the entry stays pending.
            self._loop = None
