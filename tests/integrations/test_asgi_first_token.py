"""The time to first token is that of the first content."""

from __future__ import annotations

import pytest

from chainlog_async.integrations._asgi.messages import ObservedResponse


@pytest.mark.parametrize(
    ("event", "is_content"),
    [
        (b": OPENROUTER PROCESSING\n\n", False),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n', True),
        (b'data: {"choices": [{"delta": {"content": "\\"quoted"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":""}}]}}]}\n\n', True),
        (b'data: {"choices":[{"text":"Hi"}]}\n\n', True),
        (b'data: {"type":"content_block_start","content_block":{"type":"text","text":""}}\n\n', False),
        (b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}\n\n', True),
        (b'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n', True),
        (b'data: {"type":"response.created","response":{"text":{"format":{}}}}\n\n', False),
        (b'data: {"type":"response.created","response":{"instructions":"x","metadata":{"text":"x"}}}\n\n', False),
        (b'data: {"type":"response.in_progress","response":{"metadata":{"content":"x","delta":"x"}}}\n\n', False),
        (b'data: {"choices":[{"delta":{"audio":{"id":"a","expires_at":1}}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"audio":{"transcript":"Hi"}}}]}\n\n', True),
        (b'data: {"type":"response.output_audio_transcript.delta","delta":"Hi"}\n\n', True),
        (b'data: {"type":"response.audio.delta","delta":"UklG"}\n\n', True),
        (b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"}}]}\n\n', True),
        (b'data: {"message":{"role":"assistant","content":"Hi"},"done":false}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', True),
        (b'data: {"error":{"message":"overloaded"}}\n\n', False),
        (b'data: {"choices":[{"delta":{"reasoning":"Hm"}}]}\n\n', True),
        (
            b'data: {"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.summary","summary":"Hm"}]}}]}\n\n',
            True,
        ),
        (b'data: {"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":""}]}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"refusal":"No"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"text":"Hm"}]}]}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":"","tool_calls":null,"function_call":null}}]}\n\n', False),
        (b'data: {"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"Hm"}}\n\n', True),
        (b'data: {"type":"content_block_delta","delta":{"type":"signature_delta","signature":"Eq"}}\n\n', False),
        (b'data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}\n\n', True),
        (b'data: {"type":"content_block_start","content_block":{"type":"tool_use","name":"f","input":{}}}\n\n', True),
        (b'data: {"type":"content_block_start","content_block":{"type":"thinking","thinking":""}}\n\n', False),
        (b'data: {"type":"response.refusal.delta","delta":"No"}\n\n', True),
        (b'data: {"type":"response.reasoning_summary_text.delta","delta":"Hm"}\n\n', True),
        (b'data: {"type":"response.function_call_arguments.delta","delta":"{"}\n\n', True),
        (b'data: {"type":"response.output_item.added","item":{"type":"message","content":[]}}\n\n', False),
        (b'data: {"type":"response.content_part.added","part":{"type":"output_text","text":""}}\n\n', False),
        (b'data: {"type":"speech.audio.delta","audio":"UklG"}\n\n', True),
        (b'data: {"type":"image_generation.partial_image","b64_json":"QUJD"}\n\n', True),
        (b'data: {"contentBlockDelta":{"delta":{"reasoningContent":{"text":"Hm"}}}}\n\n', True),
        (b'data: {"contentBlockStart":{"start":{"toolUse":{"name":"f"}}}}\n\n', True),
        (b'data: {"messageStart":{"role":"assistant"}}\n\n', False),
        (b'data: {"type":"content-delta","delta":{"message":{"content":{"text":"Hi"}}}}\n\n', True),
        (b'data: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"Hm"}}}\n\n', True),
        (
            b'data: {"type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":""}}}\n\n',
            False,
        ),
        (b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}]}\n\n', True),
        (b'data: {"candidates":[{"content":{"parts":[{"text":""}]}}],"usageMetadata":{}}\n\n', False),
        (b'data: {"token":{"text":"Hi"},"generated_text":null}\n\n', True),
        (b'data: {"results":[{"generated_text":"Hi","stop_reason":"not_finished"}]}\n\n', True),
        (b'data: {"output":{"choices":[{"message":{"content":"Hi"}}]}}\n\n', True),
        (b'data: {"result":"Hi","is_end":false}\n\n', True),
        (b'data: {"response":"Hi"}\n\n', True),
        (b'data: {"completion":"Hi","stop_reason":null}\n\n', True),
        (b"event: output\ndata: Hi\n\n", True),
        (b'event: error\ndata: {"message":"sorry"}\n\n', False),
    ],
)
def test_content_is_told_from_its_preludes(event: bytes, is_content: bool) -> None:
    """The first token is the first text, reasoning or call of a tool; without any, the first bytes of the stream."""
    answered = ObservedResponse()
    headers = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
    answered.note({"type": "http.response.start", "status": 200, "headers": headers})
    assert answered.first_token is None
    answered.note({"type": "http.response.body", "body": event, "more_body": True})
    first = answered.first_token
    assert first is not None
    answered.note({"type": "http.response.body", "body": b'data: {"delta":{"content":"x"}}\n\n', "more_body": True})
    assert answered.first_token is not None
    assert (answered.first_token == first) == is_content
