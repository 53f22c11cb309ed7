"""The environment of tools: a reply that calls some is answered with their results; any other reply is the answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lydite.errors import PluginError
from lydite.suggest import did_you_mean
from lydite.tools.calls import ToolCall, tool_calls
from lydite.tools.schema import Tool
from lydite.types import Message, Observation, Sample


class ToolEnvironment:
    """Lets the model call Python functions, and ends with the first reply that calls none.

    It pays nothing: ordinary rewards judge the answer. A call that cannot be made, or a function that raises, is
    told to the model as the call's result.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]], *, announced: bool = True) -> None:
        """`announced`: the prompt shows the tools as the model's chat template shows tools. With False the data says
        how to call them, which small models understand better.

        Raises:
            PluginError: when there is no function, two have one name, or one cannot be described to a model.
        """
        tools = [_tool(function) for function in functions]
        self._tools = {tool.name: tool for tool in tools}
        if not tools or len(self._tools) < len(tools):
            raise PluginError(f"tools are one or more functions of different names, got {[one.name for one in tools]}")
        self._announced = announced

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the functions, for the prompt."""
        return [tool.schema for tool in self._tools.values()] if self._announced else []

    def reset(self, sample: Sample) -> Sequence[Message]:
        """Nothing: the question is the sample's own prompt."""
        return ()

    def step(self, reply: str) -> Observation:
        """The results of the calls in the reply, a message each; the end where it calls nothing."""
        calls = tool_calls(reply, self._tools)
        if not calls:
            return Observation(done=True)
        return Observation(tuple(Message(role="tool", content=self._result(call)) for call in calls))

    def _result(self, call: ToolCall) -> str:
        if call.problem:
            return f"error: {call.name + ': ' if call.name else ''}{call.problem}"
        tool = self._tools.get(call.name)
        if tool is None:
            return f"error: there is no tool {call.name!r}{did_you_mean(call.name, self._tools)}"
        return tool.call(call.positional, call.named)


def _tool(function: Callable[..., Any]) -> Tool:
    return Tool(function) if inspect.ismethod(function) else _shared_tool(function)  # a method would keep its object


@lru_cache(maxsize=256)
def _shared_tool(function: Callable[..., Any]) -> Tool:
    """Reading a signature takes longer than most calls, and every completion has an environment of its own."""
    return Tool(function)
