"""What a URL tells of the provider and the model."""

from __future__ import annotations

from typing import cast

import httpx2
import pytest

from chainlog_async.watch.duck_types import HttpRequest
from chainlog_async.watch.providers import MODEL_PATHS, calls_model, model_in_path, provider_of

URLS = [
    ("https://api.openai.com/v1/chat/completions", "openai", None),
    ("https://eu.api.openai.com/v1/responses", "openai", None),
    ("https://mine.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=1", "azure", "gpt-4o"),
    ("https://api.anthropic.com/v1/messages?beta=true", "anthropic", None),
    ("https://api.groq.com/openai/v1/chat/completions", "groq", None),
    ("https://api.together.xyz/v1/chat/completions", "together", None),
    ("https://openrouter.ai/api/v1/chat/completions", "openrouter", None),
    ("https://api.x.ai/v1/chat/completions", "x-ai", None),
    (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        "google",
        "gemini-2.5-pro",
    ),
    (
        "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/publishers/anthropic/models/claude-x:rawPredict",
        "google",
        "claude-x",
    ),
    (
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-v1%3A0/invoke",
        "aws",
        "anthropic.claude-v1:0",
    ),
    ("http://localhost:11434/api/chat", "localhost:11434", None),
    ("https://llm.example.org/v1/chat/completions", "llm.example.org", None),
    ("https://notopenai.com/v1/chat/completions", "notopenai.com", None),
]


@pytest.mark.parametrize(("url", "provider", "model"), URLS)
def test_provider_and_model(url: str, provider: str, model: str | None) -> None:
    """The end of the host is the provider, wherever its models are served; paths name some of the models."""
    request = cast("HttpRequest", httpx2.Request("POST", url))
    assert (provider_of(request.url), model_in_path(request.url)) == (provider, model)
    assert calls_model(request, MODEL_PATHS)
