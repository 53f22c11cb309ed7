"""What the completion puts in quotation marks stands in the text that it was given."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from rapidfuzz import fuzz

from lydite import Completion, Evidence, Verdict, reward
from lydite_text.normal import normalise

LONGEST: Final = 50_000
"""Characters of a completion, and of the sources, that are read."""
MOST: Final = 64
"""Quotations that are looked up."""
_QUOTED: Final = re.compile(r"\u201c([^\u201c\u201d]+)\u201d|\u00ab([^\u00ab\u00bb]+)\u00bb|\"([^\"]+)\"")
_GAP: Final = re.compile(r"\[[^\[\]]{0,40}\]|\.{3,}|\. \. \.|\u2026")
"""An ellipsis, or a changed word in square brackets: what stands there in the source may be anything."""


@reward(range=(0.0, 1.0), timeout=10.0, pays_for="form")
def quotes(
    completion: Completion,
    prompt: Any,
    sources: Any = None,
    *,
    similarity: Annotated[float, Field(ge=0.5, le=1.0)] = 0.97,
    min_words: Annotated[int, Field(ge=1)] = 3,
    at_least: Annotated[int, Field(ge=0)] = 1,
    scoring: Literal["all", "share"] = "all",
) -> Verdict:
    """1 when every quotation of `min_words` or more stands in the sources, else 0 (`share`: the part that does).

    The sources are the column `sources` (a text or a list of them), or else the prompt. Fewer than `at_least`
    quotations earn 0. A quotation is found when its best match has this `similarity` (1: letter for letter, up to
    case and white space). Ellipses and changed words in square brackets cut it into parts that must all be there,
    in order.
    """
    texts = _texts(sources) if sources is not None else [_of_prompt(prompt)]
    given = [_folded(text[:LONGEST]) for text in texts if text.strip()]
    if not given:
        return Verdict.error("sources.empty", scope="prompt")
    found = [quotation for quotation in quotations(completion.text[:LONGEST]) if len(quotation.split()) >= min_words]
    if len(found) < at_least:
        return Verdict(0.0, passed=False, reason="quotes.none" if not found else "quotes.few")
    if not found:
        return Verdict(1.0, passed=True, reason="quotes.not_needed")
    if len(found) > MOST:
        return Verdict(0.0, passed=False, reason="quotes.many")
    strange = [one for one in found if not any(stands_in(one, text, similarity) for text in given)]
    evidence = tuple(Evidence(one[:200], note="not in the sources") for one in strange)
    share = 1.0 - len(strange) / len(found)
    score = share if scoring == "share" else float(not strange)
    reason = "quotes.found" if not strange else "quotes.strange"
    return Verdict(score, passed=not strange, reason=reason, parsed=str(len(found)), evidence=evidence)


def quotations(text: str) -> list[str]:
    """The spans in quotation marks, typographic and plain, in order."""
    return [next(part for part in found.groups() if part is not None) for found in _QUOTED.finditer(text)]


def stands_in(quotation: str, source: str, similarity: float) -> bool:
    """Whether every part of the quotation stands in the folded source, one after the other."""
    place = 0
    for part in _GAP.split(quotation):
        wanted = _folded(part).strip(" ,.;:")
        if not wanted:
            continue
        rest = source[place:]
        at = rest.find(wanted)
        if at >= 0:
            place += at + len(wanted)
            continue
        if similarity == 1.0 or len(wanted) > len(rest):
            return False
        best = fuzz.partial_ratio_alignment(wanted, rest, score_cutoff=100 * similarity)
        if best is None:
            return False
        place += best.dest_end
    return True


def _folded(text: str) -> str:
    plain = normalise(text, case=False)
    return plain.replace("\u2019", "'").replace("\u2018", "'")


def _texts(sources: Any) -> list[str]:
    return [str(one) for one in sources] if isinstance(sources, list | tuple) else [str(sources)]


def _of_prompt(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(str(one["content"]) for one in prompt)
