"""The statements that change the table of prices, each one for any number of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chainlog_async.prices.model import PRICE_FIELDS, RATES, Price

_COLUMNS = ("provider_id", "model", "service_tier", "priority", "since", "above_tokens", "source", *RATES)
_VALUES = ", ".join(f"value ->> {place}" for place in range(len(_COLUMNS)))

ADD_PRICES = f"INSERT OR IGNORE INTO prices ({', '.join(_COLUMNS)}) SELECT {_VALUES} FROM json_each(?)"  # noqa: S608  # constants of this module
SET_PRICES = ADD_PRICES.replace("OR IGNORE", "OR REPLACE")
ADD_PRICE_NAMES = """
INSERT OR REPLACE INTO price_names (provider_id, model, priced_provider, priced_model)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
"""
ALL_PRICES = f"""
SELECT {", ".join(PRICE_FIELDS)} FROM prices
WHERE (?1 IS NULL OR provider_id = ?1) AND (?2 IS NULL OR model = ?2)
ORDER BY provider_id, model, service_tier, priority DESC, since DESC, above_tokens
"""  # noqa: S608  # constants of this module

# What calls cost, in their order; each is the line of an entry. The same rule as in the trigger `write_batch`.
PRICE_CALLS = """
SELECT (
  SELECT
    CAST(ROUND((
      MAX(prompt - cached - written - audio_in, 0) * input
      + cached * COALESCE(cache_read, input)
      + MAX(written - written_1h, 0) * COALESCE(cache_write, input)
      + written_1h * COALESCE(cache_write_1h, cache_write, input)
      + audio_in * COALESCE(input_audio, input)
      + IIF(completion = 0, 0, MAX(completion - audio_out, 0) * output)
      + audio_out * COALESCE(output_audio, output, 0)
    ) / 1e3) AS INTEGER)
  FROM prices
  WHERE prices.provider_id = COALESCE(
      (SELECT priced_provider FROM price_names WHERE price_names.provider_id = provider AND price_names.model = name),
      provider
    ) AND prices.model = COALESCE(
      (SELECT priced_model FROM price_names WHERE price_names.provider_id = provider AND price_names.model = name),
      name
    )
    AND prices.service_tier IN ('', tier) AND prices.since <= logged_at
    AND (above_tokens = 0 OR above_tokens < prompt)
  ORDER BY prices.service_tier DESC, priority DESC, since DESC, above_tokens DESC LIMIT 1
)
FROM (
  SELECT
    key AS place, value ->> 0 AS logged_at, value ->> 2 AS provider, value ->> 3 AS name, value ->> 4 AS prompt,
    value ->> 5 AS completion, COALESCE(value ->> 16, 0) AS cached, COALESCE(value ->> 19, 0) AS written,
    COALESCE(value ->> 20, 0) AS written_1h, COALESCE(value ->> 22, 0) AS audio_in,
    COALESCE(value ->> 23, 0) AS audio_out, value ->> 25 AS tier
  FROM json_each(?) LIMIT -1
) ORDER BY place
"""


def prices_as_json(prices: Sequence[Price]) -> str:
    """The parameter of `ADD_PRICES` and `SET_PRICES`."""
    return msgspec.json.encode([[getattr(price, name) for name in _COLUMNS] for price in prices]).decode()
