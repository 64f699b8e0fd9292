"""LiteLLM's requests in the request log: one row for each, with its tries; for the SDK, the Router and the proxy.

    litellm.callbacks = [chainlog_async.integrations.litellm.handler]

or, in the proxy's configuration, ``litellm_settings: {callbacks: chainlog_async.integrations.litellm.handler}``.
The settings come from the file that ``CHAINLOG_CONFIG`` names and from ``CHAINLOG_...`` variables.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping

from litellm.integrations.custom_logger import CustomLogger

from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.integrations._litellm.attempt_join import AttemptJoin
from chainlog_async.integrations._litellm.payload import read_event, read_failure
from chainlog_async.settings import Settings

from .background_log import BackgroundLog

Kwargs = Mapping[str, object]


def settings_from_environment() -> Settings:
    """What ``CHAINLOG_CONFIG`` and ``CHAINLOG_...`` say. Raises `SettingsError`."""
    return Settings.load(os.environ.get("CHAINLOG_CONFIG"))


class ChainlogHandler(CustomLogger):
    """LiteLLM's callbacks. Nothing is opened before the first of them, and nothing is ever raised to LiteLLM.

    One handler serves every thread and event loop of the process. At the end of the process everything is written;
    `close` does that earlier.
    """

    def __init__(self, load: Callable[[], Settings] = settings_from_environment) -> None:
        super().__init__()
        self._load = load
        self._log_throttle = LogThrottle()
        self._reset()
        # A process that was forked has neither the thread nor the requests that wait here.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Ends every request that waits for another try, writes everything and closes the database; waits for that.

        What LiteLLM reports afterwards is not logged. In an async program, first
        ``await GLOBAL_LOGGING_WORKER.flush()``, LiteLLM's own queue, then call this in a thread.
        """
        self._join.flush()
        self._log.close()

    def log_pre_api_call(self, model: object, messages: object, kwargs: Kwargs) -> None:
        """A try begins."""
        self._join.began(str(kwargs.get("litellm_call_id")), str(kwargs.get("litellm_trace_id")))

    def log_success_event(self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object) -> None:
        """A try answered."""
        self._take(kwargs, succeeded=True)

    def log_failure_event(self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object) -> None:
        """A try failed."""
        self._take(kwargs, succeeded=False)

    async def async_log_success_event(
        self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object
    ) -> None:
        """A try answered."""
        self._take(kwargs, succeeded=True)

    async def async_log_failure_event(
        self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object
    ) -> None:
        """A try failed; under the proxy LiteLLM says so for the first try of a request only."""
        self._take(kwargs, succeeded=False)

    async def async_post_call_failure_deployment_hook(
        self, request_data: Kwargs, exception: Exception, call_type: object, fallback_depth: int | None = None
    ) -> None:
        """A try failed; LiteLLM says so for every try, but with less about it."""
        try:
            self._join.failed(read_failure(request_data, exception))
        except Exception as error:  # noqa: BLE001  # a payload may hold anything at all
            self._report(error)

    async def async_post_call_failure_hook(
        self, request_data: Kwargs, original_exception: Exception, user_api_key_dict: object, *_: object, **__: object
    ) -> None:
        """The proxy tells its client that the request failed; other requests than for a model are not logged."""
        if not (request_data.get("model") and request_data.get("litellm_call_id")):
            return
        try:
            self._join.refused(read_failure(request_data, original_exception))
        except Exception as error:  # noqa: BLE001  # the same
            self._report(error)

    def _reset(self) -> None:
        self._log = BackgroundLog(self._load, on_tick=self._tick)
        self._join = AttemptJoin(self._log.log)

    def _tick(self) -> None:
        self._join.expire()

    def _at_exit(self) -> None:
        _drain_litellm()
        self.close()

    def _take(self, kwargs: Kwargs, *, succeeded: bool) -> None:
        try:
            item = read_event(kwargs, succeeded=succeeded)
            if item is None:
                self._log_throttle.warn("request not logged", "LiteLLM gave no standard_logging_object")
            elif succeeded:
                self._join.succeeded(item)
            else:
                self._join.failed(item)
        except Exception as error:  # noqa: BLE001  # the same
            self._report(error)

    def _report(self, error: Exception) -> None:
        self._log_throttle.warn("request not logged", f"{type(error).__name__}: {error}")


def _drain_litellm() -> None:
    """Has LiteLLM run the callbacks that it still holds; on its own it does so at exit, but after us."""
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

        GLOBAL_LOGGING_WORKER._flush_on_exit()  # noqa: SLF001  # what LiteLLM has registered with atexit itself
    except (ImportError, AttributeError):
        return


handler = ChainlogHandler()
"""The handler to name in ``litellm.callbacks``, configured by the environment."""
