"""A calculator as a tool, and a little pay for using it. A plugin file; `examples/calculator.toml` names it."""

from __future__ import annotations

import ast
import operator
import random
from collections.abc import Callable, Mapping
from typing import Any

import lydite

OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def calculate(expression: str) -> str:
    """Works out an expression with whole numbers, + - * and parentheses.

    Args:
        expression: What to work out, for example 12 * (3 + 4).
    """
    if len(expression) > 100:
        raise ValueError("the expression is too long")
    return str(value_of(ast.parse(expression.strip(), mode="eval").body))


def value_of(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -value_of(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        return OPERATIONS[type(node.op)](value_of(node.left), value_of(node.right))
    raise ValueError("only whole numbers, + - * and parentheses")


def calculator(*, announced: bool = True) -> lydite.ToolEnvironment:
    """The tool `calculate`. `announced`: the prompt describes it as the model's chat template describes tools."""
    return lydite.ToolEnvironment([calculate], announced=announced)


def products(*, low: int = 100, high: int = 999, size: int = 2000, seed: int = 0) -> list[lydite.Sample]:
    """`size` products of numbers from `low` to `high`, behind one that is worked out with the calculator."""
    chance = random.Random(seed)  # noqa: S311
    pairs = {(chance.randint(low, high), chance.randint(low, high)) for _ in range(size)}
    shown = conversation(23, 41)
    return [lydite.Sample(f"{a}*{b}", (*shown, *conversation(a, b)[:1]), str(a * b)) for a, b in sorted(pairs)]


def conversation(a: int, b: int) -> tuple[lydite.Message, ...]:
    return (
        {"role": "user", "content": f"What is {a} * {b}?"},
        {"role": "assistant", "content": f"calculate({a} * {b})"},
        {"role": "tool", "content": str(a * b)},
        {"role": "assistant", "content": str(a * b)},
    )


@lydite.reward(range=(0.0, 1.0), isolation="inline", pays_for="form")
def used(completion: lydite.Completion) -> float:
    """1.0 where the calculator was called once and gave a number."""
    results = [turn["content"] for turn in completion.turns if turn["role"] == "tool"]
    return 1.0 if len(results) == 1 and not results[0].startswith("error") else 0.0


@lydite.hookimpl
def lydite_environments() -> Mapping[str, Any]:
    return {"calculator": calculator}


@lydite.hookimpl
def lydite_datasets() -> Mapping[str, Any]:
    return {"calculator/products": products}


@lydite.hookimpl
def lydite_rewards() -> Mapping[str, Any]:
    return {"calculator/used": used}
