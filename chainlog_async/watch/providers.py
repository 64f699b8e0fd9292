"""Which provider and model a URL means, and whether it calls a model at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .duck_types import HttpRequest, Url

MODEL_PATHS = (
    "/chat/completions",
    "/completions",
    "/complete",
    "/responses",
    "/messages",
    "/embeddings",
    "/moderations",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/images/generations",
    "/images/edits",
    "/images/variations",
    "/chat",
    "/embed",
    "/generate",
    "/rerank",
    "/converse",
    "/converse-stream",
    "/invoke",
    "/invoke-with-response-stream",
    "/predictions",
    ":generateContent",
    ":streamGenerateContent",
    ":embedContent",
    ":batchEmbedContents",
    ":predict",
    ":rawPredict",
    ":streamRawPredict",
)
"""Path suffixes at which providers answer with a model."""

_BY_HOST = {
    "ai21.com": "ai21",
    "aiplatform.googleapis.com": "google",
    "aliyuncs.com": "alibaba",
    "amazonaws.com": "aws",
    "anthropic.com": "anthropic",
    "azure.com": "azure",
    "cerebras.ai": "cerebras",
    "cohere.ai": "cohere",
    "cohere.com": "cohere",
    "deepinfra.com": "deepinfra",
    "deepseek.com": "deepseek",
    "fireworks.ai": "fireworks",
    "generativelanguage.googleapis.com": "google",
    "groq.com": "groq",
    "huggingface.co": "huggingface",
    "hyperbolic.xyz": "hyperbolic",
    "mistral.ai": "mistral",
    "moonshot.ai": "moonshotai",
    "moonshot.cn": "moonshotai",
    "novita.ai": "novita",
    "nvidia.com": "nvidia",
    "openai.com": "openai",
    "openrouter.ai": "openrouter",
    "perplexity.ai": "perplexity",
    "replicate.com": "replicate",
    "sambanova.ai": "sambanova",
    "together.ai": "together",
    "together.xyz": "together",
    "voyageai.com": "voyageai",
    "x.ai": "x-ai",
    "z.ai": "zai",
}
"""The name of a provider, as in the table of prices, by the end of its host."""

_MODEL_IN_PATH = re.compile(
    r"/(?:deployments|engines)/(?P<deployment>[^/]+)/|/models?/(?P<model>.+?)(?::\w+$|/(?:invoke|converse|predictions)\b)"
)


def calls_model(request: HttpRequest, paths: Sequence[str]) -> bool:
    """Whether a request calls a model; the messages of OpenAI's threads do not."""
    path = request.url.path.rstrip("/")
    return request.method == "POST" and path.endswith(tuple(paths)) and "/threads/" not in path


def provider_of(url: Url) -> str:
    """Returns the provider's name; for a host that is not known, the host, with its port if it is not the usual one.

    A model on Vertex AI or on the regional hosts of Google is Google's: ``europe-west1-aiplatform.googleapis.com``.
    """
    host = url.host.lower()
    parts = host.split(".")
    for start in range(len(parts) - 1):
        if (name := _BY_HOST.get(".".join(parts[start:]))) is not None:
            return name
    if host.endswith("-aiplatform.googleapis.com"):
        return "google"
    return (host or "unknown") if url.port is None else f"{host}:{url.port}"


def model_in_path(url: Url) -> str | None:
    """Returns the model that a path names, as those of Azure, Bedrock and Gemini do."""
    found = _MODEL_IN_PATH.search(url.path)
    return found and (found["deployment"] or found["model"])
