"""How models write a call of a tool, read back.

    <tool_call>{"name": "calculate", "arguments": {"expression": "6 * 7"}}</tool_call>     Hermes, Qwen, SmolLM3
    {"name": "calculate", "parameters": {"expression": "6 * 7"}}                           Llama 3.1, Mistral
    [calculate(expression="6 * 7")]                                                        Llama 3.2, Gemma

JSON stands between the marks, alone in a fence, or alone as the whole reply. A call in Python's form stands alone on
a line, and counts only where a tool has its name. Everything else is text, and so is what a model thinks: all before
`</think>`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_MARKED: Final = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCED: Final = re.compile(r"```[\w-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_THOUGHT: Final = "</think>"  # the end of it, as Qwen, DeepSeek, SmolLM3 and others write it
_LONGEST: Final = 20_000  # characters of a reply that are read; parsers are slow, and no call is so long


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model wrote it; `problem` says why it cannot be made."""

    name: str
    named: Mapping[str, Any] = field(default_factory=dict)
    positional: Sequence[Any] = ()
    problem: str = ""


def tool_calls(reply: str, known: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls in a reply, in order; none where it is an answer. `known` are the names of tools.

    An argument in Python's form that is no literal is given as its text, so that `calculate(6 * 7)` gives `"6 * 7"`.
    """
    reply = reply.rpartition(_THOUGHT)[2][:_LONGEST]
    marked = [found.group(1) for found in _MARKED.finditer(reply)]
    if marked:
        return tuple(call for text in marked for call in _marked(text, known))
    places = [reply, *(found.group(1) for found in _FENCED.finditer(reply))]
    for place in places:
        if calls := _from_json(place):
            return calls
    lines = (line.strip().strip("`") for line in reply.splitlines())
    return tuple(call for line in lines for call in _from_python(line, known))


def _marked(text: str, known: Collection[str]) -> tuple[ToolCall, ...]:
    """What stands between the marks is meant as a call, so that what cannot be read is a problem."""
    found = _from_json(text) or tuple(_from_python(text.strip(), known))
    if found:
        return found
    wanted = 'expected {"name": ..., "arguments": {...}}'
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return (ToolCall("", problem=f"this is no JSON ({error}); {wanted}"),)
    return (ToolCall("", problem=f"this is no call of a tool; {wanted}"),)


def _from_json(text: str) -> tuple[ToolCall, ...]:
    """The call, or the list of calls, that the text is; none where it is anything else."""
    text = text.strip()
    if text[:1] not in ("{", "["):
        return ()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    calls = [_of_object(one) for one in (found if isinstance(found, list) else [found])]
    return tuple(call for call in calls if call is not None) if None not in calls else ()


def _of_object(found: Any) -> ToolCall | None:
    if isinstance(found, dict) and isinstance(found.get("function"), dict):  # OpenAI's form
        found = found["function"]
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return None
    arguments = found.get("arguments", found.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, dict):
        return ToolCall(found["name"], problem="its arguments are no JSON object")
    return ToolCall(found["name"], arguments)


def _from_python(text: str, known: Collection[str]) -> Iterator[ToolCall]:
    if not any(name in text for name in known):
        return
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
            yield ToolCall(
                node.func.id,
                {one.arg: _argument(one.value, text) for one in node.keywords if one.arg is not None},
                [_argument(one, text) for one in node.args],
            )


def _argument(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return ast.get_source_segment(text, node) or ""
