"""Residue classes: `x = 3 (mod 5)`, several of them, and `n = 4k + 1`."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import Final, NamedTuple

from lydite_math.exact import number_of
from lydite_math.lists import expanded
from lydite_math.rules import Rules
from lydite_math.tree import Call, Group, Logic, Node, Num, Relation, Sym, replaced, symbols

_MOST: Final = 3000
"""Residues of one answer, all of its moduli brought to one."""
_DUMMIES: Final = frozenset("jklmnpqrst")


class Residues(NamedTuple):
    """The whole numbers that leave these remainders."""

    name: Node | None
    modulus: int
    remainders: frozenset[int]


def is_congruence(node: Node) -> bool:
    """Whether this, or something in this list, says a remainder."""
    if isinstance(node, Group | Logic):
        return any(map(is_congruence, node.items if isinstance(node, Group) else node.parts))
    if isinstance(node, Relation):
        return "==" in node.ops or any(isinstance(one, Call) and one.name == "mod" for one in node.parts[:1])
    return isinstance(node, Call) and node.name == "pmod"


def same_residues(gold: Node, given: Node, rules: Rules) -> bool | None:
    """Whether two answers leave the same remainders; None when one of them is no residue class."""
    first, second = _residues(gold, rules), _residues(given, rules)
    if first is None or second is None:
        return None
    if first.name is not None and second.name is not None and first.name != second.name:
        return False
    modulus = lcm(first.modulus, second.modulus)
    one, other = _to(first, modulus), _to(second, modulus)
    return None if one is None or other is None else one == other


def _to(found: Residues, modulus: int) -> frozenset[int] | None:
    times = modulus // found.modulus
    if times * len(found.remainders) > _MOST:
        return None
    return frozenset(one + found.modulus * step for one in found.remainders for step in range(times))


def _residues(node: Node, rules: Rules) -> Residues | None:
    if isinstance(node, Logic):
        return _united(list(node.parts), rules) if node.op == "or" else None
    node = expanded(node)
    if isinstance(node, Group):
        return _united(list(node.items), rules) if node.left in ("", "{") else None
    if isinstance(node, Call) and node.name == "pmod":
        return _class(None, node.args[0], node.args[1], rules)
    if not isinstance(node, Relation):
        return _linear(None, node, rules)
    if len(node.parts) != 2:
        return None
    left, right = node.parts
    if node.ops == ("==",) and isinstance(right, Call) and right.name == "pmod" and isinstance(left, Sym):
        return _class(left, right.args[0], right.args[1], rules)
    if node.ops == ("=",) and isinstance(left, Call) and left.name == "mod" and isinstance(left.args[0], Sym):
        return _class(left.args[0], right, left.args[1], rules)
    return _linear(left, right, rules) if node.ops == ("=",) and isinstance(left, Sym) else None


def _class(name: Node | None, remainder: Node, modulus: Node, rules: Rules) -> Residues | None:
    size, rest = number_of(modulus, rules.budget), number_of(remainder, rules.budget)
    if size is None or rest is None or size.denominator != 1 or rest.denominator != 1 or size < 1:
        return None
    return Residues(name, int(size), frozenset({int(rest) % int(size)}))


def _linear(name: Node | None, node: Node, rules: Rules) -> Residues | None:
    """`4k + 1` for a whole-number letter."""
    letters = symbols(node)
    if len(letters) != 1 or not letters <= _DUMMIES | rules.integers or name == Sym(next(iter(letters))):
        return None
    letter = next(iter(letters))
    values = [number_of(replaced(node, letter, Num(Fraction(one))), rules.budget) for one in range(4)]
    if any(one is None or one.denominator != 1 for one in values):
        return None
    zero, one, two, three = (int(value) for value in values if value is not None)
    if one - zero != two - one or two - one != three - two or one == zero:
        return None
    modulus = abs(one - zero)
    return Residues(name, modulus, frozenset({zero % modulus}))


def _united(parts: list[Node], rules: Rules) -> Residues | None:
    """Several classes; the modulus at the end of a list, and the letter at its beginning, are those of all."""
    last = parts[-1]
    tail = last.parts[-1] if isinstance(last, Relation) else last
    modulus = tail.args[1] if isinstance(tail, Call) and tail.name == "pmod" else None
    found: list[Residues] = []
    for one in parts:
        name, value = one.parts if isinstance(one, Relation) and one.ops == ("==",) else (None, one)
        if modulus is not None and not (isinstance(value, Call) and value.name == "pmod") and not symbols(value):
            here = _class(name, value, modulus, rules) if name is None or isinstance(name, Sym) else None
        else:
            here = _residues(one, rules)
        if here is None:
            return None
        found.append(here)
    names = {one.name for one in found if one.name is not None}
    common = lcm(*(one.modulus for one in found))
    spread = [_to(one, common) if common // one.modulus <= _MOST else None for one in found]
    if len(names) > 1 or None in spread:
        return None
    together = frozenset(number for one in spread if one is not None for number in one)
    return Residues(next(iter(names), None), common, together)
