"""Rational numbers, computed exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from lydite_math.limits import LARGEST_FACTORIAL, LONGEST_SUM, MOST_BITS, Budget, TooLargeError
from lydite_math.tree import Add, Big, Call, Mul, Node, Num, Percent, Pow, replaced


class NotRationalError(Exception):
    """An expression that is no rational number, or that is not recognised as one."""


def rational(node: Node, budget: Budget) -> Fraction:
    """The exact value of an expression of rational numbers.

    Raises:
        NotRationalError: when it holds letters, roots or other functions, or divides by zero.
        TooLargeError: when the number or the work would be too large.
    """
    budget.spend()
    if isinstance(node, Num):
        return node.value
    if isinstance(node, Add):
        return _sum([rational(one, budget) for one in node.terms], budget)
    if isinstance(node, Mul):
        above = _product([rational(one, budget) for one in node.above], budget)
        below = _product([rational(one, budget) for one in node.below], budget)
        if below == 0:
            raise NotRationalError
        return _checked(above / below, budget)
    if isinstance(node, Pow):
        return _power(rational(node.base, budget), rational(node.exponent, budget), budget)
    if isinstance(node, Percent):
        return rational(node.value, budget) / 100
    if isinstance(node, Call):
        return _call(node, budget)
    if isinstance(node, Big):
        return _big(node, budget)
    raise NotRationalError


def _checked(value: Fraction, budget: Budget) -> Fraction:
    bits = value.numerator.bit_length() + value.denominator.bit_length()
    budget.spend(bits // 500)
    if bits > 2 * MOST_BITS:
        raise TooLargeError
    return value


def _sum(values: list[Fraction], budget: Budget) -> Fraction:
    total = Fraction(0)
    for one in values:
        total = _checked(total + one, budget)
    return total


def _product(values: list[Fraction], budget: Budget) -> Fraction:
    result = Fraction(1)
    for one in values:
        result = _checked(result * one, budget)
    return result


def _power(base: Fraction, exponent: Fraction, budget: Budget) -> Fraction:
    if exponent.denominator != 1:
        return _rational_root(base, exponent, budget)
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent.numerator) * max(size - 1, 0) > MOST_BITS or abs(exponent.numerator) > 10**9:
        raise TooLargeError
    if base == 0 and exponent < 0:
        raise NotRationalError
    return _checked(base**exponent.numerator, budget)


def _rational_root(base: Fraction, exponent: Fraction, budget: Budget) -> Fraction:
    if (
        base < 0
        or exponent.denominator > 12
        or base.numerator.bit_length() > 2000
        or base.denominator.bit_length() > 2000
    ):
        raise NotRationalError
    above = _whole_root(base.numerator, exponent.denominator)
    below = _whole_root(base.denominator, exponent.denominator)
    return _power(Fraction(above, below), Fraction(exponent.numerator), budget)


def _whole_root(value: int, degree: int) -> int:
    root = math.isqrt(value) if degree == 2 else _rounded_root(value, degree)
    if root**degree != value:
        raise NotRationalError
    return root


def _rounded_root(value: int, degree: int) -> int:
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low


def _call(node: Call, budget: Budget) -> Fraction:
    if node.name == "root" and len(node.args) == 2:
        base, degree = rational(node.args[0], budget), rational(node.args[1], budget)
        if degree == 0:
            raise NotRationalError
        if base < 0 and degree.denominator == 1 and degree.numerator % 2:
            return -_power(-base, 1 / degree, budget)
        return _power(base, 1 / degree, budget)
    function = _FUNCTIONS.get(node.name)
    if function is None:
        raise NotRationalError
    return _checked(function([rational(one, budget) for one in node.args]), budget)


def _whole(value: Fraction, largest: int) -> int:
    if value.denominator != 1 or value < 0:
        raise NotRationalError
    if value > largest:
        raise TooLargeError
    return value.numerator


def _factorial(values: list[Fraction]) -> Fraction:
    return Fraction(math.factorial(_whole(values[0], LARGEST_FACTORIAL)))


def _binomial(values: list[Fraction]) -> Fraction:
    above, below = values
    return Fraction(math.comb(_whole(above, LARGEST_FACTORIAL), _whole(below, LARGEST_FACTORIAL)))


def _modulo(values: list[Fraction]) -> Fraction:
    if values[1] == 0:
        raise NotRationalError
    return values[0] % values[1]


def _integers(values: list[Fraction]) -> list[int]:
    if any(one.denominator != 1 for one in values):
        raise NotRationalError
    return [abs(one.numerator) for one in values]


_FUNCTIONS: Final[dict[str, Callable[[list[Fraction]], Fraction]]] = {
    "abs": lambda values: abs(values[0]),
    "floor": lambda values: Fraction(math.floor(values[0])),
    "ceil": lambda values: Fraction(math.ceil(values[0])),
    "sign": lambda values: Fraction((values[0] > 0) - (values[0] < 0)),
    "max": lambda values: max(values),
    "min": lambda values: min(values),
    "gcd": lambda values: Fraction(math.gcd(*_integers(values))),
    "lcm": lambda values: Fraction(math.lcm(*_integers(values))),
    "factorial": _factorial,
    "binom": _binomial,
    "mod": _modulo,
}


def _big(node: Big, budget: Budget) -> Fraction:
    low, high = rational(node.low, budget), rational(node.high, budget)
    if low.denominator != 1 or high.denominator != 1:
        raise NotRationalError
    if high - low >= LONGEST_SUM:
        raise TooLargeError
    result = Fraction(0 if node.name == "sum" else 1)
    for index in range(low.numerator, high.numerator + 1):
        term = rational(replaced(node.body, node.index, Num(Fraction(index))), budget)
        result = _checked(result + term if node.name == "sum" else result * term, budget)
    return result


def number_of(node: Node, budget: Budget) -> Fraction | None:
    """The exact value, or None where there is none that is rational."""
    try:
        return rational(node, budget)
    except NotRationalError:
        return None
