"""Equations, inequalities, congruences, and answers that come with a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations
from typing import Final

from lydite_math.formulas import is_zero, proportional, proportional_by_monomial, same_formula
from lydite_math.names import FUNCTIONS
from lydite_math.rules import Rules
from lydite_math.tree import (
    MINUS_ONE,
    Add,
    Big,
    Call,
    Group,
    Mul,
    Node,
    Num,
    Pow,
    Ratio,
    Relation,
    SetOp,
    Sym,
    replaced,
    symbols,
)

_CONSTANTS: Final = frozenset(("a", "b", "c", "d", "k", "m", "A", "B", "C", "K", "alpha", "lambda", "mu"))
_MOST_CONSTANTS: Final = 3
_SEQUENCE: Final = re.compile(r"[A-Za-z]_[a-z]")
_CURVES: Final = (Sym("y"), Sym("z"))
_ARGUMENTS: Final = frozenset(("x", "t", "n", "z", "k", "s", "u", "r", "m", "y", "theta"))
_COORDINATES: Final = frozenset("xyz")
_EQUAL: Final = frozenset({"=", "~"})
_TURNED: Final = {">": "<", ">=": "<="}


def named(node: Node) -> tuple[Node | None, Node] | None:
    """The name and the value of an answer such as `x = 5`, `f(x) = x + 1`, `S = 2 + 3 = 5`, `2 + 3 = 5`.

    The name is None for a calculation. None for anything else, an equation between formulas above all.
    """
    if not isinstance(node, Relation) or not set(node.ops) <= _EQUAL:
        return None
    parts = list(node.parts)
    if "~" in node.ops:
        parts = parts[: max(node.ops.index("~") + 1, 1)]
        if len(parts) == 1 and is_name(parts[0]):
            parts = [node.parts[0], node.parts[1]]
    if len(parts) > 1 and (is_name(parts[0]) or _is_quotient(parts[0], parts[-1])):
        own = symbols(parts[0]) if isinstance(parts[0], Sym) else frozenset()
        return None if own & symbols(parts[-1]) else (parts[0], parts[-1])
    if len(parts) == 2 and isinstance(parts[1], Sym) and symbols(parts[1]) and not symbols(parts[0]):
        return parts[1], parts[0]
    calculates = not any(map(symbols, parts)) and not all(isinstance(one, Num) for one in parts)
    return (None, parts[-1]) if calculates else None


def _is_quotient(name: Node, value: Node) -> bool:
    """Whether `m/n` is asked for, when what it equals is a number."""
    if not isinstance(name, Mul) or not name.below or symbols(value):
        return False
    return all(isinstance(one, Sym) and symbols(one) for one in (*name.above, *name.below))


def is_name(node: Node) -> bool:
    """Whether this only names a value: a letter, `f(x)`, `(p, q)`, `|AB|`, a product or sum of letters."""
    if isinstance(node, Sym):
        return bool(symbols(node)) or node.name in ("e", "i")
    if isinstance(node, Call):
        if node.name[0] in "fghFGH" and node.name not in FUNCTIONS:
            return True
        return node.name not in ("factorial", "binom", "mod", "pmod", "log", "floor", "ceil") and bool(symbols(node))
    if isinstance(node, Group | Ratio):
        return all(map(is_name, node.items if isinstance(node, Group) else node.parts))
    if isinstance(node, Big):
        return bool(symbols(node))
    if isinstance(node, SetOp):
        return is_name(node.left) and is_name(node.right)
    if isinstance(node, Mul):
        return _is_derivative(node) or (not node.below and all(map(is_name, node.above)))
    return isinstance(node, Add) and all(map(is_name, node.terms))


def _is_derivative(node: Mul) -> bool:
    """`dy/dx`, `d^2y/dx^2`."""
    tops = [_first_letter(one) for one in (*node.above, *node.below)]
    return len(tops) == 2 and len(node.below) == 1 and tops == ["d", "d"]


def _first_letter(node: Node) -> str:
    """The letter that a product of letters begins with, itself perhaps in a power."""
    first = node.above[0] if isinstance(node, Mul) and len(node.above) > 1 and not node.below else None
    base = first.base if isinstance(first, Pow) else first
    return base.name if isinstance(base, Sym) else ""


def names_value(name: Node | None, value: Node) -> bool:
    """Whether a sum or quotient of letters asks for its value: `m + n = 17`, while `x + y = 5` is an equation."""
    if not isinstance(name, Add):
        return True
    return not symbols(value) and not symbols(name) & _COORDINATES


def definition(name: Node) -> tuple[str, tuple[str, ...]] | None:
    """The function's letter and its arguments' letters, for a name such as `f(x)`, `P(x, y)`, `a_n`."""
    if isinstance(name, Call) and name.args and all(isinstance(one, Sym) and symbols(one) for one in name.args):
        return name.name, tuple(one.name for one in name.args if isinstance(one, Sym))
    if isinstance(name, Sym) and _SEQUENCE.fullmatch(name.name):
        return name.name[:-2], (name.name[-1],)
    if isinstance(name, Mul) and len(name.above) == 2 and all(isinstance(one, Sym) for one in name.above):
        function, argument = name.above
        assert isinstance(function, Sym)
        assert isinstance(argument, Sym)
        if argument.name not in _ARGUMENTS or (function.name in _COORDINATES and argument.name in _COORDINATES - {"x"}):
            return None  # a product of two letters, or the length of a segment
        return function.name, (argument.name,)
    return None


def same_arguments(gold_name: Node | None, given_name: Node | None, given: Node) -> Node | None:
    """The given value in the letters of the reference's definition, or None when other things are defined."""
    if gold_name is None or given_name is None or gold_name == given_name:
        return given
    first, second = definition(gold_name), definition(given_name)
    if first is None or second is None:
        # `y = x + 1` and `f(x) = x + 1` define the same curve.
        other = given_name if second is None else gold_name
        return given if (first or second) is not None and other in _CURVES else None
    if first[0] != second[0] or len(first[1]) != len(second[1]):
        return None
    for place, name in enumerate(second[1]):  # by way of names that nobody writes, so that letters may change places
        given = replaced(given, name, Sym(f"argument {place}"))
    for place, name in enumerate(first[1]):
        given = replaced(given, f"argument {place}", Sym(name))
    return given


def in_argument_of(gold_name: Node | None, gold: Node, given: Node) -> Node:
    """A bare formula in the letter that the reference's definition uses, when it has one letter of its own."""
    defined = None if gold_name is None else definition(gold_name)
    own = symbols(given)
    if defined is None or len(defined[1]) != 1 or len(own) != 1 or symbols(gold) != set(defined[1]):
        return given
    return replaced(given, next(iter(own)), Sym(defined[1][0]))


def with_constants_of(gold_name: Node | None, gold: Node, given: Node) -> Iterator[Node]:
    """The given formula, then with its arbitrary constants named as the reference names its own: `c x` for `k x`."""
    yield given
    defined = None if gold_name is None else definition(gold_name)
    own, theirs = symbols(gold) - symbols(given), symbols(given) - symbols(gold)
    if defined is None or not 1 <= len(own) == len(theirs) <= _MOST_CONSTANTS or not (own | theirs) <= _CONSTANTS:
        return
    for order in permutations(sorted(own)):
        renamed = given
        for one, other in zip(sorted(theirs), order, strict=True):
            renamed = replaced(renamed, one, Sym(other))
        yield renamed


def same_equation(gold: Relation, given: Relation, rules: Rules) -> bool:
    """Whether two equations say the same: one is a multiple of the other, or solves it for a letter."""
    if len(gold.ops) != 1 or len(given.ops) != 1:
        return (
            gold.ops == given.ops
            and len(gold.parts) == len(given.parts)
            and all(same_formula(*pair, rules) for pair in zip(gold.parts, given.parts, strict=True))
        )
    left, right = _difference(gold), _difference(given)
    if not symbols(left) or not symbols(right):
        return False
    if proportional(left, right, rules, positive=False) or proportional_by_monomial(left, right, rules):
        return True
    return _solves(gold, given, rules) or _solves(given, gold, rules)


def _solves(equation: Relation, solution: Relation, rules: Rules) -> bool:
    name, formula = solution.parts
    return isinstance(name, Sym) and bool(symbols(name)) and solves(equation, name.name, formula, rules)


def solves(equation: Relation, name: str, formula: Node, rules: Rules) -> bool:
    """Whether the letter equals the formula exactly where the equation holds; it must occur in the first power."""
    if symbols(equation) - symbols(formula) != {name} or name in symbols(formula) or len(equation.ops) != 1:
        return False
    difference = _difference(equation)
    values = [replaced(difference, name, Num(Fraction(one))) for one in (0, 1, 2)]
    bend = Add((values[0], Mul((Num(Fraction(-2)), values[1])), values[2]))
    slope = Add((values[1], Mul((MINUS_ONE, values[0]))))
    return is_zero(replaced(difference, name, formula), rules) and is_zero(bend, rules) and not is_zero(slope, rules)


def solves_for_some(equation: Relation, formula: Node, rules: Rules) -> bool:
    """Whether a bare formula is the equation solved for the one letter that the formula lacks."""
    missing = symbols(equation) - symbols(formula)
    return len(missing) == 1 and bool(symbols(formula)) and solves(equation, next(iter(missing)), formula, rules)


def same_inequality(gold: Relation, given: Relation, rules: Rules) -> bool:
    """Whether two inequalities say the same, up to a positive factor and the side that things stand on."""
    first, second = _ascending(gold), _ascending(given)
    if first.ops != second.ops:
        return False
    if len(first.ops) == 1:
        return proportional(
            _difference(first), _difference(second), rules, positive=first.ops[0] not in ("!=", "=")
        ) or all(same_formula(*pair, rules) for pair in zip(first.parts, second.parts, strict=True))
    return all(same_formula(*pair, rules) for pair in zip(first.parts, second.parts, strict=True))


def _ascending(node: Relation) -> Relation:
    if all(op in _TURNED for op in node.ops):
        return Relation(node.parts[::-1], tuple(_TURNED[op] for op in node.ops[::-1]))
    return node


def _difference(node: Relation) -> Node:
    return Add((node.parts[0], Mul((MINUS_ONE, node.parts[1]))))


def same_congruence(gold: Relation, given: Relation, rules: Rules) -> bool:
    """Whether two congruences say the same: the same thing, modulus and residue."""
    first, second = _modular(gold), _modular(given)
    if first is None or second is None:
        return False
    if not same_formula(first[1], second[1], rules) or not same_formula(gold.parts[0], given.parts[0], rules):
        return False
    distance = Call("mod", (Add((first[0], Mul((MINUS_ONE, second[0])))), first[1]))
    return is_zero(distance, rules)


def _modular(node: Relation) -> tuple[Node, Node] | None:
    last = node.parts[-1]
    if len(node.parts) == 2 and isinstance(last, Call) and last.name == "pmod":
        return last.args[0], last.args[1]
    return None
