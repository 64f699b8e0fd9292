"""LiteLLM's map of prices is read: rates, tiers, long prompts, and nothing of what has no price per token."""

from __future__ import annotations

import json

import pytest

from chainlog_async.errors import InvalidEntryError
from chainlog_async.prices.litellm_map import read_map

MAP = {
    "sample_spec": {"litellm_provider": "one of https://docs.litellm.ai", "input_cost_per_token": 0},
    "groq/llama-3.1-8b-instant": {
        "litellm_provider": "groq",
        "input_cost_per_token": 5e-08,
        "output_cost_per_token": 8e-08,
    },
    "gemini/gemini-2.5-pro": {
        "litellm_provider": "vertex_ai-language-models",
        "input_cost_per_token": 1.25e-06,
        "input_cost_per_token_above_200k_tokens": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "output_cost_per_token_above_200k_tokens": 1.5e-05,
        "input_cost_per_token_flex": 6.25e-07,
    },
    "dall-e-3": {"litellm_provider": "openai", "input_cost_per_image": 0.04},
    "odd": {"litellm_provider": 5, "input_cost_per_token": 1},
    "negative": {"litellm_provider": "openai", "input_cost_per_token": -1.0},
}


def test_prices_are_read_exactly() -> None:
    """As whole pico-dollars per token, under the provider's own names, from the day that is given."""
    found = {
        (price.provider_id, price.model, price.service_tier, price.above_tokens): (price.input, price.output)
        for price in read_map(json.dumps(MAP).encode(), since=5)
    }
    assert found == {
        ("groq", "llama-3.1-8b-instant", "", 0): (50_000, 80_000),
        ("google", "gemini-2.5-pro", "", 0): (1_250_000, 10_000_000),
        ("google", "gemini-2.5-pro", "", 200_000): (2_500_000, 15_000_000),
        ("google", "gemini-2.5-pro", "flex", 0): (625_000, 10_000_000),
    }
    assert {(price.source, price.since) for price in read_map(json.dumps(MAP).encode(), since=5)} == {("litellm", 5)}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"a": 1}', b'{"m": {"litellm_provider": "openai"}}', b"\xff"])
def test_what_is_no_map_is_refused(data: bytes) -> None:
    """With one kind of error."""
    with pytest.raises(InvalidEntryError, match="not LiteLLM's map"):
        read_map(data, since=0)
