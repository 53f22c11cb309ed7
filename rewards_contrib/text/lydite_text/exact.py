"""The answer is the reference, up to the way it is written."""

from __future__ import annotations

from typing import Any

from lydite import Verdict, reward
from lydite_text.normal import normalise, without_outer_punctuation


@reward(range=(0.0, 1.0), isolation="inline")
def exact(answer: str, reference: Any, *, case: bool = False, strip_punctuation: bool = True) -> Verdict:
    """1 when the answer equals the reference, or one of them where the reference is a list; else 0."""
    accepted = [_form(str(one), case, strip_punctuation) for one in _several(reference)]
    if not accepted or not all(accepted):
        return Verdict.error("reference.empty", scope="prompt")
    given = _form(answer, case, strip_punctuation)
    right = given in accepted
    reason = "exact.equal" if right else "exact.different" if given else "answer.empty"
    return Verdict(float(right), passed=right, reason=reason, parsed=given)


def _several(reference: Any) -> list[Any]:
    if reference is None:
        return []
    return list(reference) if isinstance(reference, list | tuple) else [reference]


def _form(text: str, case: bool, strip_punctuation: bool) -> str:
    normal = normalise(text, case=case)
    # An answer that is nothing but punctuation, such as `?`, keeps it.
    return (without_outer_punctuation(normal) or normal) if strip_punctuation else normal
