"""What models cost, by the table of prices."""

from __future__ import annotations

from collections.abc import Sequence

from chainlog_async.prices.model import PRICE_FIELDS, Price, best_by_place
from chainlog_async.storage.postgres.reader_pool import ReaderPool

PRICES_AT = f"""
SELECT place, {", ".join(f"prices.{name}" for name in PRICE_FIELDS)}
FROM unnest(:providers::text[], :models::text[]) WITH ORDINALITY AS logged (provider_id, model, place)
LEFT JOIN price_names AS priced ON priced.provider_id = logged.provider_id AND priced.model = logged.model
JOIN prices ON prices.provider_id = COALESCE(priced.priced_provider, logged.provider_id)
  AND prices.model = COALESCE(priced.priced_model, logged.model)
WHERE service_tier = '' AND above_tokens = 0 AND since <= :at::bigint
"""  # noqa: S608  # constants of this package


async def get_prices(readers: ReaderPool, models: Sequence[tuple[str, str]], at: int) -> list[Price | None]:
    """See `ReadStorage.get_prices`."""
    # No text in PostgreSQL contains a NUL.
    names = [("", "") if "\0" in provider + model else (provider, model) for provider, model in models]
    parameters = {"providers": [provider for provider, _ in names], "models": [model for _, model in names], "at": at}
    rows = await readers.fetch(PRICES_AT, parameters)
    return best_by_place(((int(str(place)) - 1, price) for place, *price in rows), len(models))
