"""LiteLLM's map of models and prices, ``model_prices_and_context_window.json``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from chainlog_async.errors import InvalidEntryError

from .model import Price, rate_of
from .names import canonical

_RATES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
}
_TIERS = ("flex", "priority", "batches")
_ABOVE = re.compile(r"_above_(\d+)k_tokens$")
_decode = msgspec.json.Decoder(dict[str, dict[str, object]], float_hook=Decimal).decode


def read_map(data: bytes, *, since: int) -> list[Price]:
    """Returns the prices in the map, valid from `since` (ms, UTC). Raises `InvalidEntryError` when it is none."""
    try:
        models = _decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidEntryError(f"not LiteLLM's map of prices: {error}") from None
    prices = {key: price for name, facts in models.items() for key, price in _prices(name, facts, since)}
    if not prices:
        raise InvalidEntryError("not LiteLLM's map of prices: no model in it has a litellm_provider and a price")
    return list(prices.values())


def _prices(name: str, facts: Mapping[str, object], since: int) -> Iterator[tuple[object, Price]]:
    provider = facts.get("litellm_provider")
    if not isinstance(provider, str) or name == "sample_spec":
        return
    provider_id, model = canonical(provider.partition("-language-models")[0].partition("-chat-models")[0], name)
    for tier in ("", *_TIERS):
        suffix = f"_{tier}" if tier else ""
        marks = {0: ""} | {1_000 * int(found[1]): found[0] for key in facts if (found := _ABOVE.search(key))}
        for above, mark in marks.items():
            own = {field: _rate(facts.get(key + mark + suffix)) for key, field in _RATES.items()}
            base = {field: _rate(facts.get(key)) for key, field in _RATES.items()}
            rates = {field: base[field] if rate is None else rate for field, rate in own.items()}
            fresh = rates.pop("input")
            if fresh is None or (own["input"] is None and (above or tier)):
                continue
            price = Price(
                provider_id=provider_id,
                model=model,
                service_tier="batch" if tier == "batches" else tier,
                above_tokens=above,
                since=since,
                source="litellm",
                input=fresh,
                **rates,
            )
            yield (provider_id, model, tier, above), price


def _rate(dollars_per_token: object) -> int | None:
    if isinstance(dollars_per_token, bool) or not isinstance(dollars_per_token, Decimal | int):
        return None
    try:
        return rate_of(Decimal(dollars_per_token) * 1_000_000)
    except ValueError:
        return None
