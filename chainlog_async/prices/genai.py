"""Prices of the package genai-prices (extra ``prices``), which are in the package: nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING

from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError

from .model import Price, rate_of

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice

_RATES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
}
_NOON = time(12, tzinfo=UTC)


def is_installed() -> bool:
    """Whether the extra is there; imports nothing."""
    return find_spec("genai_prices") is not None


def find_prices(provider_id: str, model: str) -> list[Price]:
    """Returns the prices of a model under its names in the table; none if the package does not know it.

    Blocks for a tenth of a second the first time. Raises `MissingExtraError`.
    """
    try:
        from genai_prices import data_snapshot
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"prices need genai-prices; {install_command('prices')}") from error
    try:
        _, info = data_snapshot.get_snapshot().find_provider_model(model, None, provider_id, None)
    except LookupError:
        return []
    return [*_prices(provider_id, model, info), *_tiers(provider_id, model, info)]


def _prices(provider_id: str, model: str, info: ModelInfo) -> Iterator[Price]:
    if not isinstance(info.prices, list):
        yield from _of(provider_id, model, info.prices)
        return
    for condition in info.prices:
        if (since := _since(condition)) is not None:
            yield from _of(provider_id, model, condition.prices, since=since)


def _tiers(provider_id: str, model: str, info: ModelInfo) -> Iterator[Price]:
    """The prices of a tier are those that differ; a batch is a tier of its own to most providers."""
    base = info.prices if not isinstance(info.prices, list) else None
    for variant in info.price_variants or ():
        tier = variant.when.get("service_tier") or ("batch" if variant.when == {"processing": "batch"} else None)
        if base is not None and tier and len(variant.when) == 1 and variant.constraint is None:
            merged = {**base.__dict__, **{k: v for k, v in variant.prices.__dict__.items() if v is not None}}
            yield from _of(provider_id, model, type(base)(**merged), service_tier=tier)


def _since(condition: ConditionalPrice) -> int | None:
    """From when on a price is valid, in ms; None for one of a time of day, unless that is noon."""
    constraint = condition.constraint
    if constraint is None:
        return 0
    start = getattr(constraint, "start_date", None)
    if start is not None:
        return int(datetime.combine(start, time(), UTC).timestamp() * 1_000)
    # Valid for a part of each day: the price at noon UTC is used for all of it.
    return 1 if constraint.active(datetime.combine(datetime.now(UTC), _NOON)) else None


def _of(provider_id: str, model: str, prices: ModelPrice, *, since: int = 0, service_tier: str = "") -> Iterator[Price]:
    given = {field: getattr(prices, name, None) for name, field in _RATES.items()}
    starts = {0, *(tier.start for price in given.values() for tier in getattr(price, "tiers", ()))}
    for above in sorted(starts):
        rates = {field: _at(price, above) for field, price in given.items()}
        if (fresh := rates.pop("input")) is not None:
            yield Price(
                provider_id=provider_id,
                model=model,
                service_tier=service_tier,
                above_tokens=above,
                since=since,
                source="genai-prices",
                input=fresh,
                **rates,
            )


def _at(price: object, above: int) -> int | None:
    """The rate for prompts of more than so many tokens."""
    tiers = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= above]
    dollars = tiers[-1] if tiers else getattr(price, "base", price)
    return rate_of(dollars) if isinstance(dollars, Decimal) else None
