"""Letters that only number or span the solutions, and may have any name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations
from typing import Final

from lydite_math.read import Reading
from lydite_math.relations import named
from lydite_math.tree import Builder, Group, Matrix, Node, Relation, Sym, replaced, symbols, walk

_PERIODS: Final = frozenset("klmnjpqt")
_DUMMIES: Final = frozenset("klmjst")
_SPANNING: Final = frozenset(("k", "l", "m", "n", "j", "r", "s", "t", "u", "v", "lambda", "mu", "alpha", "beta"))
"""Letters in which the elements of a family of tuples are written."""
_SURELY: Final = re.compile(r"[Cc]_[0-9]")
_CONSTANTS: Final = re.compile(r"[ABCDKabck]|[ACKck]_[0-9]")
_MOST: Final = 3


def renamed(gold: Reading, given: Reading) -> Iterator[Node]:
    """The given answer, with letters that may have any name called as the reference calls its own.

    The renaming is one-to-one, and letters that both use keep their names.
    """
    own, theirs = _free(gold.node), _free(given.node)
    first, second = sorted(own - theirs), sorted(theirs - own)
    if not 1 <= len(first) == len(second) <= _MOST:
        yield given.node
        return
    if len(first) == 1 and _counts(gold, given, first[0], second[0]):
        yield replaced(given.node, second[0], Sym(first[0]))
        return
    yield given.node
    if not (_spans(gold.node, first, second) or _integrates(gold.node, first, second)):
        return
    for order in permutations(first):
        node = given.node
        for place, one in enumerate(second):  # by way of names that nobody writes, for letters that change places
            node = replaced(node, one, Sym(f"parameter {place}"))
        for place, one in enumerate(order):
            node = replaced(node, f"parameter {place}", Sym(one))
        yield node


def _counts(gold: Reading, given: Reading, own: str, theirs: str) -> bool:
    """Whether the letters stand for any whole number: `k pi` and `n pi` are the same solutions."""
    letters = {own, theirs}
    if own in gold.integers or theirs in given.integers:
        return True
    found = named(gold.node)
    if found is not None and isinstance(found[0], Sym) and own in _DUMMIES and theirs in _DUMMIES | {"n"}:
        return True
    return letters <= _PERIODS and all(Sym("pi") in walk(one.node) for one in (gold, given))


def _spans(gold: Node, own: list[str], theirs: list[str]) -> bool:
    """Whether the reference is a family of tuples or vectors."""
    if not {*own, *theirs} <= _SPANNING:
        return False
    value = _value(gold)
    parts = value.items if isinstance(value, Group) and value.left in ("", "{") else (value,)
    return all(
        isinstance(one, Matrix) or (isinstance(one, Group) and one.left in ("(", "<") and one.right != "]")
        for one in map(_value, parts)
    )


def _integrates(gold: Node, own: list[str], theirs: list[str]) -> bool:
    """Whether the letters are the constants of a general solution: with subscripts, or `C` in one that is named."""
    if not all(map(_CONSTANTS.fullmatch, (*own, *theirs))):
        return False
    if all(map(_SURELY.fullmatch, own)) or all(map(_SURELY.fullmatch, theirs)):
        return True
    return isinstance(gold, Relation) and bool({"C", "K"} & {*own}) and bool(symbols(_value(gold)) - set(own))


def _value(node: Node) -> Node:
    found = named(node)
    return node if found is None else found[1]


def _free(node: Node) -> frozenset[str]:
    if isinstance(node, Builder):
        return symbols(node.condition) - symbols(node.variable)
    return symbols(_value(node))
