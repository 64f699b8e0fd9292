"""An instrumented program that knows nothing of the log.

``python -m tests.with_otel.program INSTRUMENTATION PROVIDER`` calls the provider at that address, and sends
its spans where `OTEL_EXPORTER_OTLP_ENDPOINT` says.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.with_otel.stub import FAILING, FLAKY, LIMITED

PROMPT = "ask the crocodile about marmalade"
MESSAGES: Any = [{"role": "user", "content": PROMPT}]


def call_openai(url: str) -> None:
    """Answered, streamed, embedded, answered after a retry, refused, and failed."""
    import openai

    client = openai.OpenAI(api_key="sk-none", base_url=f"{url}/v1", max_retries=1)
    client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    for _ in client.chat.completions.create(
        model="gpt-stream", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ):
        pass
    client.embeddings.create(model="text-embedding-3-small", input=PROMPT)
    client.chat.completions.create(model=FLAKY, messages=MESSAGES)
    for model in (LIMITED, FAILING):
        with suppress(openai.APIStatusError):
            client.chat.completions.create(model=model, messages=MESSAGES)


def call_anthropic(url: str) -> None:
    """The same without an embedding, which Anthropic does not have."""
    import anthropic

    client = anthropic.Anthropic(api_key="sk-none", base_url=url, max_retries=1)
    client.messages.create(model="claude-sonnet-4-5", max_tokens=500, messages=MESSAGES)
    with client.messages.stream(model="claude-stream", max_tokens=500, messages=MESSAGES) as stream:
        stream.until_done()
    client.messages.create(model=FLAKY, max_tokens=500, messages=MESSAGES)
    for model in (LIMITED, FAILING):
        with suppress(anthropic.APIStatusError):
            client.messages.create(model=model, max_tokens=500, messages=MESSAGES)


def main() -> None:
    """Instruments, calls, and sends what is left."""
    module, url = sys.argv[1:]
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=100))
    trace.set_tracer_provider(tracers)
    is_openai = module.endswith(("openai", "openai_v2"))
    getattr(import_module(module), "OpenAIInstrumentor" if is_openai else "AnthropicInstrumentor")().instrument()
    (call_openai if is_openai else call_anthropic)(url)
    tracers.shutdown()


if __name__ == "__main__":
    main()
