"""Answers of Cohere and Bedrock, whole and broken."""

from __future__ import annotations

from tests.support.provider_bodies import (
    ANTHROPIC,
    ANTHROPIC_END,
    AWS,
    COHERE,
    COHERE_USAGE,
    CONVERSE,
    CONVERSE_END,
    COUNTS,
    EVENTS,
    JSON,
    LINES,
    SHORT,
    Answer,
    aws_events,
    aws_message,
    enclosed,
    events_of,
    json_of,
    lines_of,
)

ANSWERS: dict[str, Answer] = {
    # Cohere
    "Cohere v2": Answer(
        JSON,
        json_of({"id": "1", "finish_reason": "COMPLETE", "message": {"content": []}, "usage": COHERE_USAGE}),
        COUNTS,
    ),
    "Cohere v2, failed": Answer(
        JSON, json_of({"id": "1", "finish_reason": "ERROR", "usage": COHERE_USAGE}), COUNTS, "ERROR"
    ),
    "Cohere v2, timed out": Answer(JSON, json_of({"id": "1", "finish_reason": "TIMEOUT"}), failure="TIMEOUT"),
    "Cohere v2, streamed": Answer(
        EVENTS,
        events_of(*COHERE, {"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": COHERE_USAGE}}),
        COUNTS,
    ),
    "Cohere v2, stream failed": Answer(
        EVENTS,
        events_of(
            *COHERE,
            {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "oh no", "usage": COHERE_USAGE}},
        ),
        COUNTS,
        "oh no",
    ),
    "Cohere v2, stream failed without a word": Answer(
        EVENTS, events_of(*COHERE, {"type": "message-end", "delta": {"finish_reason": "ERROR"}}), failure="ERROR"
    ),
    "Cohere v2, stream cut": Answer(EVENTS, events_of(*COHERE), failure=SHORT),
    "Cohere v1": Answer(
        JSON, json_of({"text": "Hi", "finish_reason": "COMPLETE", "meta": {"api_version": {}, **COHERE_USAGE}}), COUNTS
    ),
    "Cohere v1, streamed": Answer(
        LINES,
        lines_of(
            {"is_finished": False, "event_type": "stream-start", "generation_id": "1"},
            {"is_finished": False, "event_type": "text-generation", "text": "Hi"},
            {
                "is_finished": True,
                "event_type": "stream-end",
                "finish_reason": "COMPLETE",
                "response": {"text": "Hi", "meta": COHERE_USAGE},
            },
        ),
        COUNTS,
    ),
    "Cohere v1, stream failed": Answer(
        LINES,
        lines_of(
            {"is_finished": False, "event_type": "text-generation", "text": "Hi"},
            {"is_finished": True, "event_type": "stream-end", "finish_reason": "ERROR_TOXIC", "response": {}},
        ),
        failure="ERROR_TOXIC",
    ),
    "Cohere v1, stream cut": Answer(
        LINES, lines_of({"is_finished": False, "event_type": "text-generation", "text": "Hi"}), failure=SHORT
    ),
    "Cohere embeddings": Answer(
        JSON,
        json_of({"embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 9}}}),
        (9, None, None),
    ),
    "Cohere ranking": Answer(JSON, json_of({"results": [{"index": 0}], "meta": {"billed_units": {"search_units": 1}}})),
    # Bedrock
    "ConverseStream": Answer(AWS, aws_events(*CONVERSE, *CONVERSE_END), COUNTS),
    "ConverseStream without metadata": Answer(AWS, aws_events(*CONVERSE, CONVERSE_END[0])),
    "ConverseStream, cut": Answer(AWS, aws_events(*CONVERSE), failure=SHORT),
    "ConverseStream, cut in a message": Answer(AWS, aws_events(*CONVERSE, *CONVERSE_END)[:400], failure=SHORT),
    "ConverseStream, nothing": Answer(AWS, b"", failure=SHORT),
    "ConverseStream, garbled": Answer(AWS, b"x" * 100, failure="the event stream cannot be read"),
    "ConverseStream, an exception": Answer(
        AWS,
        aws_events(*CONVERSE)
        + aws_message({"message": "slow down"}, exception_type="throttlingException", message_type="exception"),
        failure="throttlingException: slow down",
    ),
    "ConverseStream, an error": Answer(
        AWS,
        aws_message(None, error_code="InternalError", error_message="sorry", message_type="error"),
        failure="InternalError: sorry",
    ),
    "InvokeModelWithResponseStream": Answer(
        AWS, aws_events(*enclosed(*ANTHROPIC, *ANTHROPIC_END)), COUNTS, model="claude"
    ),
    "InvokeModelWithResponseStream, cut": Answer(
        AWS, aws_events(*enclosed(*ANTHROPIC)), (9, None, None), SHORT, "claude"
    ),
    "InvokeModelWithResponseStream, Titan": Answer(
        AWS,
        aws_events(
            *enclosed(
                {"outputText": "Hi", "index": 0, "totalOutputTextTokenCount": None, "completionReason": None},
                {
                    "outputText": "",
                    "totalOutputTextTokenCount": 3,
                    "completionReason": "FINISH",
                    "inputTextTokenCount": 9,
                    "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 3},
                },
            )
        ),
        COUNTS,
    ),
    "Bedrock's events as JSON": Answer(
        EVENTS, events_of(*({name: payload} for name, payload in (*CONVERSE, *CONVERSE_END))), COUNTS
    ),
    "Bedrock's events as JSON, cut": Answer(
        EVENTS, events_of(*({name: payload} for name, payload in CONVERSE)), failure=SHORT
    ),
    "Bedrock's exception as JSON": Answer(
        EVENTS,
        events_of(
            *({name: payload} for name, payload in CONVERSE),
            {"modelStreamErrorException": {"message": "model failed", "originalStatusCode": 500}},
        ),
        failure="modelStreamErrorException: model failed",
    ),
    "Bedrock's chunks as JSON": Answer(
        LINES,
        lines_of(*({name: payload} for name, payload in enclosed(*ANTHROPIC, *ANTHROPIC_END))),
        COUNTS,
        model="claude",
    ),
    "Llama on Bedrock": Answer(
        JSON,
        json_of({"generation": "Hi", "prompt_token_count": 9, "generation_token_count": 3, "stop_reason": "stop"}),
        COUNTS,
    ),
    "Titan on Bedrock": Answer(
        JSON,
        json_of(
            {"inputTextTokenCount": 9, "results": [{"tokenCount": 3, "outputText": "Hi", "completionReason": "FINISH"}]}
        ),
        COUNTS,
    ),
    "Titan embeddings": Answer(JSON, json_of({"embedding": [0.1], "inputTextTokenCount": 9}), (9, None, None)),
}
