"""The answer's number equals the reference's."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from lydite import Verdict, reward
from lydite_text.numerals import LONGEST, has_numeral, read_number

Tolerance: TypeAlias = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

_AROUND_WORDS: Final = "*_$()[]{}\"'`,;:!?=\u20ac\u00a3\u201c\u201d\u2019\u2018"
_SPACES: Final = re.compile(r"[ \t\r\n]+")


@reward(range=(0.0, 1.0), isolation="inline")
def number(
    answer: str,
    reference: Any,
    *,
    tolerance: Tolerance = 0.0,
    relative_tolerance: Tolerance = 0.0,
    anywhere: bool = False,
) -> Verdict:
    """1 when the answer is the reference's number, compared exactly up to the larger of the two tolerances; else 0.

    The answer must be that number alone, a full stop behind it aside. With `anywhere`, words may stand around
    it, but no other number: a text that lists several values never earns anything.
    """
    gold = _gold(reference)
    if gold is None:
        return Verdict.error("reference.not_a_number", scope="prompt")
    given, reason = _only_number(answer) if anywhere else _whole_number(answer)
    if given is None:
        return Verdict(0.0, passed=False, reason=reason)
    allowed = max(Fraction(repr(tolerance)), Fraction(repr(relative_tolerance)) * abs(gold))
    right = abs(given - gold) <= allowed
    return Verdict(float(right), passed=right, reason="number.equal" if right else "number.wrong", parsed=str(given))


def _gold(reference: Any) -> Fraction | None:
    if isinstance(reference, bool):
        return None
    if isinstance(reference, int | float):
        return read_number(repr(reference))
    return read_number(reference.strip()) if isinstance(reference, str) else None


def _whole_number(answer: str) -> tuple[Fraction | None, str]:
    text = answer.strip()
    value = read_number(text.removesuffix("."))
    if value is not None:
        return value, ""
    if not has_numeral(text):
        return None, "number.missing"
    return None, "number.long" if len(text) > LONGEST else "number.not_alone"


def _only_number(answer: str) -> tuple[Fraction | None, str]:
    values: set[Fraction] = set()
    for word in _SPACES.split(answer):
        if not has_numeral(word):
            continue
        value = read_number(word.strip(_AROUND_WORDS).removesuffix(".").strip(_AROUND_WORDS))
        if value is None:
            return None, "number.unreadable"
        values.add(value)
        if len(values) > 1:
            return None, "number.several"
    return (values.pop(), "") if values else (None, "number.missing")
