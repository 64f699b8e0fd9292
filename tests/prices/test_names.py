"""A model's price is found under the names that gateways, LiteLLM and OpenTelemetry give it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlog_async.prices.names import canonical


@pytest.mark.parametrize(
    ("logged", "priced"),
    [
        (("groq", "llama-3.1-8b-instant"), ("groq", "llama-3.1-8b-instant")),
        (("fireworks_ai", "accounts/fireworks/models/x"), ("fireworks", "accounts/fireworks/models/x")),
        (("fireworks_ai", "fireworks_ai/accounts/m"), ("fireworks", "accounts/m")),
        (("x_ai", "grok-4"), ("x-ai", "grok-4")),
        (("xai", "xai/grok-4"), ("x-ai", "grok-4")),
        (("azure", "azure/gpt-4o"), ("azure", "gpt-4o")),
        (("azure.ai.openai", "gpt-4o"), ("azure", "gpt-4o")),
        (("vertex_ai", "gemini-2.5-pro"), ("google", "gemini-2.5-pro")),
        (("aws.bedrock", "bedrock/eu.anthropic.claude"), ("aws", "eu.anthropic.claude")),
        (("litellm", "anthropic/claude-sonnet-4-5"), ("anthropic", "claude-sonnet-4-5")),
        (("openrouter", "openai/gpt-4o-mini"), ("openrouter", "openai/gpt-4o-mini")),
        (("groq", "openai/gpt-oss-20b"), ("groq", "openai/gpt-oss-20b")),
    ],
)
def test_names_of_gateways_and_conventions_are_those_of_the_provider(
    logged: tuple[str, str], priced: tuple[str, str]
) -> None:
    """The provider's name in front of a model is taken off, unless the model's own name has it."""
    assert canonical(*logged) == priced


@given(st.text(max_size=20), st.text(max_size=40))
def test_a_name_that_is_canonical_stays_so(provider: str, model: str) -> None:
    """Asked twice, the answer is the same, whatever the names."""
    once = canonical(provider, model)
    assert canonical(*once) == once or "/" in once[1]
