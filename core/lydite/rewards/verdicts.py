"""Whatever a reward returns or raises, lifted to a verdict in plain types that can cross a process boundary.

Nothing here raises: a result that no reward may return becomes an ERROR verdict whose reason is a short
code and whose evidence says what was returned and what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from lydite.rewards.calls import Terms
from lydite.types import Evidence, Status, Verdict

LONGEST_REASON: Final = 120  # characters; a reason is a code that gets counted
LONGEST_TEXT: Final = 2000  # characters of an evidence, an error message or a parsed answer
MOST_EVIDENCE: Final = 64
MOST_PARTS: Final = 256
DEEPEST_PARTS: Final = 4
ROUNDING: Final = 1e-9  # of the range's width: a sum of floats may miss the end of its range by this much

_EXPECTED = "a reward returns a finite number, a bool, a Verdict or None"


def failed(reason: str, detail: str, *, scope: Literal["completion", "prompt"] = "completion") -> Verdict:
    """An ERROR verdict with its explanation as evidence."""
    evidence = (Evidence(detail[:LONGEST_TEXT], note="error"),)
    return Verdict(None, Status.ERROR, reason=reason[:LONGEST_REASON], evidence=evidence, scope=scope)


def explain(verdict: Verdict) -> str:
    """The reason of a verdict and, where there is one, the message behind it."""
    details = [one.text for one in verdict.evidence if one.note == "error"]
    return f"{verdict.reason}: {details[0]}" if details else verdict.reason


def from_exception(error: BaseException, terms: Terms) -> Verdict:
    """The ERROR verdict for an exception that a reward let out, `SystemExit` and its like included."""
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception as unprintable:  # noqa: BLE001 - a __str__ may be as broken as the verifier
        message = f"(its message cannot be read: {type(unprintable).__name__})"
    return failed(f"raised.{kind}", f"reward {terms.name!r} raised {kind}: {message}")


def lift(result: Any, terms: Terms) -> Verdict:
    """The verdict that one result stands for: a number or bool is OK, None abstains."""
    if result is None:
        return Verdict.abstain("none")
    if isinstance(result, Verdict):
        return _plain(result, terms, depth=0)
    if isinstance(result, bool):
        return _ranged(float(result), terms, Verdict(float(result), passed=result))
    number = _number(result)
    if number is None:
        shown = _shown(result)
        return failed(f"returned.{type(result).__name__}", f"reward {terms.name!r} returned {shown}; {_EXPECTED}")
    if isinstance(number, bool):
        return lift(number, terms)
    if not math.isfinite(number):
        word = "nan" if math.isnan(number) else "infinite"
        return failed(f"returned.{word}", f"reward {terms.name!r} returned {number}; {_EXPECTED}")
    return _ranged(number, terms, Verdict(number))


def lift_all(result: Any, terms: Terms, size: int) -> tuple[Verdict, ...]:
    """One verdict for each of `size` completions, in order; all of them errors where the count is wrong."""
    if isinstance(result, (str, bytes, Mapping)) or not isinstance(result, Iterable):
        detail = f"reward {terms.name!r} returned {_shown(result)}; expected a list of {size} judgements"
        return (failed("returned.no_list", detail),) * size
    judgements = list(result)
    if len(judgements) != size:
        detail = f"reward {terms.name!r} returned {len(judgements)} judgements for {size} completions"
        return (failed("returned.wrong_length", detail),) * size
    return tuple(lift(one, terms) for one in judgements)


def settled(verdict: Verdict, *, pass_at: float, verifier: str, version: str) -> Verdict:
    """The verdict with what it left open: whether it passed, and who gave it."""
    passed = verdict.passed
    if passed is None and verdict.score is not None:
        passed = verdict.score >= pass_at
    return replace(verdict, passed=passed, verifier=verdict.verifier or verifier, version=verdict.version or version)


def _number(result: Any) -> float | bool | None:
    """A number of any library as a float (numpy's bool as a bool), or None when it is no number."""
    if isinstance(result, (int, float)):
        return _as_float(result)
    if isinstance(result, (str, bytes, complex)):
        return None
    if callable(getattr(result, "item", None)):  # numpy scalars and tensors of one element
        try:
            item = result.item()
        except Exception:  # noqa: BLE001 - a verifier may raise anything
            return None
        return item if isinstance(item, bool) else _as_float(item) if isinstance(item, (int, float)) else None
    return _as_float(result) if hasattr(result, "__float__") else None  # Fraction, Decimal


def _as_float(result: Any) -> float | None:
    try:
        return float(result)
    except OverflowError:
        return math.inf
    except Exception:  # noqa: BLE001 - a verifier may raise anything
        return None


def _ranged(score: float, terms: Terms, verdict: Verdict) -> Verdict:
    if terms.range is None:
        return verdict
    low, high = terms.range
    slack = ROUNDING * (high - low)
    if not low - slack <= score <= high + slack:
        return failed(
            "returned.out_of_range",
            f"reward {terms.name!r} returned {score}, which is outside its range from {low} to {high}",
        )
    clamped = min(max(score, low), high)
    return verdict if clamped == score else replace(verdict, score=clamped)


def _plain(verdict: Verdict, terms: Terms, depth: int) -> Verdict:
    """The verdict rebuilt from plain strings and numbers, with everything capped."""
    score: float | None = None
    if verdict.score is not None:
        number = _number(verdict.score)
        if number is None or not math.isfinite(number):
            return failed("returned.Verdict", f"reward {terms.name!r} gave a verdict with score {verdict.score!r}")
        score = float(number)
    try:
        parts = {}
        if depth < DEEPEST_PARTS:
            for name, part in list(verdict.parts.items())[:MOST_PARTS]:
                parts[_text(name)] = _plain(part, Terms(f"{terms.name}/{name}"), depth + 1)
        plain = Verdict(
            score,
            Status(verdict.status),
            None if verdict.passed is None else bool(verdict.passed),
            _text(verdict.reason)[:LONGEST_REASON],
            tuple(_evidence(one) for one in tuple(verdict.evidence)[:MOST_EVIDENCE]),
            None if verdict.parsed is None else _text(verdict.parsed),
            parts,
            float(verdict.seconds),
            _text(verdict.verifier),
            _text(verdict.version),
            "prompt" if verdict.scope == "prompt" else "completion",
        )
    except Exception as error:  # noqa: BLE001 - a verifier may raise anything
        message = f"reward {terms.name!r} gave a malformed verdict ({type(error).__name__}: {error})"
        return failed("returned.Verdict", message)
    return plain if score is None else _ranged(score, terms, plain)


def _evidence(one: Evidence) -> Evidence:
    start, end = (None if place is None else int(place) for place in (one.start, one.end))
    return Evidence(_text(one.text), start, end, _text(one.note))


def _text(given: Any) -> str:
    return str(given)[:LONGEST_TEXT]


def _shown(result: Any) -> str:
    try:
        return f"{repr(result)[:80]} ({type(result).__name__})"
    except Exception:  # noqa: BLE001 - a verifier may raise anything
        return f"a {type(result).__name__}"
