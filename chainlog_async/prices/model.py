"""The price of a model: what a token of each class costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from chainlog_async.common.json_names import camel_case

PriceSource = Literal["manual", "litellm", "genai-prices"]
"""Who said so: an operator, LiteLLM's map that an operator imported, or the package genai-prices."""

PRIORITIES: Mapping[PriceSource, int] = {"manual": 3, "litellm": 2, "genai-prices": 1}
"""The price of the highest priority is used, whichever is newer."""

PICO_PER_MTOK = 1_000_000
"""Pico-dollars per token in a dollar per million tokens."""

MAX_RATE = 1_000_000 * PICO_PER_MTOK
"""Maximum rate: a million dollars per million tokens."""

RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "input_audio", "output_audio")


class Price(msgspec.Struct, frozen=True, kw_only=True, rename=camel_case):
    """What the tokens of one model cost from a time on, in whole pico-dollars per token.

    None means that the class costs as much as the whole that it is a part of; without `output` only a request without
    completion tokens has a price.
    """

    provider_id: str
    model: str
    service_tier: str = ""
    """The tier that it is valid for; "" for every tier without a price of its own."""
    above_tokens: int = 0
    """It is valid for prompts of more tokens than this, and then for all of them."""
    since: int = 0
    """From when on it is valid, in ms since the epoch, UTC."""
    source: PriceSource
    input: int
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None

    @property
    def priority(self) -> int:
        """See `PRIORITIES`."""
        return PRIORITIES[self.source]


PRICE_FIELDS: tuple[str, ...] = Price.__struct_fields__
"""The columns of the table of prices that a `Price` has, in its order."""


def price_of_row(row: Sequence[object]) -> Price:
    """The price that a row of `PRICE_FIELDS` is."""
    return Price(**dict(zip(PRICE_FIELDS, row, strict=True)))  # type: ignore[arg-type]  # columns have the types of fields


def best_by_place(rows: Iterable[tuple[int, Sequence[object]]], count: int) -> list[Price | None]:
    """The price that is used at each of `count` places, from the rows found for them; None where there is none."""
    best: list[Price | None] = [None] * count
    for place, row in rows:
        price, known = price_of_row(row), best[place]
        if known is None or (price.priority, price.since) > (known.priority, known.since):
            best[place] = price
    return best


def rate_of(dollars_per_mtok: Decimal) -> int:
    """Returns pico-dollars per token. Raises `ValueError` for what is negative, not a number or above `MAX_RATE`."""
    if not dollars_per_mtok.is_finite() or not 0 <= dollars_per_mtok <= MAX_RATE // PICO_PER_MTOK:
        raise ValueError(f"{dollars_per_mtok} is no price; give US dollars per million tokens, 0 to 1,000,000")
    return int((dollars_per_mtok * PICO_PER_MTOK).to_integral_value())


def dollars_of(rate: int) -> Decimal:
    """Returns US dollars per million tokens."""
    return Decimal(rate) / PICO_PER_MTOK
