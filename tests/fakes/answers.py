"""One answer in the wire format of each model API: a thought, a text, a call of a tool, the usage.

The events are those the providers document, in their order. What they mean is the same everywhere:
`THOUGHT`, then `TEXT`, then `look(where="garden")`; 100 tokens read, 40 of them from a cache, 20
written.

Source: API references of OpenAI (Chat, Responses), Anthropic (Messages), Google (Gemini), Mistral
(Chat) and Ollama (OpenAI compatibility).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.streams import chat_chunk, event

THOUGHT, TEXT = "Let me think.", "I will look."
CALL_ID, TOOL, ARGUMENTS = "call_1", "look", '{"where": "garden"}'
DONE = b"data: [DONE]\n\n"
_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40},
}


def chat(*thought: Mapping[str, Any], text: Any = TEXT) -> tuple[bytes, ...]:
    """Chat completions; thoughts come in the deltas given."""
    call = {"index": 0, "id": CALL_ID, "type": "function"}
    half = len(ARGUMENTS) // 2
    return (
        *(chat_chunk({"role": "assistant", **delta}) for delta in thought),
        chat_chunk({"role": "assistant", "content": text}),
        chat_chunk({"tool_calls": [{**call, "function": {"name": TOOL, "arguments": ""}}]}),
        *(
            chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            for part in (ARGUMENTS[:half], ARGUMENTS[half:])
        ),
        chat_chunk({}, "tool_calls"),
        event(
            {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [],
                "usage": _USAGE,
            }
        ),
        DONE,
    )


def reasoning_content() -> tuple[bytes, ...]:
    """Chat completions of DeepSeek, vLLM and others."""
    return chat({"reasoning_content": THOUGHT[:6]}, {"reasoning_content": THOUGHT[6:]})


def reasoning() -> tuple[bytes, ...]:
    """Chat completions of Ollama, OpenRouter and Groq."""
    return chat(
        {"content": "", "reasoning": THOUGHT[:6]}, {"content": "", "reasoning": THOUGHT[6:]}
    )


def think_tags() -> tuple[bytes, ...]:
    """Chat completions of servers that leave the thoughts in the text."""
    return chat({"content": "<think>"}, {"content": THOUGHT}, {"content": "</think>"})


def mistral() -> tuple[bytes, ...]:
    """Mistral's chat completions: the content of a thinking model is a list of chunks."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}
    return chat({"content": [thinking]}, text=[{"type": "text", "text": TEXT}])


def responses() -> tuple[bytes, ...]:
    """OpenAI's Responses, with a summary of the reasoning."""
    fixed = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "tools": []}
    base = {**fixed, "parallel_tool_calls": True, "tool_choice": "auto"}
    thinks: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": []}
    says: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    calls = {"id": "fc_1", "type": "function_call", "call_id": CALL_ID, "name": TOOL}
    summary = {"type": "summary_text", "text": THOUGHT}
    said = {"type": "output_text", "text": TEXT, "annotations": []}
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }
    of_thought = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
    of_text = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    of_call = {"item_id": "fc_1", "output_index": 2}
    done = [
        {**thinks, "summary": [summary]},
        {**says, "content": [said], "status": "completed"},
        {**calls, "arguments": ARGUMENTS, "status": "completed"},
    ]
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": {**base, "output": [], "status": "in_progress"}}),
        ("response.output_item.added", {"output_index": 0, "item": thinks}),
        (
            "response.reasoning_summary_part.added",
            {**of_thought, "part": {"type": "summary_text", "text": ""}},
        ),
        ("response.reasoning_summary_text.delta", {**of_thought, "delta": THOUGHT}),
        ("response.reasoning_summary_text.done", {**of_thought, "text": THOUGHT}),
        ("response.reasoning_summary_part.done", {**of_thought, "part": summary}),
        ("response.output_item.done", {"output_index": 0, "item": done[0]}),
        (
            "response.output_item.added",
            {"output_index": 1, "item": {**says, "status": "in_progress"}},
        ),
        ("response.content_part.added", {**of_text, "part": {**said, "text": ""}}),
        ("response.output_text.delta", {**of_text, "delta": TEXT, "logprobs": []}),
        ("response.output_text.done", {**of_text, "text": TEXT, "logprobs": []}),
        ("response.content_part.done", {**of_text, "part": said}),
        ("response.output_item.done", {"output_index": 1, "item": done[1]}),
        (
            "response.output_item.added",
            {"output_index": 2, "item": {**calls, "arguments": "", "status": "in_progress"}},
        ),
        ("response.function_call_arguments.delta", {**of_call, "delta": ARGUMENTS[:5]}),
        ("response.function_call_arguments.delta", {**of_call, "delta": ARGUMENTS[5:]}),
        ("response.function_call_arguments.done", {**of_call, "arguments": ARGUMENTS}),
        ("response.output_item.done", {"output_index": 2, "item": done[2]}),
        (
            "response.completed",
            {"response": {**base, "output": done, "status": "completed", "usage": usage}},
        ),
    ]
    return tuple(
        event({"type": name, "sequence_number": number, **fields}, name)
        for number, (name, fields) in enumerate(events)
    )


def messages() -> tuple[bytes, ...]:
    """Anthropic's Messages."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    read = {"input_tokens": 60, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": THOUGHT},
                {"type": "signature_delta", "signature": "c2lnbmVk"},
            ],
        ),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": TEXT}]),
        (
            {"type": "tool_use", "id": CALL_ID, "name": TOOL, "input": {}},
            [
                {"type": "input_json_delta", "partial_json": ARGUMENTS[:5]},
                {"type": "input_json_delta", "partial_json": ARGUMENTS[5:]},
            ],
        ),
    ]
    stop = {"stop_reason": "tool_use", "stop_sequence": None}
    events: list[tuple[str, dict[str, Any]]] = [
        (
            "message_start",
            {"message": {**start, "stop_reason": None, "usage": {**read, "output_tokens": 1}}},
        ),
        ("ping", {}),
    ]
    for index, (block, deltas) in enumerate(blocks):
        events.append(("content_block_start", {"index": index, "content_block": block}))
        events += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        events.append(("content_block_stop", {"index": index}))
    events += [
        ("message_delta", {"delta": stop, "usage": {**read, "output_tokens": 20}}),
        ("message_stop", {}),
    ]
    return tuple(event({"type": name, **fields}, name) for name, fields in events)


def gemini() -> tuple[bytes, ...]:
    """Google's streamGenerateContent, as server-sent events."""
    parts: list[dict[str, Any]] = [
        {"text": THOUGHT, "thought": True},
        {"text": TEXT},
        {"functionCall": {"name": TOOL, "args": {"where": "garden"}}, "thoughtSignature": "c2ln"},
    ]
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 15,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 120,
    }
    return tuple(
        event(
            {
                "candidates": [
                    {
                        "content": {"role": "model", "parts": [part]},
                        "index": 0,
                        **({"finishReason": "STOP"} if number == len(parts) else {}),
                    }
                ],
                "usageMetadata": usage,
                "modelVersion": "m",
                "responseId": "g1",
            }
        )
        for number, part in enumerate(parts, 1)
    )
