"""The attributes that are read, by the names that emitters give them. Everything else in a span is dropped.

Python's packages still send names that the conventions have replaced; the first that is there counts. No attribute in
these lists holds a prompt, an answer, an instruction or the definition of a tool, except the parameters of a call, of
which only the model is taken.
"""

from __future__ import annotations

from typing import Final

OPERATION: Final = ("gen_ai.operation.name", "llm.request.type")
CALLS: Final = frozenset({"chat", "text_completion", "completion", "generate_content", "embeddings", "embedding"})
"""Operations that are calls of a model; others, such as ``invoke_agent``, repeat what their calls used."""

KIND: Final = "openinference.span.kind"
CALL_KINDS: Final = frozenset({"LLM", "EMBEDDING"})

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "provider": ("chainlog.provider.id", "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "response_model": ("gen_ai.response.model",),
    "request_model": ("gen_ai.request.model", "llm.model_name", "embedding.model_name"),
    "finish_reason": ("gen_ai.response.finish_reasons", "llm.finish_reason", "anthropic.message.stop_reason"),
    "service_tier": (
        "gen_ai.response.service_tier",
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
    ),
    "response_id": ("gen_ai.response.id",),
}
"""Texts of a call, by the field that they fill."""

COUNTS: Final[dict[str, tuple[str, ...]]] = {
    "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "completion_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.details.cache_read_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "cache_write_1h_tokens": (
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
        "gen_ai.usage.details.ephemeral_1h_input_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "gen_ai.usage.details.reasoning_tokens",
    ),
    "prompt_audio_tokens": ("llm.token_count.prompt_details.audio",),
    "completion_audio_tokens": ("llm.token_count.completion_details.audio",),
}

FIELDS: Final = {
    name: (field, rank, fields is COUNTS)
    for fields in (NAMES, COUNTS)
    for field, names in fields.items()
    for rank, name in enumerate(names)
}
"""The field that an attribute fills, its place among those that fill the same, of which the lowest counts, and whether
it is a count."""

COST: Final = ("chainlog.cost_usd", "gen_ai.usage.total_cost", "gen_ai.usage.cost", "operation.cost", "llm.cost.total")

FIRST_CHUNK_S: Final = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.server.time_to_first_token",
)
FIRST_CHUNK_MS: Final = ("ai.response.msToFirstChunk",)
FIRST_CHUNK_EVENTS: Final = frozenset(
    {
        "First Token Stream Event",
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
        "ai.stream.firstChunk",
    }
)

DURATION: Final = "duration"
"""Seconds that a stream took, of a span that lasts no time."""

STREAMED: Final = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
STATUS: Final = ("http.response.status_code", "http.status_code")
ERROR_TYPE: Final = ("error.type", "exception.type")
RESENDS: Final = ("http.request.resend_count",)
PARAMETERS: Final = ("llm.invocation_parameters", "embedding.invocation_parameters")
"""JSON with the model that was asked for; OpenInference has it nowhere else when a call failed."""

CALLER: Final = ("user.id", "enduser.id")
SESSION: Final = ("gen_ai.conversation.id", "session.id")
CHAIN: Final = ("chainlog.chain.name",)
AGENT: Final = ("gen_ai.agent.name", "agent.name", "agent_name")

BELONGING: Final = frozenset({*CALLER, *SESSION, *CHAIN, *AGENT, *RESENDS})
COST_AND_TIMES: Final = frozenset({*COST, DURATION, *FIRST_CHUNK_S, *FIRST_CHUNK_MS, *STREAMED})

OUTCOME: Final = frozenset({*STATUS, *ERROR_TYPE})

SERVICE: Final = "service.name"
INSTANCE: Final = "service.instance.id"

OF_RESOURCE: Final = frozenset({SERVICE, INSTANCE, *CALLER, *SESSION, *CHAIN})

OF_SPAN: Final = frozenset(
    {
        *OPERATION,
        KIND,
        *(name for names in (*NAMES.values(), *COUNTS.values()) for name in names),
        *COST,
        *FIRST_CHUNK_S,
        *FIRST_CHUNK_MS,
        DURATION,
        *STREAMED,
        *STATUS,
        *ERROR_TYPE,
        *RESENDS,
        *PARAMETERS,
        *CALLER,
        *SESSION,
        *CHAIN,
        *AGENT,
    }
)

EXCEPTION_EVENT: Final = "exception"
OF_EXCEPTION: Final = frozenset({"exception.type", "exception.message"})
"""Of the message only an HTTP status is taken."""

OF_EVENTS: Final = frozenset({EXCEPTION_EVENT, *FIRST_CHUNK_EVENTS})

CLAUDE_REQUEST: Final = "claude_code.api_request"
CLAUDE_ERROR: Final = "claude_code.api_error"
LOG_EVENTS: Final = frozenset({CLAUDE_REQUEST, CLAUDE_ERROR})
"""Log records that tell of a call; all others are dropped."""

OF_LOG_EVENT: Final = frozenset(
    {
        "model",
        "cost_usd",
        "duration_ms",
        "ttft_ms",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_creation_tokens",
        "request_id",
        "status_code",
        "attempt",
        "session.id",
        "event.sequence",
        "user.email",
        "user.account_uuid",
        "user.id",
        "organization.id",
        "speed",
        "query_source",
    }
)
"""Attributes of a log record of Claude Code that are read."""
