"""What an answer is made of, once it has been read: plain immutable nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Num:
    """A literal number."""

    value: Fraction
    decimals: int | None = None
    """Digits behind the point as written; None for an integer and for what is exact, such as a recurring decimal."""
    significant: int = 0
    """Significant digits as written; trailing zeros of an integer do not count."""


@dataclass(frozen=True, slots=True)
class Sym:
    """A letter with its subscript, or a constant: `pi`, `e`, `i`, `oo`. `+-` is the sign of plus-minus."""

    name: str


@dataclass(frozen=True, slots=True)
class Add:
    """A sum; a difference is a sum with a factor of -1."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    """A product over a product."""

    above: tuple[Node, ...]
    below: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Pow:
    """A power."""

    base: Node
    exponent: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its arguments; a name that is no known function stands for one that nobody knows."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Big:
    """A sum or product over an index."""

    name: str
    index: str
    low: Node
    high: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Group:
    """Several things in brackets as written: `(`, `[`, `{`, `<`; no bracket for a bare list."""

    items: tuple[Node, ...]
    left: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of entries."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """`a : b : c`."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain such as `0 < x <= 1`: one more part than operators."""

    parts: tuple[Node, ...]
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetOp:
    """A union (`cup`), intersection (`cap`) or difference (`minus`) of sets."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Builder:
    """`{x | condition}`."""

    variable: Node
    condition: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """Statements joined by `or` or `and`."""

    op: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Quantified:
    """`for all condition: body`, or `exists`."""

    kind: str
    condition: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Words:
    """Text that is no mathematics."""

    text: str


@dataclass(frozen=True, slots=True)
class Percent:
    """A number followed by a percent sign."""

    value: Node


@dataclass(frozen=True, slots=True)
class Degrees:
    """A number followed by a degree sign."""

    value: Node


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure, or the noun of what was counted."""

    factor: Fraction
    """How many base units one is."""
    dimensions: tuple[tuple[str, int], ...]
    """Base quantities and their powers, sorted; empty for a noun."""
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of units."""

    value: Node
    unit: Unit


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base, such as `204_5`."""

    digits: str
    base: int


Node: TypeAlias = (
    Num
    | Sym
    | Add
    | Mul
    | Pow
    | Call
    | Big
    | Group
    | Matrix
    | Ratio
    | Relation
    | SetOp
    | Builder
    | Logic
    | Quantified
    | Words
    | Percent
    | Degrees
    | Quantity
    | Based
)

SIGN = Sym("+-")
MINUS_ONE = Num(Fraction(-1))
CONSTANTS = frozenset({"pi", "e", "i", "oo"})


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below."""
    for field in fields(node):
        yield from _nodes(getattr(node, field.name))


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, tuple):
        for one in value:
            yield from _nodes(one)
    elif is_dataclass(value) and not isinstance(value, Unit):
        yield value  # type: ignore[misc]


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first."""
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        stack.extend(children(one))


def symbols(node: Node) -> frozenset[str]:
    """Names of the free letters; the index of a sum is bound, constants are none."""
    if isinstance(node, Sym):
        return frozenset() if node.name in CONSTANTS or node.name.startswith("set ") else frozenset({node.name})
    found: frozenset[str] = frozenset().union(*(symbols(one) for one in children(node)))
    return found - {node.index} if isinstance(node, Big) else found


def replaced(node: Node, name: str, by: Node) -> Node:
    """The node with every free letter of that name replaced."""
    if isinstance(node, Sym):
        return by if node.name == name else node
    if isinstance(node, Big) and node.index == name:
        return node
    changes = {field.name: _replaced(getattr(node, field.name), name, by) for field in fields(node)}
    return type(node)(**changes)


def _replaced(value: Any, name: str, by: Node) -> Any:
    if isinstance(value, tuple):
        return tuple(_replaced(one, name, by) for one in value)
    if is_dataclass(value) and not isinstance(value, Unit):
        return replaced(value, name, by)  # type: ignore[arg-type]
    return value


def negated(node: Node) -> Node:
    """The node with the other sign; a literal stays a literal."""
    if isinstance(node, Num):
        return Num(-node.value, node.decimals, node.significant)
    if isinstance(node, Percent):
        return Percent(negated(node.value))
    if isinstance(node, Degrees):
        return Degrees(negated(node.value))
    if isinstance(node, Quantity):
        return Quantity(negated(node.value), node.unit)
    return Mul((MINUS_ONE, node))
