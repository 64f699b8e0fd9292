"""The statements that change the table of prices, each one for any number of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chainlog_async.prices.model import RATES, Price

_COLUMNS = ("provider_id", "model", "service_tier", "priority", "since", "above_tokens", "source", *RATES)
_VALUES = ", ".join(f"value ->> {place}" for place in range(len(_COLUMNS)))

ADD_PRICES = f"INSERT OR IGNORE INTO prices ({', '.join(_COLUMNS)}) SELECT {_VALUES} FROM json_each(?)"  # noqa: S608  # constants of this module
SET_PRICES = ADD_PRICES.replace("OR IGNORE", "OR REPLACE")
ADD_PRICE_NAMES = """
INSERT OR REPLACE INTO price_names (provider_id, model, priced_provider, priced_model)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
"""
ALL_PRICES = f"""
SELECT provider_id, model, service_tier, above_tokens, since, source, {", ".join(RATES)} FROM prices
WHERE (?1 IS NULL OR provider_id = ?1) AND (?2 IS NULL OR model = ?2)
ORDER BY provider_id, model, service_tier, priority DESC, since DESC, above_tokens
"""  # noqa: S608  # constants of this module


def prices_as_json(prices: Sequence[Price]) -> str:
    """The parameter of `ADD_PRICES` and `SET_PRICES`."""
    return msgspec.json.encode([[getattr(price, name) for name in _COLUMNS] for price in prices]).decode()


def price_of_row(row: Sequence[object]) -> Price:
    """The price that a row of `ALL_PRICES` is."""
    fields = dict(zip(Price.__struct_fields__, row, strict=True))
    return Price(**fields)  # type: ignore[arg-type]  # the columns have the types of the fields
