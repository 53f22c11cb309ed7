"""Inequalities about the size of a letter, and several conditions on one letter, as conditions on the letter alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lydite_math.lists import expanded
from lydite_math.regions import FLIPPED, subject
from lydite_math.tree import (
    MINUS_ONE,
    SIGN,
    Add,
    Builder,
    Call,
    Group,
    Logic,
    Mul,
    Node,
    Num,
    Pow,
    Relation,
    SetOp,
    Sym,
    replaced,
    symbols,
    walk,
)

_TWO: Final = Num(Fraction(2), None, 1)
_HALF: Final = Mul((Num(Fraction(1)),), (Num(Fraction(2)),))
_ORDERS: Final = frozenset({"<", "<=", ">", ">=", "!="})
_COMPLEX: Final = frozenset("zw")
"""Letters of complex numbers, of which few sizes are intervals."""


def solved(node: Node) -> Node:
    """The node with `|x - 2| < 3` and `x^2 < 4` solved for the letter, and `x > 0, x != 1` as one condition.

    Only the size of a letter, shifted and scaled, is solved: an inequality that is the task itself in any other
    form is no answer to it.
    """
    if isinstance(node, Relation):
        return _relation(node)
    if isinstance(node, Logic):
        return Logic(node.op, tuple(solved(one) for one in node.parts))
    if isinstance(node, Builder):
        return Builder(node.variable, solved(node.condition))
    if isinstance(node, SetOp):
        return SetOp(node.op, solved(node.left), expanded(node.right))
    if isinstance(node, Group) and not node.left and len(node.items) > 1:
        return _together(node)
    return node


def _together(node: Group) -> Node:
    """A list of conditions on one letter of which one excludes a value: all of them hold."""
    first = node.items[0]
    if not isinstance(first, Relation) or len(first.parts) != 2:
        return node
    if first.ops == ("!=",) and not any(isinstance(one, Relation | Group | Logic) for one in node.items[1:]):
        items: tuple[Node, ...] = (first, *(Relation((first.parts[0], one), ("!=",)) for one in node.items[1:]))
    else:
        items = node.items
    found = [one for one in items if isinstance(one, Relation) and set(one.ops) <= _ORDERS]
    if len(found) < len(items) or not any("!=" in one.ops for one in found):
        return node
    parts = tuple(solved(one) for one in found)
    subjects = {subject(one) for one in parts}
    return Logic("and", parts) if len(subjects) == 1 and None not in subjects else node


def _relation(node: Relation) -> Node:
    if node.ops == ("in",):
        return Relation((node.parts[0], solved(node.parts[1])), node.ops)
    if not set(node.ops) <= _ORDERS:
        return node
    if node.ops == ("!=",) and SIGN in walk(node):
        both = (replaced(node, SIGN.name, Num(Fraction(sign))) for sign in (1, -1))
        return Logic("and", tuple(both))
    parts: list[Node] = []
    for left, op, right in zip(node.parts, node.ops, node.parts[1:], strict=False):
        size, bound, towards = (left, right, op) if _inside(left) is not None else (right, left, FLIPPED[op])
        inside = _inside(size)
        if inside is None or symbols(inside) & symbols(bound):
            return node
        limit = bound if isinstance(size, Call) else Pow(bound, _HALF)
        parts.append(_between(inside, towards, limit))
    return parts[0] if len(parts) == 1 else Logic("and", tuple(parts))


def _inside(node: Node) -> Node | None:
    """What the absolute value or square is of, when that is one real letter, shifted and scaled."""
    if isinstance(node, Call) and node.name == "abs" and len(node.args) == 1:
        inside = node.args[0]
    elif isinstance(node, Pow) and node.exponent == _TWO:
        inside = node.base
    else:
        return None
    return inside if _linear(inside) is not None else None


def _linear(node: Node) -> tuple[Sym, Fraction, Node] | None:
    """Letter, slope and the rest of `2x - 1`."""
    terms = node.terms if isinstance(node, Add) else (node,)
    with_letter = [one for one in terms if symbols(one)]
    if len(with_letter) != 1:
        return None
    rest = Add(tuple(one for one in terms if one is not with_letter[0])) if len(terms) > 1 else Num(Fraction(0))
    factors = with_letter[0].above if isinstance(with_letter[0], Mul) else (with_letter[0],)
    below = with_letter[0].below if isinstance(with_letter[0], Mul) else ()
    slope, letters = Fraction(1), []
    for one in factors:
        if isinstance(one, Num):
            slope *= one.value
        else:
            letters.append(one)
    for one in below:
        if not isinstance(one, Num) or not one.value:
            return None
        slope /= one.value
    letter = letters[0] if len(letters) == 1 else None
    if not isinstance(letter, Sym) or not letter.name.islower() or letter.name in _COMPLEX or not slope:
        return None
    return letter, slope, rest


def _between(inside: Node, op: str, limit: Node) -> Node:
    found = _linear(inside)
    assert found is not None
    letter, slope, rest = found
    scale = (Num(abs(slope)),)
    minus_rest: Node = rest if slope < 0 else Mul((MINUS_ONE, rest))
    low: Node = Mul((Add((Mul((MINUS_ONE, limit)), minus_rest)),), scale)
    high: Node = Mul((Add((limit, minus_rest)),), scale)
    if op in ("<", "<="):
        return Relation((low, letter, high), (op, op))
    if op == "!=":
        return Logic("and", (Relation((letter, low), (op,)), Relation((letter, high), (op,))))
    return Logic("or", (Relation((letter, low), (FLIPPED[op],)), Relation((letter, high), (op,))))
