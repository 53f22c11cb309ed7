"""The final dose of a reply is the reference's: amount, unit, and what it is given per."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from lydite import Verdict, reward
from lydite_medical.anchors import Claim, find_claims
from lydite_medical.dose_reference import read_positive, read_reference
from lydite_medical.quantities import Quantity, Reading, read_quantities
from lydite_medical.reply import plain, prompt_texts, read_reply, without_echo

Tolerance: TypeAlias = Annotated[float, Field(ge=0.0, le=0.2, allow_inf_nan=False)]
Cost: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
MARKS: Final = re.compile(
    r"\b(?:answer|result|dose|dosage|amount|volume|total|rate)\s*(?:to\s+(?:give|administer)\s*)?"
    r"(?:is\b\s*:?|:|=|will be\b|would be\b)\s*"
    r"|\b(?:give|administer|prescribe)\s*:\s*",
    re.IGNORECASE,
)
_GOES_ON: Final = (
    "by|every|once|twice|three|four|five|six|orally|iv|im|po|as|for|in|with|without"
    "|per|daily|over|until|if|not|max|up|given"
)
"""Words that go on about the same dose behind a comma or an "or": "by mouth or with food"."""
_OR_ELSE: Final = re.compile(rf"\bor\b(?!\s+(?:{_GOES_ON})\b)")
_LISTED: Final = re.compile(rf"^[^0-9]*[,;]|[,;]\s+(?!\(?(?:[0-9]|(?:{_GOES_ON})\b))")
_FATAL: Final = ("dose.several", "dose.range", "dose.negated", "dose.bound")
PER_TIME: Final = " / [time]"
SLACK: Final = 1e-6
"""A maximum is a maximum: only what floating point loses is forgiven."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What the columns say besides the reference; None where they say nothing."""

    weight_kg: float | None
    doses_per_day: float | None
    iu_per_mg: float | None


@reward(range=(0.0, 1.0), isolation="inline")
def dose(
    answer: str,
    reference: Any,
    prompt: Any,
    weight_kg: Any = None,
    max_daily: Any = None,
    doses_per_day: Any = None,
    iu_per_mg: Any = None,
    *,
    tolerance: Tolerance = 0.02,
    strict_decimals: bool = True,
    decimal_cost: Cost = 0.0,
    accept_per_kg: bool = False,
) -> Verdict:
    """1 when the reply gives one final dose and it is the reference's within the relative tolerance; else 0.

    The dose stands in a box, an answer tag, behind "Dose:" or "Answer:", or in the last line; behind an equals sign
    where there is one. A naked decimal (".5 mg") or a trailing zero ("1.0 mg") fails, or without `strict_decimals`
    costs `decimal_cost`. With `accept_per_kg` a dose in mg/kg counts, times the weight, for a reference in mg.
    """
    patient = _patient(weight_kg, doses_per_day, iu_per_mg)
    if isinstance(patient, str):
        return Verdict.error(patient, scope="prompt")
    gold = read_reference(reference)
    if gold is None:
        return Verdict.error("reference.no_dose", scope="prompt")
    most = None if max_daily is None else read_reference(max_daily)
    if max_daily is not None and (most is None or (most.per_kg and patient.weight_kg is None)):
        return Verdict.error("max_daily.broken", scope="prompt")
    if most is not None and _exceeds(gold, most, patient):
        return Verdict.error("reference.over_maximum", scope="prompt")
    reply = read_reply(answer)
    if reply.problem:
        return Verdict(0.0, passed=False, reason=reply.problem)
    given = _final_dose(without_echo(reply.text, prompt, sentences=False), gold, patient, accept_per_kg, tolerance)
    if isinstance(given, str):
        return Verdict(0.0, passed=False, reason=given)
    reason = _compare(given, gold, most, patient, tolerance)
    if reason == "dose.right" and _restates(given, gold, prompt):
        reason = "dose.from_prompt"
    if reason != "dose.right":
        return Verdict(0.0, passed=False, reason=reason, parsed=given.text)
    if given.naked or given.trailing:
        reason = "dose.naked_decimal" if given.naked else "dose.trailing_zero"
        score = 0.0 if strict_decimals else 1.0 - decimal_cost
        return Verdict(score, passed=not strict_decimals, reason=reason, parsed=given.text)
    return Verdict(1.0, passed=True, reason=reason, parsed=given.text)


def _patient(weight_kg: Any, doses_per_day: Any, iu_per_mg: Any) -> Patient | str:
    values: list[float | None] = []
    for name, column in (("weight", weight_kg), ("doses_per_day", doses_per_day), ("iu_per_mg", iu_per_mg)):
        value = None if column is None else read_positive(column)
        if column is not None and value is None:
            return f"{name}.broken"
        values.append(value)
    return Patient(*values)


def _final_dose(text: str, gold: Quantity, patient: Patient, accept_per_kg: bool, tolerance: float) -> Quantity | str:
    """The dose that all claims of a reply agree on, in the reference's terms, or why there is none."""
    claims = find_claims(text, MARKS)
    anchored = [one for one in claims if one.kind != "line"] or claims
    if anchored is claims and len({one.casefold() for one in _bare_doses(text)}) > 1:
        return "dose.several"  # line after line with a dose, and no word which is meant
    doses: list[Quantity] = []
    problem = "dose.missing"
    for claim in anchored:
        found = _chosen(_last_result(claim.text), gold, patient, accept_per_kg, tolerance)
        if _offers_more(claim):
            return "dose.several"
        if isinstance(found, Quantity):
            doses.append(found)
        elif claim.kind in ("box", "tag") or found in _FATAL:
            return found  # a box and a tag hold the dose and nothing else; "the dose is ..." may go on as prose
        else:
            problem = found
    if not doses:
        return problem
    return doses[-1] if all(_same(one, doses[0], tolerance) for one in doses) else "dose.several"


def _bare_doses(text: str) -> list[str]:
    """The lines that are a dose and nothing else."""
    lines = [line.strip(" -.*") for line in text.splitlines()]
    return [line for line in lines if any(one.text == line.casefold() for one in read_quantities(line).quantities)]


def _offers_more(claim: Claim) -> bool:
    """Whether a claim names something besides the dose: "300 mg or half of it", or a list in a box."""
    text = claim.text.casefold()
    return _OR_ELSE.search(text) is not None or (claim.kind in ("box", "tag") and _LISTED.search(text) is not None)


def _last_result(text: str) -> str:
    """What stands behind the last equals sign, where a quantity does."""
    _, sign, behind = text.replace("\u2248", "=").rpartition("=")
    return behind if sign and read_quantities(behind).quantities else text


def _chosen(text: str, gold: Quantity, patient: Patient, accept_per_kg: bool, tolerance: float) -> Quantity | str:
    reading = read_quantities(text)
    if reading.unfinished:
        return "dose.unfinished"
    doses = [one for one in reading.quantities if not one.body_weight and one.dimension != "[time]"]
    meant = [one for one in doses if not one.negated]
    if not meant:
        return "dose.negated" if doses else _nothing(reading)
    # "300 mg" beside "1.2 g a day": what is given per the same as the reference comes first.
    alike = [one for one in meant if (one.dimension, one.per_kg) == (gold.dimension, gold.per_kg)] or meant
    exact = [one for one in (_in_terms_of(gold, one, patient, accept_per_kg) for one in alike) if one is not None]
    if not exact:
        return "dose.per_kg" if any(one.per_kg != gold.per_kg for one in meant) else "dose.dimension"
    if not all(_same(one, exact[0], tolerance) for one in exact):
        return "dose.several"
    if any(one.dimension == "[tablets]" and one.low != 1.0 for one in meant) and exact[0].dimension == "[mass]":
        return "dose.several"  # "two 500 mg tablets": the strength of one is not the dose
    first = exact[0]
    if first.bound:
        return "dose.bound"
    if first.is_range and not gold.is_range:
        return "dose.range"
    return replace(first, naked=any(one.naked for one in exact), trailing=any(one.trailing for one in exact))


def _nothing(reading: Reading) -> str:
    return "dose.no_unit" if reading.bare_numbers else "dose.missing"


def _in_terms_of(gold: Quantity, one: Quantity, patient: Patient, accept_per_kg: bool) -> Quantity | None:
    """The quantity in the reference's dimension, or None when it cannot be compared."""
    if one.per_kg != gold.per_kg:
        weight = patient.weight_kg
        if weight is None or (one.per_kg and not accept_per_kg):
            return None
        one = _times(one, weight if one.per_kg else 1.0 / weight)
    if patient.iu_per_mg is not None:
        one = _through_units(one, gold.dimension, patient.iu_per_mg)
    if one.dimension == gold.dimension:
        return one
    if gold.dimension == one.dimension + PER_TIME:
        # A day's dose: the single dose as often as said, or, where nothing is said, an amount a day.
        per_day = one.per_day or (patient.doses_per_day if one.per_dose else None) or 1.0
        return replace(_times(one, per_day / 24.0), dimension=gold.dimension)
    if one.dimension == gold.dimension + PER_TIME and not gold.per_dose and gold.per_day is None:
        return replace(_times(one, 24.0), per_day=1.0)
    return None


def _through_units(one: Quantity, wanted: str, iu_per_mg: float) -> Quantity:
    for here, there, factor in (("[effect]", "[mass]", 1e-3 / iu_per_mg), ("[mass]", "[effect]", 1e3 * iu_per_mg)):
        if one.dimension.startswith(here) and wanted.startswith(there):
            return replace(_times(one, factor), dimension=there + one.dimension.removeprefix(here))
    return one


def _times(one: Quantity, factor: float) -> Quantity:
    return replace(one, low=one.low * factor, high=one.high * factor)


def _same(one: Quantity, other: Quantity, tolerance: float) -> bool:
    return (
        one.dimension == other.dimension
        and _close(one.low, other.low, tolerance)
        and _close(one.high, other.high, tolerance)
    )


def _close(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) <= (tolerance + SLACK) * abs(other)


def _compare(given: Quantity, gold: Quantity, most: Quantity | None, patient: Patient, tolerance: float) -> str:
    for factor in (1e3, 1e-3, 1e6, 1e-6):
        if _inside(_times(given, factor), gold, tolerance):
            return "dose.thousandfold"
    if most is not None and _exceeds(given, most, patient):
        return "dose.over_maximum"
    if not _inside(given, gold, tolerance):
        tenfold = any(_inside(_times(given, factor), gold, tolerance) for factor in (10.0, 0.1))
        return "dose.tenfold" if tenfold else "dose.wrong"
    if gold.per_day is not None and (given.per_day is None or not _close(given.per_day, gold.per_day, SLACK)):
        return "dose.rhythm"
    return "dose.right"


def _restates(given: Quantity, gold: Quantity, prompt: Any) -> bool:
    """Whether a dose stands in the prompt as it is, in another unit than the reference: "1.5 g" where mg are asked."""
    if (given.unit, given.per_kg) == (gold.unit, gold.per_kg):
        return False
    asked = read_quantities(plain("\n".join(prompt_texts(prompt))))
    return any(one.text == given.text for one in asked.quantities)


def _inside(given: Quantity, gold: Quantity, tolerance: float) -> bool:
    return given.low >= gold.low * (1 - tolerance - SLACK) and given.high <= gold.high * (1 + tolerance + SLACK)


def _exceeds(one: Quantity, most: Quantity, patient: Patient) -> bool:
    """Whether what is given in a day is above the maximum; a single dose counts as one where its rhythm is unknown."""
    weight = patient.weight_kg or 1.0
    ceiling = most.high * (weight if most.per_kg else 1.0) * (24.0 if most.dimension.endswith(PER_TIME) else 1.0)
    if one.dimension.removesuffix(PER_TIME) != most.dimension.removesuffix(PER_TIME):
        return False
    amount = one.high * (weight if one.per_kg else 1.0)
    daily = (
        amount * 24.0 if one.dimension.endswith(PER_TIME) else amount * (one.per_day or patient.doses_per_day or 1.0)
    )
    return daily > ceiling * (1 + SLACK)
