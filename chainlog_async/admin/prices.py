"""The table of prices: lists it, sets prices, imports LiteLLM's map, and looks up again what is logged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import aiosqlite
import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.prices.genai import find_prices
from chainlog_async.prices.model import Price, price_of_row
from chainlog_async.prices.names import canonical
from chainlog_async.storage.sqlite.prices import ADD_PRICE_NAMES, ALL_PRICES, SET_PRICES, prices_as_json

from .session import open_for_admin, open_for_reading, write_transaction

Names: TypeAlias = tuple[str, str]
"""A provider and a model."""

_LOGGED = "SELECT provider_id, model FROM usage_buckets UNION SELECT provider_id, model FROM attempt_buckets"
_DELETE_LOOKED_UP = "DELETE FROM prices WHERE source = 'genai-prices'"


class PriceUpdate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `update_prices` did."""

    models: int
    """Models in the log, those that were only tried too, by the names of the table of prices."""
    priced: int
    """How many of them genai-prices knows."""
    unknown: tuple[str, ...]
    """The others, as ``provider/model``; at most a hundred."""


async def list_prices(
    path: str | Path, provider_id: str | None = None, model: str | None = None, *, busy_timeout_ms: int = 5_000
) -> list[Price]:
    """Returns the prices of a provider, of one model of it, or all. Raises `DatabaseError`."""
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        rows = await connection.execute_fetchall(ALL_PRICES, (provider_id, model))
        return [price_of_row(tuple(row)) for row in rows]


async def set_prices(path: str | Path, prices: Sequence[Price], *, busy_timeout_ms: int = 5_000) -> None:
    """Stores prices in the place of those with the same names, tier, source, time and size. Raises `DatabaseError`.

    They count for entries that are stored from now on.
    """
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection, write_transaction(connection):
        await connection.execute_fetchall(SET_PRICES, (prices_as_json(prices),))
        await _name(connection, await _logged(connection))


async def update_prices(path: str | Path, *, busy_timeout_ms: int = 5_000) -> PriceUpdate:
    """Looks up every model in the log again, in the installed genai-prices; prices of other sources stay.

    Raises `DatabaseError`, and `MissingExtraError` without the extra ``prices``.
    """
    async with open_for_reading(path, busy_timeout_ms=busy_timeout_ms) as connection:
        logged = await _logged(connection)
    found = await look_up(logged)
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection, write_transaction(connection):
        await connection.execute_fetchall(_DELETE_LOOKED_UP)
        prices = [price for several in found.values() for price in several]
        await connection.execute_fetchall(SET_PRICES, (prices_as_json(prices),))
        await _name(connection, logged)
    return price_update(found)


async def look_up(logged: Iterable[Names]) -> dict[Names, list[Price]]:
    """The prices of logged models, by the names of the table of prices. Raises `MissingExtraError`."""
    wanted = sorted({canonical(*names) for names in logged})
    return await run_in_thread(lambda: {names: find_prices(*names) for names in wanted})


def price_update(found: Mapping[Names, Sequence[Price]]) -> PriceUpdate:
    """What `look_up` found, as a report."""
    unknown = ["/".join(names) for names, several in found.items() if not several]
    return PriceUpdate(models=len(found), priced=len(found) - len(unknown), unknown=tuple(unknown[:100]))


def names_of(logged: Iterable[Names]) -> list[tuple[str, str, str, str]]:
    """The logged names that are others in the table of prices, each with those."""
    return [(*names, *priced) for names in logged if (priced := canonical(*names)) != names]


async def _logged(connection: aiosqlite.Connection) -> list[Names]:
    return [(str(provider), str(model)) for provider, model in await connection.execute_fetchall(_LOGGED)]


async def _name(connection: aiosqlite.Connection, logged: Iterable[Names]) -> None:
    await connection.execute_fetchall(ADD_PRICE_NAMES, (msgspec.json.encode(names_of(logged)).decode(),))
