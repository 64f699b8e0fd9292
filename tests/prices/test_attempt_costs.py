"""Every try gets what it cost, when it is stored and when it is repriced, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from chainlog_async import Attempt, RequestLogEntry
from chainlog_async.admin.engines import tasks_of
from chainlog_async.admin.reprice import RepricedModel
from chainlog_async.common.progress import no_progress
from chainlog_async.entry.line import encode_line
from chainlog_async.prices.model import Price
from chainlog_async.settings import Settings
from chainlog_async.storage.engines import open_storage, reads_of
from chainlog_async.storage.postgres.migration_steps import migrations, script
from chainlog_async.usage.query import UsageQuery
from chainlog_async.usage.time_window import Window
from tests.storage.random_log import batch_of
from tests.support.entries import entry
from tests.support.operator import change, migrate
from tests.support.postgres import SharedServer, query, run
from tests.support.schemas import make_version
from tests.support.two_engines import fold, roll_up
from tests.support.writing import settings_for

T0 = 1_772_400_000_000
WINDOW = Window(start=T0 - 86_400_000, end=T0 + 86_400_000)


def prices(times: int = 1) -> list[Price]:
    """What models cost: a thousand tokens of `small` are 0.002 dollars, of `big` 0.010."""
    per_token = {"small": 2_000_000, "big": 10_000_000}
    return [
        *[
            Price(provider_id="own", model=model, source="manual", input=times * rate, output=times * rate)
            for model, rate in per_token.items()
        ],
        Price(provider_id="own", model="big", service_tier="flex", source="manual", input=times * 5_000_000),
        Price(provider_id="own", model="big", since=T0 + 1_000, source="manual", input=times * 20_000_000),
    ]


def tried(model: str, status: int | None, **fields: Any) -> Attempt:
    """A try of a thousand tokens."""
    return Attempt(provider_id="own", model=model, http_status=status, **{"prompt_tokens": 1_000, **fields})


BIG, SMALL = tried("big", 500), tried("small", 200)
NO_TOKENS: dict[str, Any] = {"prompt_tokens": None}
ALL_FAILED: dict[str, object] = {"http_status": 502, "prompt_tokens": 0}


class Case(NamedTuple):
    """A request, what its attempts cost and what it costs itself in all, in thousandths of a dollar."""

    trail: Sequence[Attempt]
    fields: Mapping[str, object]
    tries: Sequence[float | None]
    cost: float | None
    table: Sequence[int] = (0,)
    """Which of the tries have the table's cost."""
    source: str | None = "table"

    @property
    def entry(self) -> RequestLogEntry:
        """As it is logged: its answer is of `small`."""
        names = {"provider_id": "own", "model": "small", "prompt_tokens": 1_000, "completion_tokens": 0}
        return entry(**names | {"timestamp": T0, "attempt_trail": self.trail, "tags": ["team:a"], **self.fields})


CASES = {
    "the answer has no tokens of its own": Case([BIG, tried("small", 200, **NO_TOKENS)], {}, [10, None], 12),
    "the answer counts once": Case([BIG, SMALL], {}, [10, 2], 12, [0, 1]),
    "an answer that broke off is a try": Case(
        [tried("big", 200, error_message="broke off"), SMALL], {}, [10, 2], 12, [0, 1]
    ),
    "a request's own cost stays": Case([BIG, SMALL], {"cost_usd": 0.5}, [10, 2], 500, [0, 1], "gateway"),
    "and a provider's": Case(
        [BIG, SMALL], {"cost_usd": 0.5, "cost_source": "provider"}, [10, 2], 500, [0, 1], "provider"
    ),
    "a try's own cost stays": Case(
        [tried("big", 500, cost_usd=0.25, cost_source="provider"), SMALL], {}, [250, 2], 252, [1]
    ),
    "and that of the answer counts": Case([BIG, tried("small", 200, cost_usd=0.3)], {}, [10, 300], 310),
    "nothing answered": Case([BIG, tried("small", None)], ALL_FAILED, [10, 2], 12, [0, 1]),
    "nothing answered, and the tokens are the last one's": Case(
        [BIG, tried("small", 429)], {"http_status": 429}, [10, 2], 12, [0, 1]
    ),
    "the tokens are only those of tries": Case([BIG, SMALL], {"prompt_tokens": 0}, [10, 2], 12, [0, 1]),
    "no price of a try": Case([tried("odd", 500), SMALL], {}, [None, 2], 2, [1]),
    "no price of the answer": Case([BIG, tried("odd", 200)], {"model": "odd"}, [10, None], None, source=None),
    "by the tier": Case([BIG, SMALL], {"service_tier": "flex"}, [5, 2], 7, [0, 1]),
    "by the time": Case([BIG, SMALL], {"timestamp": T0 + 1_000}, [20, 2], 22, [0, 1]),
    "by its class": Case([tried("big", 500, completion_tokens=500), SMALL], {}, [15, 2], 17, [0, 1]),
    "no tokens anywhere": Case(
        [tried("big", 500, **NO_TOKENS), tried("small", 429, **NO_TOKENS)], ALL_FAILED, [None, None], None, (), None
    ),
    "a gateway's costs of tries are its to add up": Case(
        [tried("big", 500, cost_usd=0.25)], ALL_FAILED, [250], None, (), None
    ),
    "no attempts": Case([], {"attempt_trail": None}, [], 2),
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An empty log of each engine."""
    db_url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return settings_for(tmp_path / "log.db", db_url=db_url)


async def store(log: Settings, entries: list[RequestLogEntry]) -> None:
    """As the writer does, and added to the totals."""
    async with aclosing(await open_storage(log)) as storage:
        await storage.start()
        await storage.commit(batch_of("w", 0, entries))
    if log.db_url is not None:
        await fold(log.db_url.get_secret_value())
        await roll_up(log.db_url.get_secret_value(), T0 + 2 * 86_400_000, small_ones=True)


async def expect(log: Settings, times: int = 1) -> None:
    """Rows have the right costs at that many times the prices, and every sum is that of the rows."""
    async with aclosing(reads_of(log)) as reads:
        rows = await reads.get_requests_after(0, limit=100)
        (point,) = await reads.get_usage(UsageQuery(window=WINDOW))
        (by_tag,) = await reads.get_usage(UsageQuery(window=WINDOW, by="tag:team"))
    cost = unanswered = 0.0
    for row, (name, case) in zip(rows, CASES.items(), strict=True):
        given = [attempt.cost_usd for attempt in case.trail]
        expected = [
            None if right is None else right / 1_000 * (times if is_none is None else 1)
            for right, is_none in zip(case.tries, given, strict=True)
        ]
        trail = row.attempt_trail or []
        assert [attempt.cost_usd for attempt in trail] == pytest.approx(expected, abs=1e-12), name
        marked = [place for place, attempt in enumerate(trail) if attempt.cost_source == "table"]
        assert marked == [place for place in case.table if trail], name
        fixed = sum(given_ or 0 for given_ in given if case.source == "table")
        whole = None if case.cost is None else case.cost / 1_000
        if whole is not None and case.source == "table":
            whole = fixed + (whole - fixed) * times
        assert row.cost_usd == (None if whole is None else pytest.approx(whole, abs=1e-12)), name
        assert row.cost_source == case.source, name
        cost += row.cost_usd or 0
        unanswered += sum(
            attempt.cost_usd or 0 for attempt in trail if (attempt.http_status or 599) >= 400 or attempt.error_message
        )
    assert (point.cost_usd, point.unanswered_cost_usd) == pytest.approx((cost, unanswered), abs=1e-12)
    assert (by_tag.cost_usd, by_tag.unanswered_cost_usd) == pytest.approx((cost, unanswered), abs=1e-12)
    assert (await tasks_of(log).check(quick=False, on_progress=no_progress)).differences == ()


async def test_a_try_is_priced_when_it_is_stored(log: Settings) -> None:
    """By its own provider, model and tokens, and the tier and the time of its request; what is not known is None."""
    await tasks_of(log).set_prices(prices())
    await store(log, [case.entry for case in CASES.values()])
    await expect(log)
    assert await tasks_of(log).reprice(0, no_progress) == 0


async def test_tries_are_repriced_with_their_requests(log: Settings) -> None:
    """Those without a cost, and those of the table; twice changes nothing, and the plan says all of it."""
    tasks = tasks_of(log)
    await store(log, [case.entry for case in CASES.values()])
    for times in (1, 3):
        await tasks.set_prices(prices(times))
        plan = await tasks.plan_repricing(0, no_progress)
        assert await tasks.reprice(0, no_progress) == sum(model.rows for model in plan) == 16
        await expect(log, times)
        assert (await tasks.plan_repricing(0, no_progress), await tasks.reprice(0, no_progress)) == ([], 0)


async def test_a_plan_counts_requests_of_which_only_tries_change(log: Settings) -> None:
    """And by how much that changes what was spent on them."""
    tasks = tasks_of(log)
    await store(log, [CASES["a request's own cost stays"].entry] * 3)
    await tasks.set_prices(prices())
    names = {"provider_id": "own", "model": "small"}
    assert await tasks.plan_repricing(0, no_progress) == [
        RepricedModel(**names, rows=3, before_usd=1.5, after_usd=1.5, unanswered_usd=0.03)
    ]


async def test_a_model_that_was_only_tried_has_its_names_too(log: Settings) -> None:
    """A price that is set counts for it under every name of its provider."""
    tasks, only_tried = tasks_of(log), msgspec.structs.replace(BIG, provider_id="xai", model="grok")
    await store(log, [msgspec.structs.replace(OLD[0], attempt_trail=[only_tried, SMALL])])
    await tasks.set_prices([Price(provider_id="x-ai", model="grok", source="manual", input=4_000_000)])
    assert await tasks.reprice(0, no_progress) == 1
    async with aclosing(reads_of(log)) as reads:
        (row,) = await reads.get_requests_after(0, limit=9)
    assert [attempt.cost_usd for attempt in row.attempt_trail or ()] == [0.004, None]


OLD = [CASES["the answer counts once"].entry, CASES["a request's own cost stays"].entry]


async def test_an_older_file_keeps_its_tries_until_it_is_repriced(tmp_path: Path) -> None:
    """An upgrade changes no cost; then every cost is the right one."""
    path = tmp_path / "log.db"
    make_version(path, 15)
    lines = ",".join(encode_line(one).decode() for one in OLD).replace("'", "''")
    change(
        path, f"INSERT INTO batches (writer_id, start_position, end_position, lines) VALUES ('w', 0, 9, '[{lines}]')"
    )
    await migrate(path)
    await expect_of_old(settings_for(path))


async def test_an_older_postgres_keeps_its_tries_until_it_is_repriced(
    postgres_server: SharedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise."""
    url, steps = postgres_server.new_database(migrated=False), migrations()
    with monkeypatch.context() as patch:
        patch.setattr("chainlog_async.storage.postgres.migration_steps.migrations", lambda: steps[:10])
        await run(url, "".join(script("chainlog")))
    lines = ",".join(encode_line(one).decode() for one in OLD).replace("'", "''")
    await query(url, f"SELECT chainlog.write_batch('w', 0, 9, '[{lines}]')")
    log = settings_for(tmp_path / "log.db", db_url=url)
    async with aclosing(await open_storage(log)):
        await fold(url)
    await expect_of_old(log)


async def expect_of_old(log: Settings) -> None:
    """Before and after."""
    tasks = tasks_of(log)
    await tasks.set_prices(prices())
    async with aclosing(reads_of(log)) as reads:
        rows = await reads.get_requests_after(0, limit=9)
        assert [attempt.cost_usd for row in rows for attempt in row.attempt_trail or ()] == [None] * 4
        assert await tasks.reprice(0, no_progress) == 2
        rows = await reads.get_requests_after(0, limit=9)
    assert [row.cost_usd for row in rows] == pytest.approx([0.012, 0.5])
    assert [attempt.cost_usd for row in rows for attempt in row.attempt_trail or ()] == pytest.approx([0.01, 0.002] * 2)
    assert (await tasks.check(quick=False, on_progress=no_progress)).differences == ()
