"""What is content in an event of a stream: text, reasoning, audio, an image or a call of a tool."""

from __future__ import annotations

from .loose_json import decode_any

_TEXT_KEYS = frozenset(
    {
        "arguments",
        "audio",
        "b64_json",
        "completion",
        "content",
        "data",
        "delta",
        "generated_text",
        "generation",
        "outputText",
        "partial_image_b64",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "response",
        "result",
        "summary",
        "text",
        "thinking",
        "tool_plan",
        "transcript",
    }
)
_CALL_KEYS = frozenset({"executableCode", "functionCall", "function_call", "inlineData", "toolUse", "tool_calls"})
_CALL_TYPES = ("tool_use", "server_tool_use")
_CONTAINERS = frozenset(
    {
        "audio",
        "candidates",
        "choices",
        "content",
        "contentBlockDelta",
        "contentBlockStart",
        "content_block",
        "delta",
        "message",
        "output",
        "outputs",
        "parts",
        "reasoningContent",
        "reasoning_details",
        "results",
        "start",
        "thinking",
        "token",
    }
)


def has_content(document: bytes) -> bool:
    """Whether an event of a stream brings content; a role alone is none."""
    try:
        return _holds_content(decode_any(document))
    except RecursionError:
        return True


def _holds_content(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_holds_content, value))
    if not isinstance(value, dict):
        return False
    return value.get("type") in _CALL_TYPES or any(
        bool(inner)
        if (key in _TEXT_KEYS and isinstance(inner, str)) or (key in _CALL_KEYS)
        else key in _CONTAINERS and _holds_content(inner)
        for key, inner in value.items()
    )
