"""What models cost, by the table of prices."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chainlog_async.prices.model import PRICE_FIELDS, Price, best_by_place
from chainlog_async.storage.sqlite.reader_pool import ReaderPool

PRICES_AT = f"""
SELECT logged.key, {", ".join(f"prices.{name}" for name in PRICE_FIELDS)}
FROM json_each(:models) AS logged
LEFT JOIN price_names AS priced ON priced.provider_id = value ->> 0 AND priced.model = value ->> 1
JOIN prices ON prices.provider_id = COALESCE(priced_provider, value ->> 0)
  AND prices.model = COALESCE(priced_model, value ->> 1)
WHERE service_tier = '' AND above_tokens = 0 AND since <= :at
"""  # noqa: S608  # constants of this package


async def get_prices(readers: ReaderPool, models: Sequence[tuple[str, str]], at: int) -> list[Price | None]:
    """See `ReadStorage.get_prices`."""
    rows = await readers.fetch(PRICES_AT, {"models": msgspec.json.encode(models).decode(), "at": at})
    return best_by_place(((int(str(place)), price) for place, *price in rows), len(models))
