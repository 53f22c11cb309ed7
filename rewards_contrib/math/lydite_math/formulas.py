"""Comparison of expressions with letters: by their values at fixed points."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final

from lydite_math.numbers import same_number, same_value, vanishes
from lydite_math.rules import Rules
from lydite_math.tree import MINUS_ONE, Add, Big, Call, Mul, Node, Num, Pow, Sym, symbols, walk
from lydite_math.values import NoValueError, Point, context, is_real, value

ENOUGH_POINTS: Final = 5
"""Points that must agree. Two different formulas of this size that agree at five points do not occur by chance."""
_MOST_POINTS: Final = 28
_RANGES: Final = ((0.15, 0.95), (1.05, 3.2), (-2.6, -0.15), (0.2, 2.4), (-0.9, 0.9), (3.3, 7.5))
_MOST_LETTERS: Final = 4
_TINY: Final = 1e-25
_CONSTANTS_OF_INTEGRATION: Final = ("C", "c", "K", "const")


def same_formula(gold: Node, given: Node, rules: Rules) -> bool:
    """Whether two expressions have the same value wherever both have a real one."""
    if gold == given:
        return True
    names = symbols(gold) | symbols(given)
    if not names:
        return same_number(gold, given, rules)
    if _agree(gold, given, names, rules):
        return True
    for one in _CONSTANTS_OF_INTEGRATION:
        if one in names and _adds(gold, one) and _adds(given, one):
            return len(names) > 1 and _constant_difference(gold, given, names, rules)
    return False


def points(names: frozenset[str], whole: frozenset[str], rules: Rules) -> Iterator[dict[str, Any]]:
    """Fixed points, letters in alphabetical order; whole-number letters get small positive integers."""
    draw = random.Random(1729)  # noqa: S311 - the points must be the same for everyone
    arithmetic = context()
    for turn in range(_MOST_POINTS):
        low, high = _RANGES[turn % len(_RANGES)]
        yield {
            name: arithmetic.mpf(draw.randint(1, 9) if name in whole else draw.uniform(low, high))
            for name in sorted(names)
        }


def _values(
    gold: Node, given: Node, at: Iterable[dict[str, Any]], rules: Rules
) -> Iterator[tuple[dict[str, Any], Any, Any]]:
    """The letters of each point at which two expressions have a value, and these values."""
    for letters in at:
        point = Point(letters, rules.budget)
        try:
            yield letters, value(gold, point), value(given, point)
        except NoValueError:
            continue


def _agree(gold: Node, given: Node, names: frozenset[str], rules: Rules) -> bool:
    whole = (_whole_letters(gold) | _whole_letters(given) | rules.integers) & names
    complex_wanted = any(one == Sym("i") for tree in (gold, given) for one in walk(tree))
    agreed = agreed_outside = 0
    for letters, left, right in _values(gold, given, points(names, whole, rules), rules):
        same = same_value(left, right)
        if complex_wanted or (is_real(left) and is_real(right)):
            if not same and not vanishes(abs(left - right), gold, given, letters, rules):
                return False
            agreed += 1
            if agreed >= ENOUGH_POINTS:
                return True
        elif same:
            agreed_outside += 1
    return agreed + agreed_outside >= ENOUGH_POINTS or (agreed >= 2 and bool(whole))


def _whole_letters(node: Node) -> frozenset[str]:
    """Letters that stand where only whole numbers make sense: in factorials, in exponents of a negative number."""
    found: set[str] = set()
    for one in walk(node):
        if isinstance(one, Call) and one.name in ("factorial", "binom", "gcd", "lcm", "mod"):
            found.update(*(symbols(argument) for argument in one.args))
        elif isinstance(one, Big):
            found |= symbols(one.low) | symbols(one.high)
        elif isinstance(one, Pow) and isinstance(one.base, Num) and one.base.value < 0:
            found |= symbols(one.exponent)
    return frozenset(found)


def _adds(node: Node, name: str) -> bool:
    return isinstance(node, Add) and Sym(name) in node.terms


def _constant_difference(gold: Node, given: Node, names: frozenset[str], rules: Rules) -> bool:
    difference = Add((gold, Mul((MINUS_ONE, given))))
    first: Any = None
    agreed = 0
    for letters in points(names, frozenset(), rules):
        try:
            here = value(difference, Point(letters, rules.budget))
        except NoValueError:
            continue
        if not is_real(here):
            continue
        if first is None:
            first = here
        elif abs(here - first) > context().mpf(10) ** -25 * (1 + abs(first)):
            return False
        agreed += 1
        if agreed > ENOUGH_POINTS:
            return True
    return False


def proportional(gold: Node, given: Node, rules: Rules, *, positive: bool) -> bool:
    """Whether one expression is a constant multiple of the other: then `= 0` says the same of both."""
    names = symbols(gold) | symbols(given)
    ratio: Any = None
    agreed = 0
    whole = (_whole_letters(gold) | _whole_letters(given)) & names
    for _, left, right in _values(gold, given, points(names, whole, rules), rules):
        if not is_real(left) or not is_real(right):
            continue
        if abs(left) < _TINY or abs(right) < _TINY:
            return False
        here = left / right
        if ratio is None:
            ratio = here
        elif not same_value(here, ratio):
            return False
        agreed += 1
        if agreed >= ENOUGH_POINTS or not names:
            return not positive or bool(ratio.real > 0)
    return False


def proportional_by_monomial(gold: Node, given: Node, rules: Rules) -> bool:
    """Whether one expression is the other times a constant and powers of the letters, as `1/x + 1/y - 1` and
    `x + y - xy`: where no letter is zero, they vanish together.
    """
    names = symbols(gold) | symbols(given)
    if not 1 <= len(names) <= _MOST_LETTERS:
        return False
    powers: list[Node] = []
    for name in sorted(names):
        power = _power_between(gold, given, name, names, rules)
        # A factor may only be what clearing a denominator leaves: `xy = 0` holds where `x = 0` does not.
        if power is None or (power and _has_pole(gold, name, rules) == _has_pole(given, name, rules)):
            return False
        powers.append(Pow(Sym(name), Num(Fraction(power))))
    return proportional(gold, Mul((given, *powers)), rules, positive=False)


def _has_pole(node: Node, name: str, rules: Rules) -> bool:
    """Whether the expression has no value where the letter is zero."""
    letters = next(points(symbols(node) | {name}, frozenset(), rules))
    try:
        value(node, Point({**letters, name: 0 * letters[name]}, rules.budget))
    except NoValueError:
        return True
    return False


def _power_between(gold: Node, given: Node, name: str, names: frozenset[str], rules: Rules) -> int | None:
    """The power of the letter by which two expressions differ, seen when it alone is doubled."""
    for letters in points(names, frozenset(), rules):
        ratios = []
        for factor in (1, 2):
            point = Point({**letters, name: letters[name] * factor}, rules.budget)
            try:
                above, below = value(gold, point), value(given, point)
            except NoValueError:
                break
            if above == 0 or below == 0 or not is_real(above) or not is_real(below):
                break
            ratios.append(above / below)
        if len(ratios) < 2 or ratios[1] / ratios[0] <= 0:
            continue
        power = context().log(ratios[1] / ratios[0]) / context().log(2)
        nearest = int(context().nint(power))
        return nearest if abs(power - nearest) < _TINY and abs(nearest) <= _MOST_LETTERS else None
    return None


def is_zero(node: Node, rules: Rules) -> bool:
    """Whether an expression is zero wherever it has a real value."""
    return same_formula(node, Num(Fraction(0)), rules)
