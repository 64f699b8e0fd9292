"""The table of prices in PostgreSQL: see `admin.prices`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chainlog_async.admin.prices import PriceUpdate, look_up, names_of, price_update
from chainlog_async.prices.model import PRICE_FIELDS, Price, price_of_row
from chainlog_async.storage.postgres.storage import prices_as_json
from chainlog_async.storage.postgres.url import PostgresUrl

from .session import Session, open_session

LIST = f"""
SELECT {", ".join(PRICE_FIELDS)} FROM prices
WHERE ($1::text IS NULL OR provider_id = $1) AND ($2::text IS NULL OR model = $2)
ORDER BY
  provider_id COLLATE "C", model COLLATE "C", service_tier COLLATE "C", priority DESC, since DESC, above_tokens
"""  # noqa: S608  # constants of this package
LOGGED = """
SELECT provider_id, model FROM usage_totals UNION SELECT provider_id, model FROM unfolded_rows
UNION SELECT provider_id, model FROM attempt_totals UNION SELECT provider_id, model FROM unfolded_attempts
"""
SET = "SELECT set_prices($1::text::jsonb, $2::text::jsonb, $3)"


async def list_prices(url: PostgresUrl, provider_id: str | None, model: str | None) -> list[Price]:
    """See `admin.prices.list_prices`."""
    async with open_session(url, "prices") as session, session.transaction(reading=True):
        rows = await session.fetch(LIST, provider_id, model)
    return [price_of_row(row) for row in rows]


async def set_prices(url: PostgresUrl, prices: Sequence[Price]) -> None:
    """See `admin.prices.set_prices`."""
    async with open_session(url, "prices set") as session, session.transaction():
        await _set(session, prices, await _logged(session), None)


async def update_prices(url: PostgresUrl) -> PriceUpdate:
    """See `admin.prices.update_prices`."""
    async with open_session(url, "prices update") as session:
        async with session.transaction(reading=True):
            logged = await _logged(session)
        found = await look_up(logged)
        async with session.transaction():
            await _set(session, [price for several in found.values() for price in several], logged, "genai-prices")
    return price_update(found)


async def _logged(session: Session) -> list[tuple[str, str]]:
    return [(str(provider), str(model)) for provider, model in await session.fetch(LOGGED)]


async def _set(
    session: Session, prices: Sequence[Price], logged: Sequence[tuple[str, str]], forget_source: str | None
) -> None:
    names = msgspec.json.encode(names_of(logged)).decode()
    await session.fetch(SET, prices_as_json(prices), names, forget_source)
