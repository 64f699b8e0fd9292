"""Logs the requests of LiteLLM, one row each with its attempts; for the SDK, the Router and the proxy.

    litellm.callbacks = [chainlog_async.integrations.litellm.handler]

or, in the configuration of the proxy, ``litellm_settings: {callbacks: chainlog_async.integrations.litellm.handler}``.
The settings come from the file that ``CHAINLOG_CONFIG`` names and from ``CHAINLOG_...`` variables.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping

from chainlog_async.common.extras import install_command
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.errors import MissingExtraError
from chainlog_async.integrations._litellm.attempt_join import AttemptJoin
from chainlog_async.integrations._litellm.entry import is_logged
from chainlog_async.integrations._litellm.payload import read_begun, read_event, read_failure, read_refusal
from chainlog_async.settings import Settings

from .background_log import BackgroundLog, settings_from_environment

try:
    from litellm.integrations.custom_logger import CustomLogger
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"chainlog_async.integrations.litellm needs LiteLLM ({error}); {install_command('litellm')}"
    ) from error

Kwargs = Mapping[str, object]


# One of these is in the data of a request for a model or of a pass-through request, and in no other.
_LOGGED_REQUEST = ("model", "standard_logging_object", "first_api_call_start_time")


class ChainlogHandler(CustomLogger):
    """The callbacks of LiteLLM. Opens nothing before the first callback, and never raises to LiteLLM.

    One handler serves every thread and event loop of the process. At the end of the process everything is written;
    `close` does that earlier.
    """

    def __init__(self, load: Callable[[], Settings] = settings_from_environment) -> None:
        super().__init__()
        self._load = load
        self._log_throttle = LogThrottle()
        self._reset()
        # A forked process has neither the thread nor the requests that wait in the parent.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Ends every request that waits for another attempt, writes everything and closes the database.

        Returns once that is done; what LiteLLM reports afterwards is not logged. In an async program, first ``await
        GLOBAL_LOGGING_WORKER.flush()``, which is LiteLLM's own queue, then call this in a thread.
        """
        self._join.flush()
        self._log.close()

    def log_pre_api_call(self, model: object, messages: object, kwargs: Kwargs) -> None:
        """LiteLLM starts an attempt, or the proxy reports that it refused a request."""
        try:
            begun = read_begun(model, kwargs)
            if begun is not None:
                self._join.began(begun)
        except Exception as error:  # noqa: BLE001  # a payload may hold anything at all
            self._report(error)

    def log_success_event(self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object) -> None:
        """An attempt succeeded."""
        self._take(kwargs, succeeded=True)

    def log_failure_event(self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object) -> None:
        """An attempt failed."""
        self._take(kwargs, succeeded=False)

    async def async_log_success_event(
        self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object
    ) -> None:
        """An attempt succeeded."""
        self._take(kwargs, succeeded=True)

    async def async_log_failure_event(
        self, kwargs: Kwargs, response_obj: object, start_time: object, end_time: object
    ) -> None:
        """An attempt failed; under the proxy, LiteLLM only calls this for the first attempt of a request."""
        self._take(kwargs, succeeded=False)

    async def async_post_call_failure_deployment_hook(
        self, request_data: Kwargs, exception: Exception, call_type: object, fallback_depth: int | None = None
    ) -> None:
        """An attempt failed; LiteLLM calls this for every attempt, but with fewer details."""
        try:
            self._join.failed(read_failure(request_data, exception))
        except Exception as error:  # noqa: BLE001  # a payload may hold anything at all
            self._report(error)

    async def async_post_call_failure_hook(
        self, request_data: Kwargs, original_exception: Exception, user_api_key_dict: object, *_: object, **__: object
    ) -> None:
        """The proxy reports a failed request to its client; only what LiteLLM logs as a request is a row."""
        if not (request_data.get("litellm_call_id") and any(map(request_data.get, _LOGGED_REQUEST))):
            return
        try:
            self._join.refused(read_refusal(request_data, original_exception, user_api_key_dict))
        except Exception as error:  # noqa: BLE001  # a payload may hold anything at all
            self._report(error)

    def _reset(self) -> None:
        self._log = BackgroundLog(self._load, on_tick=self._tick, accepts=is_logged)
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
        except Exception as error:  # noqa: BLE001  # a payload may hold anything at all
            self._report(error)

    def _report(self, error: Exception) -> None:
        self._log_throttle.warn("request not logged", f"{type(error).__name__}: {error}")


def _drain_litellm() -> None:
    """Makes LiteLLM run its pending callbacks; on its own it does so at exit, but after this handler."""
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

        GLOBAL_LOGGING_WORKER._flush_on_exit()  # noqa: SLF001  # LiteLLM itself registers it with atexit
    except (ImportError, AttributeError):
        return


handler = ChainlogHandler()
"""The handler for ``litellm.callbacks``, configured by the environment."""
