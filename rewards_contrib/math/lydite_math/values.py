"""Values of expressions at a point, to 40 digits.

Every verdict on two expressions rests on their values at fixed points. What could grow without bound is stopped
before it is computed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]

from lydite_math.limits import LARGEST_FACTORIAL, LONGEST_SUM, MOST_BITS, Budget, TooLargeError
from lydite_math.tree import Add, Big, Call, Degrees, Mul, Node, Num, Percent, Pow, Ratio, Sym

DIGITS: Final = 40
_WIDEST_ANGLE: Final = 500
"""Bits before the point of what a sine is taken of."""

_threads = threading.local()


class NoValueError(Exception):
    """An expression that has no value at this point, or is of a kind that never has one."""


def context() -> Any:
    """An arithmetic of 40 digits that belongs to this thread: mpmath's own changes its precision for all."""
    if not hasattr(_threads, "context"):
        _threads.context = mpmath.MPContext()
        _threads.context.dps = DIGITS
    return _threads.context


class Point:
    """Values of the letters, and the arithmetic to use."""

    def __init__(self, letters: Mapping[str, Any], budget: Budget) -> None:
        self.letters = dict(letters)
        self.budget = budget
        self.arithmetic = context()


def value(node: Node, point: Point) -> Any:
    """The real or complex value of the expression.

    Raises:
        NoValueError: outside its domain, or when it is no expression.
        TooLargeError: when a number or the work would be too large.
    """
    point.budget.spend()
    if isinstance(node, Num):
        return point.arithmetic.mpf(node.value.numerator) / node.value.denominator
    if isinstance(node, Sym):
        return _letter(node.name, point)
    if isinstance(node, Add):
        return point.arithmetic.fsum(value(one, point) for one in node.terms)
    if isinstance(node, Mul):
        return _quotient(node, point)
    if isinstance(node, Pow):
        return _power(value(node.base, point), value(node.exponent, point), point)
    if isinstance(node, Call):
        return _call(node, point)
    if isinstance(node, Percent):
        return value(node.value, point) / 100
    if isinstance(node, Degrees):
        return value(node.value, point) * point.arithmetic.pi / 180
    if isinstance(node, Big):
        return _big(node, point)
    if isinstance(node, Ratio) and len(node.parts) == 2:
        return _quotient(Mul((node.parts[0],), (node.parts[1],)), point)
    raise NoValueError


def is_real(number: Any) -> bool:
    """Whether the value is real."""
    return not hasattr(number, "imag") or number.imag == 0


def _letter(name: str, point: Point) -> Any:
    if name in point.letters:
        return point.letters[name]
    if name == "pi":
        return +point.arithmetic.pi
    if name == "e":
        return +point.arithmetic.e
    if name == "i":
        return point.arithmetic.j
    raise NoValueError


def _size(number: Any, point: Point) -> int:
    """Bits before the point; negative for what is below one."""
    if number == 0:
        return 0
    if not point.arithmetic.isfinite(number):
        raise NoValueError
    return int(point.arithmetic.mag(number))


def _bounded(number: Any, point: Point) -> Any:
    if abs(_size(number, point)) > MOST_BITS:
        raise TooLargeError
    return number


def _quotient(node: Mul, point: Point) -> Any:
    result = point.arithmetic.mpf(1)
    for one in node.above:
        result = result * value(one, point)
    for one in node.below:
        below = value(one, point)
        if below == 0:
            raise NoValueError
        result = result / below
    return _bounded(result, point)


def _power(base: Any, exponent: Any, point: Point) -> Any:
    if base == 0:
        if is_real(exponent) and exponent.real > 0:
            return point.arithmetic.mpf(0)
        if exponent == 0:
            return point.arithmetic.mpf(1)
        raise NoValueError
    if _size(exponent, point) > 64 or abs(exponent) * max(abs(_size(base, point)), 1) > MOST_BITS:
        raise TooLargeError
    point.budget.spend(3)
    if is_real(exponent):
        nearest = int(point.arithmetic.nint(exponent.real))
        if exponent.real == nearest:
            return _bounded(base**nearest, point)
    return _bounded(point.arithmetic.power(base, exponent), point)


def _call(node: Call, point: Point) -> Any:
    arguments = [value(one, point) for one in node.args]
    point.budget.spend(10)
    arithmetic = point.arithmetic
    if node.name in _ONE and len(arguments) == 1:
        if _size(arguments[0], point) > _WIDEST_ANGLE:
            raise TooLargeError
        try:
            return _bounded(_ONE[node.name](arithmetic, arguments[0]), point)
        except (ValueError, ZeroDivisionError) as error:
            raise NoValueError from error
    if node.name in _MANY:
        try:
            return _bounded(_MANY[node.name](point, *arguments), point)
        except (ValueError, ZeroDivisionError, TypeError) as error:
            raise NoValueError from error
    return _unknown(node.name, arguments, point)


def _unknown(name: str, arguments: list[Any], point: Point) -> Any:
    """A function that nobody knows takes values that no other expression would have by accident."""
    if name in ("pmod", "norm", "det") or name.endswith("_") or not arguments:
        raise NoValueError
    seed = sum(ord(character) * (place + 3) for place, character in enumerate(name)) % 997
    total = point.arithmetic.mpf(seed) / 7
    for place, one in enumerate(arguments):
        if _size(one, point) > 64:
            raise TooLargeError
        total += one * (place + point.arithmetic.mpf(seed) / 991)
    return point.arithmetic.sin(total) + total / 3


def _logarithm(point: Point, argument: Any, base: Any = None) -> Any:
    if argument == 0 or base == 1 or base == 0:
        raise NoValueError
    result = point.arithmetic.log(argument)
    return result if base is None else result / point.arithmetic.log(base)


def _factorial(point: Point, argument: Any) -> Any:
    number = _natural(argument)
    if number > LARGEST_FACTORIAL:
        raise TooLargeError
    return point.arithmetic.mpf(math.factorial(number))


def _binomial(point: Point, above: Any, below: Any) -> Any:
    upper, lower = _natural(above), _natural(below)
    if upper > LARGEST_FACTORIAL:
        raise TooLargeError
    return point.arithmetic.mpf(math.comb(upper, lower))


def _natural(number: Any) -> int:
    if not is_real(number) or number.real < 0 or number.real != int(number.real):
        raise NoValueError
    return int(number.real)


def _root(point: Point, radicand: Any, degree: Any) -> Any:
    if degree == 0:
        raise NoValueError
    if (
        is_real(radicand)
        and is_real(degree)
        and radicand.real < 0
        and degree.real == int(degree.real)
        and int(degree.real) % 2
    ):
        return -_power(-radicand.real, 1 / degree, point)
    return _power(radicand, 1 / degree, point)


def _modulo(point: Point, number: Any, modulus: Any) -> Any:
    if not is_real(number) or not is_real(modulus) or modulus == 0 or _size(number, point) > 100:
        raise NoValueError
    return number.real % modulus.real


def _real(function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(_: Point, *arguments: Any) -> Any:
        if not arguments or not all(is_real(one) for one in arguments):
            raise NoValueError
        return function(*(one.real for one in arguments))

    return checked


def _divisors(name: str) -> Callable[..., Any]:
    def of_whole(point: Point, *arguments: Any) -> Any:
        return point.arithmetic.mpf(getattr(math, name)(*(_natural(one) for one in arguments)))

    return of_whole


def _step(name: str) -> Callable[..., Any]:
    def rounded(arithmetic: Any, number: Any) -> Any:
        if not is_real(number):
            raise ValueError
        nearest = arithmetic.nint(number.real)
        # A whole number may come out a little beside itself.
        if abs(number.real - nearest) < arithmetic.mpf(10) ** (10 - DIGITS):
            return nearest
        return getattr(arithmetic, name)(number.real)

    return rounded


def _named(name: str) -> Callable[..., Any]:
    return lambda arithmetic, number: getattr(arithmetic, name)(number)


_ELEMENTARY: Final = (
    "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "asec", "acsc", "sinh", "cosh", "tanh",
    "coth", "sech", "csch", "asinh", "acosh", "atanh", "sign", "re", "im", "arg",
)  # fmt: skip
_ONE: Final[dict[str, Callable[..., Any]]] = {
    **{name: _named(name) for name in _ELEMENTARY},
    "acot": lambda arithmetic, number: arithmetic.pi / 2 - arithmetic.atan(number),
    "abs": lambda _, number: abs(number),
    "floor": _step("floor"),
    "ceil": _step("ceil"),
}  # fmt: skip
_MANY: Final[dict[str, Callable[..., Any]]] = {
    "log": _logarithm,
    "factorial": _factorial,
    "binom": _binomial,
    "root": _root,
    "mod": _modulo,
    "max": _real(max),
    "min": _real(min),
    "gcd": _divisors("gcd"),
    "lcm": _divisors("lcm"),
}


def _big(node: Big, point: Point) -> Any:
    low, high = value(node.low, point), value(node.high, point)
    if not is_real(low) or not is_real(high) or low.real != int(low.real) or high.real != int(high.real):
        raise NoValueError
    if high.real - low.real >= LONGEST_SUM:
        raise TooLargeError
    result = point.arithmetic.mpf(0 if node.name == "sum" else 1)
    inner = Point(point.letters, point.budget)
    for index in range(int(low.real), int(high.real) + 1):
        inner.letters[node.index] = point.arithmetic.mpf(index)
        term = value(node.body, inner)
        result = result + term if node.name == "sum" else result * term
    return _bounded(result, point)
