"""The quantities in a stretch of text: numbers with units of doses, ranges, and how often they are given.

A strict reader: what it does not know is no quantity. Units are pint's, of the registry in units.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from lydite_medical.numerals import PATTERN, Number, read_number, with_digits
from lydite_medical.units import rhythms, scale, unit_names

KILOGRAM: Final = "kilogram"
_RANGE: Final = r"\s*(?:-|\u2013|\bto\b|\band\b)\s*"
_SCALE_WORD: Final = {"thousand": 1e3, "million": 1e6}
_BOUND: Final = re.compile(
    r"(?:\bat least|\bat most|\bmore than|\bless than|\bup to|\bbelow|\babove|\bunder|\bover|\bexceed|\bexceeding"
    r"|\bmaximum of|\bmax\.?|\bminimum of|[<>\u2264\u2265])\s*(?:a\s+)?(?:total\s+of\s+)?$"
)
_NOT_BEFORE: Final = re.compile(
    r"\b(?:not|never|avoid|avoiding|instead of|rather than|no longer|don't|isn't)\b[^.;,]{0,80}$"
)
_NOT_BEHIND: Final = re.compile(r"\s*(?:is|are|was|would be)\s+(?:wrong|not|incorrect|too)\b")
_EVERY: Final = re.compile(
    r"\bevery\s+(?:([0-9]{1,2})\s*)?(hours?|hrs?|h|days?|weeks?)\b(?!\s*to\b)|\bq\s?([0-9]{1,2})\s?h\b|\b([0-9]{1,2})[\s-]hourly\b"
)
_TIMES: Final = re.compile(
    r"\b([0-9]{1,2})\s*(?:times|x)\s*(?:/\s*|in\s+|every\s+|per\s+|an?\s+|each\s+)?(?:day|daily|24\s*h(?:ours)?)\b"
)
_OPERATOR: Final = re.compile(
    r"(?:[0-9)]\s*|\s)x(?=[\s0-9])|[*+\u00f7]\s*[0-9.]|\s/\s*[0-9]|[0-9]\s+/|\u00b1|\^|[0-9]e[0-9]"
)
_PER: Final = re.compile(
    r"(?:/|\bper\b|\ban?\b|\beach\b)\s*([0-9]{1,4})?\s*([^/\s][^/]*?)(?=\s*(?:/|\bper\b|\ban?\b|\beach\b|$))"
)
_NUMBER_NEXT: Final = re.compile(r"\s+[0-9]")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount in base units (gram, litre, mole, hour, ...) from `low` to `high`: the same unless it is a range."""

    low: float
    high: float
    dimension: str
    start: int
    end: int
    text: str
    unit: str
    """As the registry names it, such as "milligram / day"."""
    per_kg: bool = False
    per_dose: bool = False
    per_day: float | None = None
    """Times a day that it is given, where said."""
    naked: bool = False
    trailing: bool = False
    bound: bool = False
    negated: bool = False
    body_weight: bool = False

    @property
    def is_range(self) -> bool:
        """Whether it has two ends."""
        return self.low != self.high


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text holds."""

    quantities: tuple[Quantity, ...]
    bare_numbers: int
    """Numbers without a unit, those of a rhythm aside."""
    unfinished: bool
    """Whether a calculation is left standing: "15 mg/kg x 20 kg"."""


def read_quantities(text: str) -> Reading:
    """The quantities of a text in order, each with its rhythm."""
    lower = with_digits(" ".join(text.casefold().split()))
    rhythm_spans = [found.span() for pattern in (_EVERY, _TIMES) for found in pattern.finditer(lower)]
    found: list[Quantity] = []
    bare = 0
    multiplied = False
    at = 0
    while (match := _number_then_unit().search(lower, at)) is not None:
        at = match.end()
        if any(start <= match.start() < end for start, end in rhythm_spans):
            at = next(end for start, end in rhythm_spans if start <= match.start() < end)
            continue
        if match["unit"] is None:
            bare += 1
            at = match.end("low")
            # "two 300 mg tablets": the number before a number multiplies it.
            multiplied = multiplied or (match["low"] != "1" and _NUMBER_NEXT.match(lower, at) is not None)
            continue
        quantity = _quantity(lower, match)
        if quantity is None:
            bare += 1
        else:
            found.append(quantity)
    return Reading(tuple(_with_rhythms(lower, found)), bare, multiplied or _OPERATOR.search(lower) is not None)


@dataclass(frozen=True, slots=True)
class _Per:
    """What a quantity is given per."""

    units: str
    """As the registry names them, such as " / day"."""
    count: float
    """How many of these units: 6 in "per 6 hours"."""
    kg: bool
    dose: bool
    given: bool
    """Whether it says any such thing."""


@lru_cache(maxsize=1)
def _number_then_unit() -> re.Pattern[str]:
    spelled = "|".join(re.escape(one) for one in sorted(unit_names(), key=len, reverse=True))
    unit = rf"(?:{spelled})(?![a-z0-9])"
    scale_word = r"(?:\s*(?:thousand|million)\b)?"
    per = rf"(?:\s*(?:/|\bper\b|\ban?\b|\beach\b|\bof\s+body\b)\s*(?:[0-9]{{1,4}}\s*)?{unit}){{0,3}}"
    number = rf"{PATTERN}{scale_word}"
    return re.compile(
        rf"(?P<low>{number})(?:(?:\s*-?\s*(?P<low_unit>{unit}))?(?P<sep>{_RANGE})(?P<high>{number})(?=\s*-?\s*{unit}))?"
        rf"(?:\s*-?\s*(?P<unit>{unit})(?P<per>{per}))?"
    )


def _quantity(text: str, match: re.Match[str]) -> Quantity | None:
    low, high = _value(match["low"]), _value(match["high"] or match["low"])
    if low is None or high is None:
        return None
    names = unit_names()
    unit = names[match["unit"]]
    if unit == "dose":
        return None
    low_unit = names[match["low_unit"]] if match["low_unit"] else unit
    per = _per(match["per"] or "")
    if per is None:
        return None
    factor, dimension = scale(unit + per.units)
    low_factor, low_dimension = scale(low_unit + per.units)
    if low_dimension != dimension:
        low_factor = factor
    ends = sorted((low.value * low_factor / per.count, high.value * factor / per.count))
    before, behind = text[max(0, match.start() - 100) : match.start()], text[match.end() : match.end() + 30]
    if before.endswith("-"):
        return None  # a minus sign: no dose is negative
    return Quantity(
        ends[0],
        ends[1],
        dimension,
        match.start(),
        match.end(),
        match[0].strip(),
        unit + per.units,
        per_kg=per.kg,
        per_dose=per.dose,
        naked=low.naked or high.naked,
        trailing=low.trailing or high.trailing,
        bound=_BOUND.search(before) is not None,
        negated=_NOT_BEFORE.search(before) is not None or _NOT_BEHIND.match(behind) is not None,
        body_weight=unit == KILOGRAM and not per.given,
    )


def _per(text: str) -> _Per | None:
    """What stands behind the unit, such as "/ kg per day"; None for a unit that is not known, and for per zero."""
    kg = dose = False
    units, count = "", 1.0
    parts = _PER.findall(text)
    for number, name in parts:
        denominator = unit_names().get(name.strip())
        if denominator is None:
            return None
        if denominator == KILOGRAM:
            kg = True
        elif denominator == "dose":
            dose = True
        else:
            units += f" / {denominator}"
            count *= float(number or 1)
    return _Per(units, count, kg, dose, bool(parts)) if count else None


def _value(text: str) -> Number | None:
    digits, _, word = text.strip().rpartition(" ") if text.rstrip()[-1:].isalpha() else (text.strip(), "", "")
    number = read_number(digits.strip())
    return replace(number, value=number.value * _SCALE_WORD[word]) if number and word else number


def _with_rhythms(text: str, found: list[Quantity]) -> list[Quantity]:
    """The quantities with how often each is given: said behind it, or before the only one."""
    rhythmic: list[Quantity] = []
    for place, one in enumerate(found):
        end = found[place + 1].start if place + 1 < len(found) else len(text)
        said = text[one.end : end] if len(found) > 1 else text[one.end : end] + " ; " + text[: one.start]
        rhythmic.append(replace(one, per_day=_times_a_day(said)))
    return rhythmic


def _times_a_day(text: str) -> float | None:
    times = _TIMES.search(text)
    if times is not None:
        return float(times[1])
    every = _EVERY.search(text)
    if every is not None:
        count = float(every[1] or every[3] or every[4] or 1)
        hours = {"d": 24.0, "w": 168.0}.get((every[2] or "h")[0], 1.0) * count
        return 24.0 / hours if hours else None
    words = f" {' '.join(re.findall(r'[a-z]+', text))} "
    said = [phrase for phrase in rhythms() if f" {phrase} " in words]
    return rhythms()[max(said, key=len)] if said else None
