"""Python functions as tools that a model calls.

`calls` reads how models write a call; `schema` has what a function looks like to a model, and calls it with what the
model gave; `environment` puts both together.
"""

from lydite.tools.calls import ToolCall, tool_calls
from lydite.tools.environment import ToolEnvironment
from lydite.tools.schema import Tool

__all__ = ["Tool", "ToolCall", "ToolEnvironment", "tool_calls"]
