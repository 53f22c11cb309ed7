"""Does a returned value equal the expected one? Asked of tagged forms, outside the sandbox.

The comparison walks along the expected form, so a hostile value can neither make it deep nor, since sets and keys are
compared as texts, make it slow. None of the program's objects exists here.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Number: TypeAlias = int | float | complex
TINY: Final = 1e-12
"""Where floats are compared with a tolerance, closer ones are equal at all events: 0.0 is met by a sum of floats."""


@dataclass(frozen=True, slots=True)
class Leeway:
    """How far a value may be from the expected one."""

    relative: float = 0.0
    """Of the larger number, where the expected one is a float. Whole numbers are exact."""
    absolute: float = 0.0
    """The same, as a distance."""
    alike: bool = True
    """A tuple may stand for a list and the other way round, since JSON knows lists alone."""


def matches(expected: Any, given: Any, leeway: Leeway) -> bool:
    """Whether a value equals the expected one as Python's `==` would say, within the leeway; NaN equals NaN.

    Both values are tagged forms (see `inside.wire`); `given` may be anything at all.
    """
    try:
        return _matches(expected, given, leeway)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError, RecursionError):
        return False  # not a form that the driver's side can have written


def is_true(given: Any) -> bool:
    """Whether a plain value is true in Python's sense; objects that are no plain data are not."""
    if isinstance(given, list):
        tag, inside = given[0], given[1:]
        if tag == "o":
            return False
        return _number(given) != 0 if tag in ("i", "f", "c") else bool(inside[0]) if tag == "b" else bool(inside)
    return bool(given)


def same(expected: Any, given: Any) -> bool:
    """Whether two forms are the same, types included: True is not 1, and a list is not a tuple."""
    return type(expected) is type(given) and bool(expected == given)


def key(form: Any) -> str:
    """A text that two forms share exactly when their values are equal; True, 1 and 1.0 share theirs.

    Raises:
        ValueError: on a form that is none.
    """
    number = _number(form)
    if number is not None:
        return _number_key(number)
    if form is None:
        return "none"
    if isinstance(form, str):
        return f"{len(form)}:{form}"
    tag, inside = form[0], form[1:]
    if tag in ("l", "t"):
        return f"{tag}({','.join(key(one) for one in inside)})"
    if tag == "s":
        return f"s({','.join(sorted({key(one) for one in inside}))})"
    if tag == "d":
        return f"d({','.join(sorted(f'{key(name)}={key(one)}' for name, one in inside))})"
    if tag == "b":
        return f"b{inside[0]}"
    raise ValueError(f"not a plain value: {str(form)[:80]}")


def _matches(expected: Any, given: Any, leeway: Leeway) -> bool:
    wanted = _number(expected)
    if wanted is not None:
        found = _number(given)
        return found is not None and _numbers_match(wanted, found, leeway)
    if not isinstance(expected, list):
        return type(expected) is type(given) and bool(expected == given)
    if not isinstance(given, list) or len(given) != len(expected):
        return False
    tag = expected[0]
    if tag != given[0] and not (leeway.alike and {tag, given[0]} == {"l", "t"}):
        return False
    if tag in ("l", "t"):
        return all(_matches(one, other, leeway) for one, other in zip(expected[1:], given[1:], strict=True))
    if tag == "d":
        theirs = {key(name): value for name, value in given[1:]}
        return len(theirs) == len(given) - 1 and all(
            key(name) in theirs and _matches(value, theirs[key(name)], leeway) for name, value in expected[1:]
        )
    return key(expected) == key(given)


def _numbers_match(wanted: Number, found: Number, leeway: Leeway) -> bool:
    if wanted == found or (wanted != wanted and found != found):
        return True
    if isinstance(wanted, int) or not (leeway.relative or leeway.absolute):
        return False
    if isinstance(wanted, complex) or isinstance(found, complex):
        return cmath.isclose(wanted, found, rel_tol=leeway.relative, abs_tol=leeway.absolute)
    return math.isclose(wanted, found, rel_tol=leeway.relative, abs_tol=leeway.absolute)


def _number(form: Any) -> Number | None:
    """The number that a form stands for; bools are 0 and 1, as for Python."""
    if isinstance(form, int | float):
        return int(form) if isinstance(form, bool) else form
    if isinstance(form, list) and form and isinstance(form[0], str):
        if form[0] == "i":
            return int(form[1], 16)
        if form[0] == "f":
            return float.fromhex(form[1])
        if form[0] == "c":
            return complex(float.fromhex(form[1]), float.fromhex(form[2]))
    return None


def _number_key(number: Number) -> str:
    if isinstance(number, complex):
        if number.imag:
            return f"c{number.real.hex()},{number.imag.hex()}"
        number = number.real
    if isinstance(number, float):
        if not number.is_integer():
            return f"f{number.hex()}"
        number = int(number)
    return f"n{number:x}"
