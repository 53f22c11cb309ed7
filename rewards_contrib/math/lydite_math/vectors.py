"""Sums of the unit vectors i, j and k as the tuple of their components."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lydite_math.tree import Add, Group, Matrix, Mul, Node, Num, Sym, symbols, walk

UNIT: Final = "vector "
"""Begins the name of a unit vector that is written as one, with a hat or in bold type."""
_AXES: Final = ("i", "j", "k")


def as_tuples(gold: Node, given: Node) -> tuple[Node, Node]:
    """Both answers, with sums of unit vectors as tuples: those in bold or with hats, and `i`, `j`, `k` beside one."""
    both = (gold, given)
    if not any(_is_vector(one) for one in both):
        return both
    found = [_components(one) if isinstance(one, Add | Mul | Sym) else None for one in both]
    if found[0] is None and found[1] is None:
        return both
    sides = []
    for node, mine, other in zip(both, found, (_length(given, found[1]), _length(gold, found[0])), strict=True):
        if mine is None:
            sides.append(node)
            continue
        size = max(other, 3 if mine[2] is not None else 2)
        zero = Num(Fraction(0))
        sides.append(Group(tuple(one or zero for one in mine)[:size], "(", ")"))
    return sides[0], sides[1]


def _is_vector(node: Node) -> bool:
    if isinstance(node, Group):
        return node.left in ("(", "<") and node.right != "]" and len(node.items) in (2, 3)
    if isinstance(node, Matrix):
        return True
    return any(isinstance(one, Sym) and one.name.startswith(UNIT) for one in walk(node))


def _length(node: Node, components: list[Node | None] | None) -> int:
    if components is not None:
        return 3 if components[2] is not None else 2
    if isinstance(node, Group):
        return min(len(node.items), 3)
    return min(max(len(node.rows), len(node.rows[0])), 3) if isinstance(node, Matrix) else 2


def _components(node: Node) -> list[Node | None] | None:
    """What stands before i, j and k, None where the letter is missing; None when it is no sum of them."""
    found: dict[str, list[Node]] = {}
    for term in node.terms if isinstance(node, Add) else (node,):
        here = _component(term)
        if here is None:
            return None
        for axis, coefficient in here.items():
            found.setdefault(axis, []).append(coefficient)
    bold = any(isinstance(one, Sym) and one.name.startswith(UNIT) for one in walk(node))
    if not bold and not ("i" in found and ("j" in found or "k" in found) and symbols(node) <= {"j", "k"}):
        return None
    return [Add(tuple(found[axis])) if axis in found else None for axis in _AXES]


def _component(term: Node) -> dict[str, Node] | None:
    """The coefficient of the one unit vector of a term, or of those in a bracket that is multiplied."""
    above, below = _factors(term)
    place = next((place for place, one in enumerate(above) if any(map(_is_axis, walk(one)))), None)
    if place is None or any(
        _is_axis(one) for side in (above[place + 1 :], below) for each in side for one in walk(each)
    ):
        return None
    rest, unit = (*above[:place], *above[place + 1 :]), above[place]
    if isinstance(unit, Sym):
        return {unit.name.removeprefix(UNIT): Mul(rest or (Num(Fraction(1)),), below)}
    inner = _components(unit) if isinstance(unit, Add) else None
    if inner is None:
        return None
    return {axis: Mul((*rest, one), below) for axis, one in zip(_AXES, inner, strict=True) if one is not None}


def _is_axis(node: Node) -> bool:
    return isinstance(node, Sym) and node.name.removeprefix(UNIT) in _AXES


def _factors(node: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """What is multiplied and what is divided by, products of products written as one."""
    if not isinstance(node, Mul):
        return (node,), ()
    parts = [_factors(one) for one in node.above]
    return (
        tuple(one for above, _ in parts for one in above),
        (*(one for _, below in parts for one in below), *node.below),
    )
