"""Python functions as tools: how calls are read, made, and answered."""

from __future__ import annotations

import gc
import json
import weakref
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite import Observation, Sample, ToolEnvironment
from lydite.errors import PluginError
from lydite.tools import tool_calls


def calculate(expression: str, digits: int = 0) -> str:
    """Works out an expression.

    Args:
        expression: What to work out.
        digits: How many digits.
    """
    if "/0" in expression:
        raise ZeroDivisionError("by zero")
    return f"{expression}|{digits}"


def facts(names: list[str]) -> dict[str, Any]:
    """Facts.

    Args:
        names: Of what.
    """
    return {name: len(name) for name in names}


KNOWN = ("calculate", "facts")
ONE = {"expression": "6 * 7"}


@pytest.mark.parametrize(
    "reply",
    [
        '<tool_call>\n{"name": "calculate", "arguments": {"expression": "6 * 7"}}\n</tool_call>',
        'I need it.<tool_call>{"name": "calculate", "arguments": {"expression": "6 * 7"}}',
        '{"name": "calculate", "parameters": {"expression": "6 * 7"}}',
        '[{"name": "calculate", "arguments": {"expression": "6 * 7"}}]',
        '{"type": "function", "function": {"name": "calculate", "arguments": "{\\"expression\\": \\"6 * 7\\"}"}}',
        'Like this:\n```json\n{"name": "calculate", "arguments": {"expression": "6 * 7"}}\n```',
        '[calculate(expression="6 * 7")]',
        "```tool_code\ncalculate(expression=6 * 7)\n```",
        "First:\n`calculate(expression='6 * 7')`",
    ],
)
def test_a_call_is_read_in_every_form(reply: str) -> None:
    (call,) = tool_calls(reply, KNOWN)
    assert (call.name, dict(call.named), call.problem) == ("calculate", ONE, "")
    assert ToolEnvironment([calculate, facts]).step(reply).content == ({"role": "tool", "content": "6 * 7|0"},)


@pytest.mark.parametrize(
    "reply",
    ["42", "", "calculate", "print(6)", '{"answer": 42}', "[1, 2]", "{", "We calculate(6) here.", "```\n42\n```"],
)
def test_an_answer_is_no_call_and_ends_the_episode(reply: str) -> None:
    assert tool_calls(reply, KNOWN) == ()
    assert ToolEnvironment([calculate]).step(reply) == Observation(done=True)


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(reply: str) -> None:
    tool_calls(reply, KNOWN)
    tool_calls(f"<tool_call>{reply}", KNOWN)
    ToolEnvironment([calculate]).step(f"calculate({reply})")


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=9), st.none() | st.booleans() | st.integers() | st.text(max_size=9)))
def test_arguments_in_json_come_back_as_they_were(arguments: dict[str, Any]) -> None:
    text = json.dumps({"name": "anything", "arguments": arguments})
    for reply in (text, f"<tool_call>\n{text}\n</tool_call>"):
        if "</tool_call>" not in text:
            assert [dict(call.named) for call in tool_calls(reply, KNOWN)] == [arguments]


def test_several_calls_are_answered_in_order() -> None:
    reply = "".join(
        f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"
        for name, arguments in (("facts", {"names": ["ab", "c"]}), ("calculate", {"expression": "1", "digits": "2"}))
    )
    observation = ToolEnvironment([calculate, facts]).step(reply)
    assert [one["content"] for one in observation.messages] == ['{"ab": 2, "c": 1}', "1|2"]
    assert not observation.done


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ('{"name": "calcualte", "arguments": {}}', "error: there is no tool 'calcualte'; did you mean 'calculate'?"),
        ("calculate()", "error: calculate: argument expression: Missing required argument"),
        ("calculate(1, wrong=2)", "error: calculate: argument wrong: Unexpected keyword argument"),
        ("calculate(1, digits='many')", "error: calculate: argument digits: Input should be a valid integer"),
        ("calculate('1/0')", "error: ZeroDivisionError: by zero"),
        ("<tool_call>{]</tool_call>", "error: this is no JSON"),
        ("<tool_call>7</tool_call>", "error: this is no call of a tool"),
        ('{"name": "calculate", "arguments": [1]}', "error: calculate: its arguments are no JSON object"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(reply: str, told: str) -> None:
    (message,) = ToolEnvironment([calculate]).step(reply).messages
    assert message["role"] == "tool"
    assert message["content"].startswith(told)


def loops() -> list[Any]:
    """Has itself in it."""
    found: list[Any] = []
    found.append(found)
    return found


def nobody() -> dict[Any, str]:
    """Has a key that is no name."""
    return {(1, 2): "x"}


async def later() -> str:
    """Comes later."""
    return "x"


class Shop:
    """Its methods are tools, and remember."""

    def __init__(self) -> None:
        self.sold = 0

    def sell(self, count: int) -> int:
        """Sells.

        Args:
            count: How many.
        """
        self.sold += count
        return self.sold


@pytest.mark.parametrize(
    ("function", "told"), [(loops, "error: ValueError: Circular reference"), (nobody, "error: TypeError: keys must be")]
)
def test_a_result_that_is_no_json_is_told_too(function: Any, told: str) -> None:
    (message,) = ToolEnvironment([function]).step(f"{function.__name__}()").messages
    assert message["content"].startswith(told)


def test_methods_are_tools_of_their_own_object() -> None:
    shops = [Shop(), Shop()]
    environments = [ToolEnvironment([shop.sell]) for shop in shops]
    assert [one.step("sell(2)").messages[0]["content"] for one in (*environments, environments[0])] == ["2", "2", "4"]
    gone = weakref.ref(shops[1])
    del shops, environments
    gc.collect()
    assert gone() is None  # nothing keeps a game that is over


def test_a_call_that_is_only_thought_of_is_none() -> None:
    thought = '<think>\ncalculate(1)\n<tool_call>{"name": "calculate", "arguments": {"expression": "2"}}</tool_call>\n'
    environment = ToolEnvironment([calculate])
    assert environment.step(f"{thought}</think>\n\n42") == Observation(done=True)
    (message,) = environment.step(f"{thought}</think>\n\ncalculate(3)").messages
    assert message["content"] == "3|0"


def test_a_number_is_taken_for_a_text() -> None:
    assert ToolEnvironment([calculate]).step("calculate(42)").messages[0]["content"] == "42|0"


def test_the_prompt_shows_the_tools_unless_the_data_does() -> None:
    (schema,) = ToolEnvironment([calculate]).tools
    assert schema["function"]["name"] == "calculate"
    assert schema["function"]["parameters"]["required"] == ["expression"]
    assert schema["function"]["parameters"]["properties"]["digits"]["description"] == "How many digits."
    quiet = ToolEnvironment([calculate], announced=False)
    assert quiet.tools == []
    assert quiet.reset(Sample("s", "?")) == ()


def undescribed(x: int) -> int:
    return x


def untyped(x) -> int:  # type: ignore[no-untyped-def]
    """Says.

    Args:
        x: It.
    """
    return int(x)


def starred(*x: int) -> int:
    """Says."""
    return sum(x)


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ([], "one or more functions"),
        ([calculate, calculate], "different names"),
        ([undescribed], "undescribed cannot be described"),
        ([untyped], "untyped cannot be described"),
        ([starred], "cannot give by name"),
        ([later], r"plain function .* got <function later .*asyncio\.run"),
        ([partial(calculate, digits=2)], "plain function or a method"),
        ([Shop], "plain function or a method"),
    ],
)
def test_functions_that_a_model_cannot_be_told_of_are_refused(functions: list[Any], said: str) -> None:
    with pytest.raises(PluginError, match=said):
        ToolEnvironment(functions)
