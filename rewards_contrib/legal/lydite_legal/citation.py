"""The citations of an answer are well formed and could exist."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lydite import Evidence, Verdict, reward
from lydite_legal.cites import Cite, read_cites
from lydite_legal.spoken import spoken
from lydite_legal.today import latest_year


@reward(range=(0.0, 1.0), isolation="worker", pays_for="form")
def citation(
    answer: str,
    *,
    at_least: Annotated[int, Field(ge=1)] = 1,
    at_most: Annotated[int, Field(ge=1)] = 25,
    malformed: Literal["fail", "ignore"] = "fail",
    require_year: bool = False,
    latest: Annotated[int, Field(ge=1000, le=9999)] | None = None,
) -> Verdict:
    """The share of plausible citations, times how far there are `at_least` different ones; 1 passes.

    0 for none, for more than `at_most`, and, under `malformed = "fail"`, for anything that looks like a citation and
    is none. Plausible: read by form, and not contradicted by what tables know (years, editions, volumes, titles).
    `require_year`: a case must have its year. `latest`: the year that counts as this one.
    """
    text = spoken(answer)
    if text is None:
        return Verdict(0.0, passed=False, reason="text.long")
    found = [one for one in read_cites(text, latest_year(latest)) if one.kind not in ("id", "supra", "short", "named")]
    broken = [one for one in found if one.kind == "malformed"]
    whole = {one.key: one for one in reversed(found) if one.kind != "malformed"}
    judged = list(whole.values())[::-1]
    faults = [(one, fault) for one in judged if (fault := _fault(one, require_year))]
    evidence = tuple(Evidence(one.text, note=fault) for one, fault in (*((one, one.fault) for one in broken), *faults))
    parsed = "; ".join(one.text for one in judged)
    if broken and malformed == "fail":
        return Verdict(0.0, passed=False, reason=broken[0].fault, evidence=evidence, parsed=parsed)
    if not judged:
        return Verdict(0.0, passed=False, reason="citations.none", evidence=evidence)
    if len(judged) > at_most:
        return Verdict(0.0, passed=False, reason="citations.many", parsed=parsed)
    good = len(judged) - len(faults)
    score = good / len(judged) * min(1.0, good / at_least)
    reason = faults[0][1] if faults else "citations.few" if good < at_least else "citations.plausible"
    return Verdict(score, passed=score == 1.0, reason=reason, evidence=evidence, parsed=parsed)


def _fault(one: Cite, require_year: bool) -> str:
    return one.fault or ("year.missing" if require_year and one.kind == "case" and one.year is None else "")
