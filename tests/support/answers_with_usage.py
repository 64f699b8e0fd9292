"""Answers whose usage is told in the ways that providers document."""

from __future__ import annotations

from tests.support.provider_bodies import (
    BROKEN,
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
    gemini_array_of,
    json_of,
    lines_of,
    ollama,
)

ANSWERS: dict[str, Answer] = {
    "Gemini, an array": Answer(
        JSON,
        gemini_array_of(gemini("a"), gemini("b", completion=2), gemini("c", "STOP", 3)),
        COUNTS,
        model="gemini-2.5-flash",
    ),
    "Gemini, a long array": Answer(
        JSON,
        gemini_array_of(*(gemini("word " * 50, completion=n // 200) for n in range(600)), gemini("c", "STOP", 3)),
        COUNTS,
        model="gemini-2.5-flash",
    ),
    "Gemini, an array with a long element": Answer(
        JSON,
        gemini_array_of(gemini("word" * 50_000), gemini("c", "STOP", 3)),
        COUNTS,
        model="gemini-2.5-flash",
    ),
    "Gemini, an array that breaks off": Answer(
        JSON,
        gemini_array_of(gemini("a"), gemini("b", completion=2))[:-2],
        (9, 0, None),
        BROKEN,
        "gemini-2.5-flash",
    ),
    "Gemini, an array with an error": Answer(
        JSON,
        gemini_array_of(gemini("a", completion=3), {"error": {"code": 503, "message": "overloaded"}}),
        COUNTS,
        "503: overloaded",
        "gemini-2.5-flash",
    ),
    "Gemini, a stream that breaks off": Answer(
        EVENTS, events_of(gemini("a", completion=3)), COUNTS, SHORT, "gemini-2.5-flash"
    ),
    "Gemini's Python client": Answer(
        JSON,
        json_of(
            {
                "usage_metadata": {
                    "prompt_token_count": 7,
                    "tool_use_prompt_token_count": 2,
                    "candidates_token_count": 1,
                    "thoughts_token_count": 2,
                    "cached_content_token_count": 4,
                    "total_token_count": 12,
                }
            }
        ),
        (9, 3, 4),
    ),
    "Gemini's command line": Answer(
        EVENTS, events_of({"response": gemini("c", "STOP", 3)}), COUNTS, model="gemini-2.5-flash"
    ),
    "Ollama": Answer(
        LINES,
        lines_of(ollama("Hi", done=False), ollama("", done=True, prompt_eval_count=9, eval_count=3)),
        COUNTS,
        model="llama3",
    ),
    "Ollama, lines sent as JSON": Answer(
        JSON,
        lines_of(*[ollama("Hi", done=False)] * 3, ollama("", done=True, prompt_eval_count=9, eval_count=3)),
        COUNTS,
        model="llama3",
    ),
    "Ollama, many lines sent as JSON": Answer(
        JSON,
        lines_of(*[ollama("Hi", done=False)] * 3_000, ollama("", done=True, prompt_eval_count=9, eval_count=3)),
        COUNTS,
        model="llama3",
    ),
    "Ollama, lines sent as JSON that break off": Answer(
        JSON, lines_of(*[ollama("Hi", done=False)] * 3), failure=SHORT, model="llama3"
    ),
    "Ollama, not streamed": Answer(
        JSON,
        lines_of(ollama("Hi", done=True, context=[1] * 90_000, prompt_eval_count=9, eval_count=3)),
        COUNTS,
        model="llama3",
    ),
    "Ollama, embeddings": Answer(
        JSON,
        json_of({"model": "e", "embeddings": [[0.123456789] * 768] * 100, "prompt_eval_count": 9}),
        (9, None, None),
        model="e",
    ),
    "counts as texts": Answer(
        JSON, json_of(completion({"prompt_tokens": "9", "completion_tokens": "3"})), COUNTS, model="m"
    ),
    "Mistral": Answer(
        EVENTS,
        events_of(chunk(), chunk("", "stop", usage={"prompt_tokens": 9, "total_tokens": 12, "completion_tokens": 3})),
        COUNTS,
        model="m",
    ),
    "DeepSeek": Answer(
        JSON,
        json_of(
            completion(
                {
                    "prompt_tokens": 9,
                    "completion_tokens": 3,
                    "prompt_cache_hit_tokens": 4,
                    "prompt_cache_miss_tokens": 5,
                    "completion_tokens_details": {"reasoning_tokens": 2},
                }
            )
        ),
        (9, 3, 4),
        model="m",
    ),
    "xAI, whose completion leaves out the reasoning": Answer(
        JSON,
        json_of(
            completion(
                {
                    "prompt_tokens": 9,
                    "completion_tokens": 1,
                    "total_tokens": 12,
                    "prompt_tokens_details": {"text_tokens": 9, "cached_tokens": 4},
                    "completion_tokens_details": {"reasoning_tokens": 2},
                    "num_sources_used": 0,
                }
            )
        ),
        (9, 3, 4),
        model="m",
    ),
    "Perplexity": Answer(
        JSON,
        json_of(
            completion(
                {
                    "prompt_tokens": 9,
                    "completion_tokens": 3,
                    "total_tokens": 12,
                    "search_context_size": "low",
                    "citation_tokens": 20_016,
                    "reasoning_tokens": 73_876,
                    "cost": {"total_cost": 0.1},
                }
            )
        ),
        COUNTS,
        model="m",
    ),
    "Groq, streamed": Answer(
        EVENTS,
        events_of(
            chunk(),
            chunk(None, "stop", x_groq={"id": "r", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}),
            done=True,
        ),
        COUNTS,
        model="m",
    ),
    "Fireworks, with a number per chunk": Answer(
        EVENTS,
        events_of(
            *(chunk(usage={"prompt_tokens": 9, "completion_tokens": count}) for count in range(3)),
            chunk(None, "stop", usage={"prompt_tokens": 9, "completion_tokens": 3}),
        ),
        COUNTS,
        model="m",
    ),
    "Voyage": Answer(
        JSON,
        json_of({"object": "list", "data": [{"embedding": [0.1]}], "model": "e", "usage": {"total_tokens": 9}}),
        (9, None, None),
        model="e",
    ),
    "Jina, a ranking": Answer(
        JSON,
        json_of({"model": "r", "results": [{"index": 0}], "usage": {"total_tokens": 9}}),
        (9, None, None),
        model="r",
    ),
    "a sum of a chat": Answer(JSON, json_of(completion({"total_tokens": 12})), model="m"),
    "Responses": Answer(
        JSON,
        json_of(
            {
                "object": "response",
                "status": "completed",
                "error": None,
                "model": "m",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}],
                "usage": {
                    "input_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 4},
                    "output_tokens": 3,
                    "output_tokens_details": {"reasoning_tokens": 2},
                    "total_tokens": 12,
                },
            }
        ),
        (9, 3, 4),
        model="m",
    ),
    "Responses, a long one at the end of a stream": Answer(
        EVENTS,
        events_of(
            {"type": "response.output_text.delta", "delta": "Hi"},
            {
                "type": "response.completed",
                "response": {
                    "object": "response",
                    "model": "m",
                    "output": [{"content": [{"text": '"} ' * 100_000, "usage": {"input_tokens": 99_999}}]}],
                    "usage": {"input_tokens": 9, "output_tokens": 3},
                },
            },
        ),
        COUNTS,
        model="m",
    ),
    "Responses, failed": Answer(
        JSON,
        json_of({"object": "response", "status": "failed", "error": {"code": "server_error", "message": "sorry"}}),
        failure="server_error: sorry",
    ),
    "Realtime": Answer(
        EVENTS,
        events_of(
            {"type": "response.output_audio.delta", "delta": "UklG"},
            {
                "type": "response.done",
                "response": {
                    "object": "realtime.response",
                    "status": "completed",
                    "usage": {
                        "total_tokens": 12,
                        "input_tokens": 9,
                        "output_tokens": 3,
                        "input_token_details": {"text_tokens": 5, "audio_tokens": 4, "cached_tokens": 4},
                    },
                },
            },
        ),
        (9, 3, 4),
    ),
    "Realtime, failed": Answer(
        EVENTS,
        events_of(
            {
                "type": "response.done",
                "response": {
                    "object": "realtime.response",
                    "status": "failed",
                    "status_details": {"type": "failed", "error": {"type": "server_error", "code": "e1"}},
                },
            }
        ),
        failure="e1",
    ),
    "a transcription": Answer(
        JSON,
        json_of({"text": "Hi", "usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 3, "total_tokens": 12}}),
        COUNTS,
    ),
    "a transcription by the second": Answer(
        JSON, json_of({"text": "Hi", "usage": {"type": "duration", "seconds": 27}})
    ),
    "a transcription, streamed": Answer(
        EVENTS,
        events_of(
            {"type": "transcript.text.delta", "delta": "Hi"},
            {"type": "transcript.text.done", "text": "Hi", "usage": {"input_tokens": 9, "output_tokens": 3}},
        ),
        COUNTS,
    ),
    "an image": Answer(
        JSON,
        json_of(
            {
                "created": 1,
                "data": [{"b64_json": "QUJD" * 100_000}],
                "usage": {"input_tokens": 9, "output_tokens": 3, "input_tokens_details": {"text_tokens": 9}},
            }
        ),
        COUNTS,
    ),
    "an image, streamed": Answer(
        EVENTS,
        events_of(
            {"type": "image_generation.partial_image", "b64_json": "QUJD", "partial_image_index": 0},
            {
                "type": "image_generation.completed",
                "b64_json": "QUJD" * 100_000,
                "usage": {"input_tokens": 9, "output_tokens": 3},
            },
        ),
        COUNTS,
    ),
    "Text Generation Inference": Answer(
        EVENTS,
        events_of(
            {"index": 1, "token": {"id": 1, "text": "Hi", "special": False}, "generated_text": None, "details": None},
            {
                "index": 2,
                "token": {"id": 2, "text": "!", "special": False},
                "generated_text": "Hi!",
                "details": {"finish_reason": "length", "generated_tokens": 3, "input_length": 9, "seed": None},
            },
        ),
        COUNTS,
    ),
    "Text Generation Inference, cut": Answer(
        EVENTS, events_of({"token": {"text": "Hi"}, "generated_text": None, "details": None}), failure=SHORT
    ),
    "Text Generation Inference, not streamed": Answer(
        JSON,
        json_of([{"generated_text": "Hi", "details": {"finish_reason": "length", "generated_tokens": 3}}]),
        (None, 3, None),
    ),
    "watsonx": Answer(
        JSON,
        json_of(
            {
                "model_id": "ibm/granite",
                "results": [
                    {
                        "generated_text": "Hi",
                        "generated_token_count": 3,
                        "input_token_count": 9,
                        "stop_reason": "eos_token",
                    }
                ],
            }
        ),
        COUNTS,
        model="ibm/granite",
    ),
    "Replicate": Answer(
        JSON,
        json_of(
            {
                "id": "p",
                "model": "meta/llama",
                "status": "succeeded",
                "output": ["Hi"],
                "error": None,
                "input": {"usage": {"prompt_tokens": 99_999}},
                "metrics": {"input_token_count": 9, "output_token_count": 3, "predict_time": 1.5},
            }
        ),
        COUNTS,
        model="meta/llama",
    ),
    "Replicate, failed": Answer(
        JSON, json_of({"id": "p", "status": "failed", "error": "out of memory"}), failure="out of memory"
    ),
    "Replicate, streamed": Answer(EVENTS, b"event: output\ndata: Hi\n\nevent: done\ndata: {}\n\n"),
    "Replicate, stream failed": Answer(
        EVENTS, b'event: output\ndata: Hi\n\nevent: done\ndata: {"reason": "error"}\n\n', failure="error"
    ),
    "Replicate, stream cut": Answer(EVENTS, b"event: output\ndata: Hi\n\n", failure=SHORT),
}
