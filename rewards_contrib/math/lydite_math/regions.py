"""Sets of real numbers: intervals, unions of them, solved inequalities, set-builders."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from lydite_math.tree import MINUS_ONE, Builder, Group, Logic, Mul, Node, Num, Relation, SetOp, Sym, symbols

_REALS: Final = {
    "set R": "", "set R+": "> 0", "set R>0": "> 0", "set R-": "< 0", "set R<0": "< 0", "set R*": "!= 0",
    "set R>=0": ">= 0", "set R+0": ">= 0", "set R0+": ">= 0", "set R<=0": "<= 0", "set R!=0": "!= 0",
}  # fmt: skip
"""Names of sets of real numbers, and how their elements compare to zero."""
FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_WHOLE: Final = {
    "set Z": None, "set N": 0, "set N0": 0, "set N*": 1, "set N+": 1, "set Z+": 1, "set Z*": None,
}  # fmt: skip
_ORDERS: Final = frozenset(FLIPPED)
_INFINITE: Final = Sym("oo")


@dataclass(frozen=True, slots=True)
class Piece:
    """An interval; a single number when both ends are the same and closed."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A set of reals: a piece, or a combination of two."""

    op: str
    """`piece`, `cup`, `cap`, `minus`, `empty`, or `whole` for the whole numbers."""
    piece: Piece | None = None
    left: Region | None = None
    right: Region | None = None
    lowest: int | None = None
    """The first of the whole numbers, where there is one."""


def surely_region(node: Node) -> bool:
    """Whether the node can only be a set of reals, where a pair in brackets may also be a point."""
    if isinstance(node, SetOp | Builder | Logic) or (isinstance(node, Sym) and node.name in _REALS):
        return True
    return isinstance(node, Relation) and (node.ops == ("in",) or any(op in _ORDERS - {"="} for op in node.ops))


def region(node: Node) -> Region | None:
    """The set that the node describes, or None when it is not of a kind that is understood."""
    if isinstance(node, Sym) and node.name in _REALS:
        op = _REALS[node.name].partition(" ")[0]
        return _side(op, Num(Fraction(0))) if op else _interval(_minus(_INFINITE), _INFINITE, "(", ")")
    if isinstance(node, Group):
        return _group(node)
    if isinstance(node, SetOp):
        return _combined(node.op, region(node.left), region(node.right))
    if isinstance(node, Builder):
        return _builder(node)
    if isinstance(node, Logic):
        found = [region(part) for part in node.parts]
        if _common_subject(node) is None:
            return None
        result = found[0]
        for one in found[1:]:
            result = _combined("cup" if node.op == "or" else "cap", result, one)
        return result
    if isinstance(node, Relation):
        return _relation(node)
    return None


def _common_subject(node: Logic) -> Node | None:
    subjects = {subject(part) for part in node.parts}
    return subjects.pop() if len(subjects) == 1 else None


def subject(node: Node) -> Node | None:
    """What a solved inequality or membership is about: a letter alone in one part, or else the only part with letters.

    None when it is not solved: the same letter stands in another part, or nothing stands alone.
    """
    if isinstance(node, Logic):
        return _common_subject(node)
    if not isinstance(node, Relation):
        return None
    if node.ops == ("in",):
        return node.parts[0]
    with_letters = [part for part in node.parts if symbols(part)]
    alone = [part for part in with_letters if isinstance(part, Sym)]
    if len(alone) > 1 and len(node.parts) == 2:
        alone = alone[:1]
    found = alone if len(alone) == 1 else with_letters
    if len(found) != 1:
        return None
    others = [part for part in node.parts if part != found[0]]
    return None if any(symbols(found[0]) & symbols(part) for part in others) else found[0]


def _builder(node: Builder) -> Region | None:
    condition = node.condition
    name = node.variable
    kinds: list[Node] = []
    if isinstance(name, Relation) and name.ops == ("in",):
        kinds.append(name.parts[1])
        name = name.parts[0]
    if not isinstance(name, Sym):
        return None
    if isinstance(condition, Logic) and condition.op == "and":
        memberships = [one for one in condition.parts if isinstance(one, Relation) and one.ops == ("in",)]
        if any(one.parts[0] != name for one in memberships):
            return None
        kinds += [one.parts[1] for one in memberships]
        parts = tuple(one for one in condition.parts if one not in memberships)
        condition = parts[0] if len(parts) == 1 else Logic("and", parts)
    if isinstance(condition, Relation) and subject(condition) != name:
        return None
    result = region(condition)
    for kind in kinds:
        result = _combined("cap", result, _of_kind(kind))
    return result


def _of_kind(node: Node) -> Region | None:
    if not isinstance(node, Sym) or node.name not in _WHOLE:
        return region(node)
    return Region("whole", lowest=_WHOLE[node.name])


def _minus(node: Node) -> Node:
    return Mul((MINUS_ONE, node))


def _interval(low: Node, high: Node, left: str, right: str) -> Region:
    return Region("piece", Piece(low, high, left == "[", right == "]"))


def _group(node: Group) -> Region | None:
    if any(isinstance(one, Group | Relation | SetOp) for one in node.items):
        return None
    if node.left in ("(", "[") and len(node.items) == 2:
        return _interval(node.items[0], node.items[1], node.left, node.right)
    if node.left != "{":
        return None
    result: Region | None = Region("empty")
    for one in node.items:
        result = _combined("cup", result, Region("piece", Piece(one, one, True, True)))
    return result


def _combined(op: str, left: Region | None, right: Region | None) -> Region | None:
    return None if left is None or right is None else Region(op, None, left, right)


def _relation(node: Relation) -> Region | None:
    if node.ops == ("in",):
        return region(node.parts[1])
    centre = subject(node)
    if centre is None or any(op not in _ORDERS for op in node.ops):
        return None
    result: Region | None = None
    for left, op, right in zip(node.parts, node.ops, node.parts[1:], strict=False):
        if left == centre:
            here = _side(op, right)
        elif right == centre:
            here = _side(FLIPPED[op], left)
        else:
            return None
        result = here if result is None else _combined("cap", result, here)
    return result


def _side(op: str, bound: Node) -> Region:
    low, high = _minus(_INFINITE), _INFINITE
    if op in ("<", "<="):
        return _interval(low, bound, "(", "]" if op == "<=" else ")")
    if op in (">", ">="):
        return _interval(bound, high, "[" if op == ">=" else "(", ")")
    if op == "=":
        return Region("piece", Piece(bound, bound, True, True))
    everything = _interval(low, high, "(", ")")
    return Region("minus", None, everything, Region("piece", Piece(bound, bound, True, True)))
