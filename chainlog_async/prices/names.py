"""The names under which prices are kept, for those that gateways and conventions use."""

from __future__ import annotations

ALIASES = {
    "amazon": "aws",
    "amazon_bedrock": "aws",
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "az.ai.openai": "azure",
    "claude": "anthropic",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google-ai": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "togetherai": "together",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "z.ai": "zai",
}
"""Names of LiteLLM, of OpenTelemetry and of gateways, in lower case, and the provider's name in the table of prices."""

_NAMES = frozenset(ALIASES.values()) | {"anthropic", "azure", "cohere", "deepseek", "groq", "openai", "openrouter"}


def canonical(provider_id: str, model: str) -> tuple[str, str]:
    """Returns the names under which the price of a model is kept.

    The name of a provider in front of the model is taken off: ``bedrock/…``, and counts where the other is a gateway's.
    """
    provider = _provider(provider_id)
    head, slash, rest = model.partition("/")
    if slash and rest and _provider(head) in _NAMES and provider != "openrouter":
        named = _provider(head)
        if named == provider or provider not in _NAMES:
            return named, rest
    return provider, model


def _provider(name: str) -> str:
    lower = name.strip().lower()
    return ALIASES.get(lower, lower)
