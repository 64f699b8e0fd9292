"""What reading prompts from the providers' caches saved, after what writing to the caches cost."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chainlog_async.common.json_names import camel_case
from chainlog_async.prices.model import Price

from .points import UsagePoint

_PICO = 1_000_000_000_000


class CacheSavings(msgspec.Struct, frozen=True, kw_only=True, rename=camel_case):
    """What caches saved in a window, by the prices at its end, without service tiers."""

    cached_tokens: int = 0
    """Prompt tokens that came from a provider's cache."""
    cache_write_tokens: int = 0
    """Prompt tokens that were written to one."""
    saved_usd: float = 0.0
    """How much more the same tokens would have cost without caches, in US dollars; negative if writing cost more than
    reading saved."""
    unpriced_tokens: int = 0
    """Cached and written tokens of models without a price, which `saved_usd` leaves out."""


def savings_of(models: Iterable[tuple[UsagePoint, Price | None]]) -> CacheSavings:
    """Adds up the savings of models, each with its usage and its price, if it has one."""
    cached = written = saved = unpriced = 0
    for point, price in models:
        cached += point.cached_tokens
        written += point.cache_write_tokens
        if price is None:
            unpriced += point.cached_tokens + point.cache_write_tokens
        else:
            saved += _saved_pico(point, price)
    return CacheSavings(
        cached_tokens=cached, cache_write_tokens=written, saved_usd=saved / _PICO, unpriced_tokens=unpriced
    )


def _saved_pico(point: UsagePoint, price: Price) -> int:
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    write_1h = write if price.cache_write_1h is None else price.cache_write_1h
    for_an_hour = point.cache_write_1h_tokens
    return (
        point.cached_tokens * (price.input - read)
        - (point.cache_write_tokens - for_an_hour) * (write - price.input)
        - for_an_hour * (write_1h - price.input)
    )
