"""Makes calls of what a client does, and entries of the calls."""

from __future__ import annotations

from collections.abc import Callable

from chainlog_async.entry.cost_callback import with_cost
from chainlog_async.entry.model import RequestLogEntry

from .call import WatchedCall
from .options import WatchOptions, description_of
from .providers import MODEL_PATHS
from .safety import safely, throttle


class Watcher:
    """Knows the log and the options of one watched client."""

    def __init__(self, log_request: Callable[[RequestLogEntry], object], options: WatchOptions) -> None:
        self._log_request = log_request
        self._options = options
        self.paths = tuple(options.get("paths", MODEL_PATHS))
        """Path suffixes whose POST requests are logged."""

    @safely
    def begin(self, model: object, stream: object) -> WatchedCall:
        """Begins a call, with the model that is asked for, and whether it is asked to stream; both may be anything."""
        named = model if isinstance(model, str) and model else None
        return WatchedCall(description_of(self._options), self._record, model=named, is_stream_asked=stream is True)

    @safely
    def _record(self, call: WatchedCall) -> None:
        self._log_request(with_cost(call.entry(), self._options.get("cost"), throttle))
