"""The task that evaluates alerts beside the writer, and sends their messages.

One process at a time evaluates them: the one that holds a lease in the database. The others wait to take over. Messages
are in the database too, and any process may send them.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from chainlog_async.common.clock import now_ms
from chainlog_async.common.log_throttle import LogThrottle
from chainlog_async.errors import ChainlogError
from chainlog_async.storage.engines import alert_states_of
from chainlog_async.usage.alerts import AlertChange, AlertMessage

from .conditions import Conditions, Values
from .messages import value_text
from .targets import SEND_TIMEOUT_S, Sender

if TYPE_CHECKING:
    from chainlog_async.settings import AlertSettings, Settings
    from chainlog_async.statistics import EntryCounts
    from chainlog_async.usage_aggregator import UsageAggregator

LEASE_TICKS = 3
"""A lease lasts for so many evaluations, so that one that is late does not lose it."""

MIN_LEASE_MS = 2_000
"""Shortest lease, in ms."""

MAX_POLL_S = 5.0
"""Longest time between two looks at what is to be sent, in seconds."""

MAX_TRIES = 8
"""How often a message is sent before it is given up."""

FIRST_PAUSE_MS, MAX_PAUSE_MS = 2_000, 300_000
"""Pause after the first failure, in ms; it grows fourfold with each, up to the longest. All tries take 18 minutes."""

END_TIMEOUT_S = 1.0
"""How long the end of the log waits for a message that is just being sent, and to give the lease back, in seconds."""


class AlertWatcher:
    """The alerts of one process. Nothing that fails here is raised: it is logged, and tried again."""

    def __init__(self, settings: Settings, usage: UsageAggregator, counts: Callable[[], EntryCounts]) -> None:
        """Raises `SettingsError` when the engine of the log keeps no alerts."""
        self._alerts = settings.alerts
        self._all_targets = tuple(target.name for target in settings.alert_targets)
        self._interval_s = settings.alert_interval_ms / 1_000
        self._counts = counts
        self._states = alert_states_of(settings)
        self._conditions = Conditions(usage, self._states, settings.budgets)
        self._sender = Sender(settings)
        self._lease = _name_of(settings.alerts)
        self._owner = uuid.uuid4().hex
        self._may_have_lease = False
        self._met_at: dict[str, dict[str, int]] = {}
        """When each alert was last met, by open group, in ms; after a restart, when it was first seen open."""
        self._noted_drops = 0
        self._throttle = LogThrottle()
        self._wake = anyio.Event()
        self._running = anyio.CancelScope()
        self._sending: set[anyio.CancelScope] = set()

    async def load(self) -> None:
        """Makes ready what targets need. Raises `MissingExtraError`."""
        await self._sender.load()

    async def run(self) -> None:
        """Runs until `stop`, or until it is cancelled."""
        try:
            with self._running:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._evaluate_again_and_again)
                    tasks.start_soon(self._send_again_and_again)
        finally:
            with anyio.CancelScope(shield=True):
                await self.aclose()

    def stop(self) -> None:
        """Ends `run`. A message that is just being sent has a moment left: cut off, it would be sent again."""
        for scope in self._sending:
            scope.deadline = min(scope.deadline, anyio.current_time() + END_TIMEOUT_S)
        self._running.cancel()

    async def evaluate(self) -> None:
        """Evaluates every rule once, if this process has or gets the lease. Raises `DatabaseError`."""
        await self._note_drops()
        for_ms = max(MIN_LEASE_MS, round(LEASE_TICKS * self._interval_s * 1_000))
        # Until it is answered, too: a cancelled look may have taken it.
        self._may_have_lease = True
        self._may_have_lease = await self._states.take_lease(self._lease, self._owner, for_ms=for_ms)
        if not self._may_have_lease:
            return
        now = now_ms()
        open_groups: defaultdict[str, set[str]] = defaultdict(set)
        for episode in await self._states.open_episodes():
            open_groups[episode.alert].add(episode.group)
        problem: ChainlogError | None = None
        for alert in self._alerts:
            try:
                met = await self._conditions.met(alert, now)
            except ChainlogError as error:
                # A rule that cannot be evaluated stays as it is, and does not hold up the others.
                problem = error
                continue
            still_open = open_groups[alert.title]
            over = self._over(alert, met, still_open, now)
            for change in _changes(alert, met, still_open, over, now, self._targets_of(alert)):
                await self._states.change(self._lease, self._owner, change)
                self._wake.set()
        if problem is not None:
            raise problem

    async def send_due(self) -> int:
        """Sends what is due now. Returns how many messages that were. Raises `DatabaseError`."""
        messages = await self._states.claim_messages(
            tuple(self._sender.targets),
            max_tries=MAX_TRIES,
            # Longer than a try takes, so that nobody else sends it in the meantime.
            again_ms=round(3 * SEND_TIMEOUT_S * 1_000),
        )
        async with anyio.create_task_group() as tasks:
            for message in messages:
                tasks.start_soon(self._send, message)
        return len(messages)

    async def _evaluate_again_and_again(self) -> None:
        while True:
            try:
                await self.evaluate()
            except ChainlogError as error:
                self._throttle.warn("alerts are not evaluated", str(error))
            except Exception as error:  # noqa: BLE001  # whatever is wrong with alerts, the log goes on
                self._throttle.warn("alerts are not evaluated", f"{type(error).__name__}: {error}")
            await anyio.sleep(self._interval_s)

    async def _send_again_and_again(self) -> None:
        while True:
            self._wake = anyio.Event()
            sent = 0
            try:
                sent = await self.send_due()
            except ChainlogError as error:
                self._throttle.warn("messages of alerts are not sent", str(error))
            except Exception as error:  # noqa: BLE001  # as above; not its text, which may quote a target
                self._throttle.warn("messages of alerts are not sent", type(error).__name__)
            if not sent:
                with anyio.move_on_after(min(self._interval_s, MAX_POLL_S)):
                    await self._wake.wait()

    async def _send(self, message: AlertMessage) -> None:
        with anyio.CancelScope(shield=True) as scope:
            self._sending.add(scope)
            try:
                await self._settle(message, await self._error_of(message))
            finally:
                self._sending.discard(scope)

    async def _error_of(self, message: AlertMessage) -> str | None:
        try:
            return await self._sender.send(message)
        except Exception as unexpected:  # noqa: BLE001  # one target does not hold up the others
            return f"it failed ({type(unexpected).__name__})"

    async def _settle(self, message: AlertMessage, error: str | None) -> None:
        again_ms = None
        if error is not None:
            again_ms = pause_ms(message.tries)
            outcome = "it is given up" if again_ms is None else f"again in {again_ms / 1_000:g} s"
            topic = f"the target {message.target!r} did not take a message of an alert"
            self._throttle.warn(topic, f"{error}; {outcome}")
        await self._states.settle_message(message.id, error=error, again_ms=again_ms)

    async def _note_drops(self) -> None:
        if not any(alert.rule.metric == "dropped" for alert in self._alerts):
            return
        dropped = sum(self._counts().dropped.values())
        if dropped > self._noted_drops:
            await self._states.note_dropped(dropped - self._noted_drops)
            self._noted_drops = dropped

    def _over(self, alert: AlertSettings, met: Values, open_groups: set[str], now: int) -> set[str]:
        """The open groups in which the rule was not met for as long as it takes to clear."""
        known = self._met_at.get(alert.title, {})
        met_at = {group: known.get(group, now) for group in open_groups} | dict.fromkeys(met, now)
        self._met_at[alert.title] = met_at
        return {group for group in open_groups - met.keys() if now - met_at[group] >= alert.rule.hold_ms}

    def _targets_of(self, alert: AlertSettings) -> tuple[str, ...]:
        return alert.to or self._all_targets

    async def aclose(self) -> None:
        """Notes what was dropped since the last look, gives the lease back, and closes every connection."""
        with anyio.move_on_after(END_TIMEOUT_S), suppress(Exception):
            await self._note_drops()
        with anyio.move_on_after(END_TIMEOUT_S), suppress(Exception):
            if self._may_have_lease:
                await self._states.release(self._lease, self._owner)
        await self._states.aclose()
        await self._sender.aclose()


def pause_ms(tries: int) -> int | None:
    """How long to wait after so many failures, in ms; None to give up."""
    return None if tries >= MAX_TRIES else min(FIRST_PAUSE_MS * 4 ** (tries - 1), MAX_PAUSE_MS)


def _changes(
    alert: AlertSettings, met: Values, open_groups: set[str], over: set[str], now: int, targets: tuple[str, ...]
) -> list[AlertChange]:
    def change(event: str, group: str, value: str) -> AlertChange:
        return AlertChange(
            event="fired" if event == "fired" else "cleared",
            alert=alert.title,
            group=group,
            when=alert.when,
            value=value,
            at=now,
            targets=targets,
        )

    new = {group: value for group, value in met.items() if group not in open_groups}
    fired = [change("fired", group, value_text(alert.rule, value)) for group, value in new.items()]
    return fired + [change("cleared", group, "") for group in sorted(over)]


def _name_of(alerts: tuple[AlertSettings, ...]) -> str:
    """One lease for each set of rules, so that processes with other rules, such as before a change, have their own."""
    rules = "\n".join(f"{alert.title}\t{alert.when}\t{alert.min_requests}" for alert in alerts)
    return hashlib.sha256(rules.encode()).hexdigest()[:16]
