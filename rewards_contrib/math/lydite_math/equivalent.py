"""1 when the answer means what the reference means."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from lydite import Completion, FormatError, Verdict, reward
from lydite_math.compare import same_answer
from lydite_math.extract import Extracted, Mode, find_answer, reference_text, visible
from lydite_math.limits import MOST_BITS, TooLargeError
from lydite_math.read import Answer, read
from lydite_math.restated import restates
from lydite_math.rules import Rules
from lydite_math.tree import Group

Tolerance: TypeAlias = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

_LONGEST_SHOWN: Final = 200
_MOST_REFERENCES: Final = 16


@reward(range=(0.0, 1.0), isolation="worker", timeout=5.0)
def equivalent(
    completion: Completion,
    reference: Any,
    prompt: Any = None,
    *,
    extract: Mode = "anchored",
    relative_tolerance: Tolerance = 0.0,
    absolute_tolerance: Tolerance = 0.0,
    rounding: bool = True,
    percent: Literal["either", "value"] = "either",
    units: Literal["optional", "required"] = "optional",
    order: Literal["free", "kept"] = "free",
    restated: Literal["refused", "allowed"] = "refused",
) -> Verdict:
    """1 when the completion's one answer equals the reference as mathematics; else 0.

    The reference is a number or a text, or a list of them of which any will do. A formula that stands in the prompt
    as it is earns nothing, unless the reference is written like that.
    """
    golds = _references(reference)
    if golds is None:
        return Verdict.error("reference.unreadable", scope="prompt")
    if isinstance(completion.parsed, FormatError):
        return _failed("format.broken")
    said = visible(completion.parsed.answer).strip()
    if said and said in (
        str(one).strip() for one in (reference if isinstance(reference, list | tuple) else [reference])
    ):
        return Verdict(1.0, passed=True, reason="math.equal", parsed=said[:_LONGEST_SHOWN])  # prose included
    found = find_answer(completion.parsed.answer, _readable, mode=extract)
    rules = Rules(
        Fraction(repr(relative_tolerance)),
        Fraction(repr(absolute_tolerance)),
        rounding=rounding,
        percent=percent == "either",
        units_needed=units == "required",
        ordered=order == "kept",
    )
    verdict = _verdict(golds, found, said, rules)
    if verdict.passed and restated == "refused" and restates(found.text or said, prompt, reference):
        return _failed("answer.restated", verdict.parsed)
    return verdict


def _verdict(golds: tuple[Answer, ...], found: Extracted, whole: str, rules: Rules) -> Verdict:
    text = found.text
    if text is None and found.reason == "anchor.missing" and len(whole) <= _LONGEST_SHOWN:
        text = whole  # prose, which can only be compared as it is written
    if text is None:
        return _failed(found.reason)
    try:
        given = read(text)
        if given is None:
            return _failed("answer.unreadable", text)
        if any(same_answer(gold, given, rules) for gold in golds):
            return Verdict(1.0, passed=True, reason="math.equal", parsed=text[:_LONGEST_SHOWN])
    except TooLargeError:
        if not all(map(_affordable, golds)):
            return Verdict.error("reference.too_large", scope="prompt")
        return _failed("math.too_large", text)
    if found.text is None:
        return _failed(found.reason, text)
    if not given.readings and any(gold.readings for gold in golds):
        return _failed("answer.unreadable", text)
    return _failed(_difference(golds, given), text)


def _failed(reason: str, text: str | None = None) -> Verdict:
    return Verdict(0.0, passed=False, reason=reason, parsed=None if text is None else text[:_LONGEST_SHOWN])


def _difference(golds: tuple[Answer, ...], given: Answer) -> str:
    """`answer.several` when one value was asked for and a list was given, else `math.different`."""
    if _several(given) and not any(map(_several, golds)):
        return "answer.several"
    return "math.different"


def _several(answer: Answer) -> bool:
    return bool(answer.readings) and all(isinstance(one.node, Group) and not one.node.left for one in answer.readings)


def _readable(text: str) -> bool:
    """Whether the text is mathematics and nothing else; what is too large counts, and is refused later."""
    try:
        answer = read(text)
    except TooLargeError:
        return True
    return answer is not None and bool(answer.readings)


def _references(reference: Any) -> tuple[Answer, ...] | None:
    """What the reference means, or None when it means nothing."""
    if isinstance(reference, list | tuple):
        if not 1 <= len(reference) <= _MOST_REFERENCES:
            return None
        found = [_reference(one) for one in reference]
        return None if any(one is None for one in found) else tuple(one for one in found if one is not None)
    one = _reference(reference)
    return None if one is None else (one,)


def _reference(reference: Any) -> Answer | None:
    if isinstance(reference, bool) or not isinstance(reference, str | int | float):
        return None
    if isinstance(reference, int) and reference.bit_length() > MOST_BITS:
        return None
    return _read_reference(reference if isinstance(reference, str) else repr(reference))


@lru_cache(maxsize=2048)
def _read_reference(text: str) -> Answer | None:
    try:
        answer = read(reference_text(text))
    except TooLargeError:
        return None
    return answer if answer is not None and (answer.readings or answer.plain) else None


def _affordable(gold: Answer) -> bool:
    """Whether the reference itself can be computed."""
    probe = read("0.123")
    assert probe is not None
    try:
        same_answer(gold, probe, Rules())
    except TooLargeError:
        return False
    return True
