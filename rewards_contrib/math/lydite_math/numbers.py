"""Comparison of numbers: exactly where both are exact, by rounding where one is a decimal."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

from lydite_math.exact import number_of
from lydite_math.rules import Rules
from lydite_math.tree import Mul, Node, Num, Pow
from lydite_math.values import DIGITS, NoValueError, Point, is_real, value

_FEWEST_DIGITS: Final = 3
"""Significant digits that a rounded number must keep to stand for the number it was."""
_ENOUGH_DIGITS: Final = 5
"""Significant digits of a decimal that stands for an exact number, such as 0.33333 for a third."""
_FURTHEST: Final = Fraction(1, 1000)
"""Relative distance within which a shorter decimal may stand for a longer one."""
_CLOSE: Final = 10 ** (15 - DIGITS)
"""Relative distance of two values that are the same but for the rounding of the arithmetic."""


def same_number(gold: Node, given: Node, rules: Rules) -> bool:
    """Whether two expressions without letters have the same value, or one is the other rounded."""
    exact_gold, exact_given = number_of(gold, rules.budget), number_of(given, rules.budget)
    if exact_gold is not None and exact_given is not None:
        return exact_gold == exact_given or _near(gold, given, exact_gold, exact_given, rules)
    point = Point({}, rules.budget)
    try:
        left, right = value(gold, point), value(given, point)
    except NoValueError:
        return False
    if same_value(left, right) or _cancels(gold, given, left, right, rules):
        return True
    return is_real(left) and is_real(right) and _near(gold, given, _fraction(left.real), _fraction(right.real), rules)


def same_value(left: Any, right: Any) -> bool:
    """Whether two values differ by no more than the arithmetic's rounding."""
    return bool(abs(left - right) <= _CLOSE * max(abs(left), abs(right)))


def _cancels(gold: Node, given: Node, left: Any, right: Any, rules: Rules) -> bool:
    """Whether the difference is what remains of a zero: with more digits it becomes smaller."""
    return vanishes(abs(left - right), gold, given, {}, rules)


def vanishes(distance: Any, gold: Node, given: Node, letters: dict[str, Any], rules: Rules) -> bool:
    """Whether two values at a point, found to differ by the distance, differ far less with twice the digits."""
    point = Point(letters, rules.budget)
    digits = point.arithmetic.dps
    point.arithmetic.dps = 2 * digits
    try:
        closer = abs(value(gold, point) - value(given, point))
    except NoValueError:
        return False
    finally:
        point.arithmetic.dps = digits
    return bool(closer <= distance * _CLOSE)


def _fraction(number: Any) -> Fraction:
    mantissa, exponent = number.man_exp
    if abs(exponent) > 10_000:
        return Fraction(0)
    size = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -size if number < 0 else size


def _near(gold: Node, given: Node, left: Fraction, right: Fraction, rules: Rules) -> bool:
    distance = abs(left - right)
    if distance <= max(rules.absolute_tolerance, rules.relative_tolerance * abs(left)) and distance:
        return bool(rules.absolute_tolerance or rules.relative_tolerance)
    return rules.rounding and rounds(gold, given, left, right)


def rounds(gold: Node, given: Node, left: Fraction, right: Fraction) -> bool:
    """Whether one of the two is a decimal that the other rounds to, with enough digits to say so.

    A reference `30.52` is met by 1587/52, a reference `2/3` by 0.666667, a reference `299.94` by 300. A reference
    that is an integer is met by nothing but itself.
    """
    short, long = decimal(gold), decimal(given)
    distance = abs(left - right)
    if short is not None and _digits_behind(short) > 0:
        if long is None or (_digits_behind(long) > _digits_behind(short)):
            enough = short.significant >= _FEWEST_DIGITS or (
                long is None and short.significant == 2 and _digits_behind(short) >= 2
            )
            return enough and distance <= _half_unit(short)
        kept = _significant(long)
        return kept >= _FEWEST_DIGITS and distance <= min(_half_unit(long), _FURTHEST * abs(left))
    if short is None and long is not None and _digits_behind(long) > 0:
        return long.significant >= _ENOUGH_DIGITS and distance <= _half_unit(long)
    if short is not None and _digits_behind(short) < 0 and short.decimals is not None:
        return short.significant >= _FEWEST_DIGITS and distance <= _half_unit(short)
    return False


def decimal(node: Node) -> Num | None:
    """The literal that the expression is, in ordinary or scientific notation; None for what is computed."""
    if isinstance(node, Num):
        return node
    if isinstance(node, Mul) and not node.below and len(node.above) == 2:
        first, second = node.above
        if isinstance(first, Num) and first.value == -1:
            inner = decimal(second)
            return None if inner is None else Num(-inner.value, inner.decimals, inner.significant)
        if isinstance(first, Num) and isinstance(second, Pow) and second.base == Num(Fraction(10), None, 1):
            exponent = second.exponent
            if isinstance(exponent, Num) and exponent.value.denominator == 1 and abs(exponent.value) < 400:
                shift = int(exponent.value)
                return Num(first.value * Fraction(10) ** shift, (first.decimals or 0) - shift, first.significant)
    return None


def _digits_behind(number: Num) -> int:
    return number.decimals or 0


def _significant(number: Num) -> int:
    return number.significant if number.decimals is not None else len(str(abs(number.value.numerator)))


def _half_unit(number: Num) -> Fraction:
    return Fraction(1, 2) / Fraction(10) ** _digits_behind(number)
