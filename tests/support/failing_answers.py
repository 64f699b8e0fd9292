"""Answers of 200 that fail, or break off, and what only looks like it."""

from __future__ import annotations

from tests.support.provider_bodies import (
    ANTHROPIC,
    COUNTS,
    EVENTS,
    JSON,
    LINES,
    SHORT,
    Answer,
    chunk,
    completion,
    events_of,
    gemini,
    json_of,
    lines_of,
    ollama,
)

ANSWERS: dict[str, Answer] = {
    # An error beside a 200
    "MiniMax": Answer(
        JSON,
        json_of(
            completion({"prompt_tokens": 9, "completion_tokens": 3}, base_resp={"status_code": 0, "status_msg": ""})
        ),
        COUNTS,
        model="m",
    ),
    "MiniMax, failed": Answer(
        JSON,
        json_of({"id": "1", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        failure="1008: insufficient balance",
    ),
    "MiniMax, stream failed": Answer(
        EVENTS,
        events_of(chunk(), chunk(None, base_resp={"status_code": 1027, "status_msg": "output sensitive"})),
        failure="1027: output sensitive",
        model="m",
    ),
    "Baidu": Answer(
        EVENTS,
        events_of(
            {"object": "chat.completion", "is_end": False, "result": "Hi", "usage": {"prompt_tokens": 9}},
            {"is_end": True, "result": "", "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}},
        ),
        COUNTS,
    ),
    "Baidu, cut": Answer(EVENTS, events_of({"is_end": False, "result": "Hi"}), failure=SHORT),
    "Baidu, failed": Answer(JSON, json_of({"error_code": 336003, "error_msg": "too long"}), failure="336003: too long"),
    "Cloudflare": Answer(
        JSON,
        json_of(
            {
                "result": {"response": "Hi", "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
                "success": True,
                "errors": [],
                "messages": [],
            }
        ),
        COUNTS,
    ),
    "Cloudflare, failed": Answer(
        JSON,
        json_of({"result": None, "success": False, "errors": [{"code": 7009, "message": "no such model"}]}),
        failure="7009: no such model",
    ),
    "Cloudflare, streamed": Answer(
        EVENTS,
        events_of(
            {"response": "Hi", "p": "ab"},
            {"response": "", "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}},
            done=True,
        ),
        COUNTS,
    ),
    "OpenRouter, mid-stream": Answer(
        EVENTS,
        events_of(chunk(), chunk("", "error", error={"code": "server_error", "message": "disconnected"})),
        failure="server_error: disconnected",
        model="m",
    ),
    "a finish reason of error alone": Answer(
        EVENTS, events_of(chunk(), chunk(None, "error"), done=True), failure="error", model="m"
    ),
    "Anthropic's error": Answer(
        EVENTS,
        events_of(*ANTHROPIC, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        (9, None, None),
        "overloaded_error: Overloaded",
        "claude",
    ),
    "Ollama's error": Answer(
        LINES, lines_of(ollama("Hi", done=False), {"error": "out of memory"}), failure="out of memory", model="llama3"
    ),
    "vLLM's error": Answer(
        JSON,
        json_of({"object": "error", "message": "no such model", "type": "NotFoundError", "param": None, "code": 404}),
        failure="404: no such model",
    ),
    "vLLM's error in a stream": Answer(
        EVENTS,
        events_of(chunk(), {"object": "error", "message": "gone"}, done=True),
        failure="gone",
        model="m",
    ),
    "a JSON error in place of events": Answer(
        EVENTS, json_of({"error": {"message": "no credit", "code": 402}}), failure="402: no credit"
    ),
    "an error that is true": Answer(JSON, json_of({"error": True, "message": "no"}), failure="no"),
    "an event named error with JSON": Answer(
        EVENTS,
        events_of(chunk()) + b'event: error\ndata: {"status_code": 500, "message": "sorry"}\n\n',
        failure="500: sorry",
        model="m",
    ),
    # Withheld by a filter: an answer, not a failure
    "Gemini, blocked": Answer(
        EVENTS,
        events_of({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}),
        (9, None, None),
    ),
    "Gemini, an answer withheld": Answer(
        EVENTS,
        events_of(gemini("Hi", completion=3), {"candidates": [{"finishReason": "PROHIBITED_CONTENT"}]}),
        COUNTS,
        model="gemini-2.5-flash",
    ),
    "Azure, an answer withheld": Answer(
        EVENTS,
        events_of(
            {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
            chunk(),
            chunk(None, "content_filter"),
        ),
        model="m",
    ),
    "Azure, a filter that is down": Answer(
        JSON,
        json_of(
            {
                "choices": [
                    {
                        "finish_reason": "stop",
                        "content_filter_results": {"error": {"code": "content_filter_error", "message": "timed out"}},
                    }
                ],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3},
            }
        ),
        COUNTS,
    ),
    "Azure, an error for what was asked": Answer(
        EVENTS,
        events_of({"error": {"code": "content_filter", "message": "policy", "status": 400}}),
        failure="content_filter: policy",
    ),
}
