"""What every storage engine promises about the state of alerts. A new engine names itself in one fixture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

import anyio
import pytest

from chainlog_async.common.clock import now_ms
from chainlog_async.storage.base import AlertStates
from chainlog_async.usage.alerts import AlertChange, AlertEvent

OpenStates = Callable[[], AlertStates]

HOUR_MS = 3_600_000


def change(
    event: AlertEvent, group: str = "groq", *, alert: str = "errors", targets: tuple[str, ...] = ("ops",)
) -> AlertChange:
    """What an evaluation found."""
    return AlertChange(event=event, alert=alert, group=group, when="a rule", value="34 %", at=now_ms(), targets=targets)


async def settle_all(states: AlertStates, *targets: str) -> list[str]:
    """Delivers what is due, and gives what that was."""
    sent = []
    while messages := await states.claim_messages(targets, max_tries=3, again_ms=HOUR_MS):
        for message in messages:
            sent.append(f"{message.episode.alert} {message.episode.group} {message.event} to {message.target}")
            await states.settle_message(message.id, error=None, again_ms=None)
    return sent


class AlertContract:
    """Tests that each engine runs with a fixture `open_states`, which opens the same database again and again."""

    writes_by: str
    """The method that every write of the engine goes through."""

    async def test_one_owner_has_the_lease(self, open_states: OpenStates) -> None:
        """Until it gives it back, or lets it run out; leases of other names are others."""
        async with aclosing(open_states()) as one, aclosing(open_states()) as other:
            assert await one.take_lease("rules", "one", for_ms=HOUR_MS)
            assert not await other.take_lease("rules", "other", for_ms=HOUR_MS)
            assert await other.take_lease("others", "other", for_ms=HOUR_MS)
            await other.release("rules", "other")
            assert await one.take_lease("rules", "one", for_ms=HOUR_MS)
            await one.release("rules", "one")
            assert await other.take_lease("rules", "other", for_ms=1)
            await anyio.sleep(0.01)
            assert await one.take_lease("rules", "one", for_ms=HOUR_MS)

    async def test_an_episode_begins_once_and_ends_once(self, open_states: OpenStates) -> None:
        """Each group and each alert has its own; the next time is another episode."""
        async with aclosing(open_states()) as states:
            await states.take_lease("rules", "one", for_ms=HOUR_MS)
            for _ in range(2):
                await states.change("rules", "one", change("cleared"))
                for _ in range(3):
                    await states.change("rules", "one", change("fired"))
                    await states.change("rules", "one", change("fired", "azure"))
                    await states.change("rules", "one", change("fired", alert="cost"))
                opened = [(one.alert, one.group) for one in await states.open_episodes()]
                assert sorted(opened) == [("cost", "groq"), ("errors", "azure"), ("errors", "groq")]
            for _ in range(2):
                await states.change("rules", "one", change("cleared", "azure"))
        async with aclosing(open_states()) as states:
            episodes = await states.episodes(10)
            assert len(await states.open_episodes()) == 2
        assert len(episodes) == 4
        assert [one.id for one in episodes] == sorted((one.id for one in episodes), reverse=True)
        assert all(one.cleared_at is None or one.cleared_at >= one.fired_at for one in episodes)
        assert (episodes[0].when, episodes[0].value) == ("a rule", "34 %")

    async def test_who_lost_the_lease_changes_nothing(self, open_states: OpenStates) -> None:
        """A process that was stopped for a while does not decide on what has changed since."""
        async with aclosing(open_states()) as states:
            await states.change("rules", "nobody", change("fired"))
            assert await states.open_episodes() == []
            await states.take_lease("rules", "one", for_ms=HOUR_MS)
            await states.change("rules", "one", change("fired"))
            await states.change("rules", "other", change("cleared"))
            assert len(await states.open_episodes()) == 1

    async def test_each_target_gets_each_message_once(self, open_states: OpenStates) -> None:
        """Whoever sends it; and only those that are asked for."""
        async with aclosing(open_states()) as one, aclosing(open_states()) as other:
            await one.take_lease("rules", "one", for_ms=HOUR_MS)
            for _ in range(2):
                await one.change("rules", "one", change("fired", targets=("ops", "chat")))
            first = await one.claim_messages(["ops"], max_tries=3, again_ms=HOUR_MS)
            assert [(message.target, message.event, message.tries) for message in first] == [("ops", "fired", 1)]
            assert first[0].episode.group == "groq"
            assert await other.claim_messages(["ops"], max_tries=3, again_ms=HOUR_MS) == []
            assert await settle_all(other, "ops", "chat") == ["errors groq fired to chat"]
            await one.settle_message(first[0].id, error=None, again_ms=None)
            assert await settle_all(other, "ops", "chat") == []
            (episode,) = await other.episodes(1)
            assert [(each.target, each.tries, each.error, each.is_due) for each in episode.deliveries] == [
                ("ops", 1, None, False),
                ("chat", 1, None, False),
            ]
            assert all(each.delivered_at is not None for each in episode.deliveries)

    async def test_a_message_for_a_target_of_others_is_no_work(
        self, open_states: OpenStates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may wait for days until a process that knows the target starts, and nothing is written meanwhile."""
        async with aclosing(open_states()) as states:
            await states.take_lease("rules", "one", for_ms=HOUR_MS)
            await states.change("rules", "one", change("fired", targets=("gone",)))
            with monkeypatch.context() as without_writes:
                without_writes.delattr(type(states), self.writes_by)
                assert await states.claim_messages(["ops"], max_tries=3, again_ms=HOUR_MS) == []
            assert await settle_all(states, "gone") == ["errors groq fired to gone"]

    async def test_a_message_comes_again_until_it_is_given_up(self, open_states: OpenStates) -> None:
        """After an error, and when whoever claimed it was killed; what clears an alert waits for what fired it."""
        async with aclosing(open_states()) as states:
            await states.take_lease("rules", "one", for_ms=HOUR_MS)
            await states.change("rules", "one", change("fired"))
            await states.change("rules", "one", change("cleared"))
            for tries in (1, 2):
                (message,) = await states.claim_messages(["ops"], max_tries=3, again_ms=HOUR_MS)
                assert (message.event, message.tries) == ("fired", tries)
                assert await states.claim_messages(["ops"], max_tries=3, again_ms=HOUR_MS) == []
                await states.settle_message(message.id, error="no answer", again_ms=0)
            (message,) = await states.claim_messages(["ops"], max_tries=3, again_ms=0)
            assert message.tries == 3
            # Nobody said what became of the last try.
            assert await settle_all(states, "ops") == ["errors groq cleared to ops"]
            (episode,) = await states.episodes(1)
            assert [(each.event, each.error) for each in episode.deliveries] == [
                ("fired", "no answer"),
                ("cleared", None),
            ]

    async def test_dropped_entries_add_up(self, open_states: OpenStates) -> None:
        """Those of every process, since a time."""
        async with aclosing(open_states()) as one, aclosing(open_states()) as other:
            assert await one.dropped_since(0) == 0
            await one.note_dropped(3)
            await other.note_dropped(4)
            assert await one.dropped_since(now_ms() - HOUR_MS) == 7
            assert await one.dropped_since(now_ms() + HOUR_MS) == 0

    async def test_the_history_has_the_newest_thousand(self, open_states: OpenStates) -> None:
        """An alert that flaps for a year does not fill the database."""
        async with aclosing(open_states()) as states:
            await states.take_lease("rules", "one", for_ms=HOUR_MS)
            await states.change("rules", "one", change("fired", "lasts"))
            await self.flap(states, 1_020)
            episodes = await states.episodes(5_000)
            assert 1_000 <= len(episodes) <= 1_002
            assert episodes[-1].group == "lasts"

    async def flap(self, states: AlertStates, times: int) -> None:
        """Fires and clears so often; an engine may have a faster way."""
        for number in range(times):
            await states.change("rules", "one", change("fired", f"g{number}"))
            await states.change("rules", "one", change("cleared", f"g{number}"))
