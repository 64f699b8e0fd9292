"""The table of prices: lists it, sets prices, imports LiteLLM's map, and looks up again what is logged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import aiosqlite
import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.prices.genai import find_prices
from chainlog_async.prices.model import Price
from chainlog_async.prices.names import canonical
from chainlog_async.storage.sqlite.prices import ADD_PRICE_NAMES, ALL_PRICES, SET_PRICES, price_of_row, prices_as_json

from .session import open_for_admin, open_for_reading, write_transaction

_LOGGED = "SELECT DISTINCT provider_id, model FROM usage_buckets"
_DELETE_LOOKED_UP = "DELETE FROM prices WHERE source = 'genai-prices'"


class PriceUpdate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `update_prices` did."""

    models: int
    """Models in the log, by the names of the table of prices."""
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
    wanted = sorted({canonical(*names) for names in logged})
    found = await run_in_thread(lambda: {names: find_prices(*names) for names in wanted})
    async with open_for_admin(path, busy_timeout_ms=busy_timeout_ms) as connection, write_transaction(connection):
        await connection.execute_fetchall(_DELETE_LOOKED_UP)
        prices = [price for several in found.values() for price in several]
        await connection.execute_fetchall(SET_PRICES, (prices_as_json(prices),))
        await _name(connection, logged)
    unknown = ["/".join(names) for names, several in found.items() if not several]
    return PriceUpdate(models=len(wanted), priced=len(wanted) - len(unknown), unknown=tuple(unknown[:100]))


async def _logged(connection: aiosqlite.Connection) -> list[tuple[str, str]]:
    return [(str(provider), str(model)) for provider, model in await connection.execute_fetchall(_LOGGED)]


async def _name(connection: aiosqlite.Connection, logged: Iterable[tuple[str, str]]) -> None:
    named = [(*names, *priced) for names in logged if (priced := canonical(*names)) != names]
    await connection.execute_fetchall(ADD_PRICE_NAMES, (msgspec.json.encode(named).decode(),))
