"""A multiple choice question is answered with the right option, and with no other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from lydite import Verdict, reward
from lydite_medical.anchors import find_claims
from lydite_medical.option_claim import Named, name_option, normal, read_options
from lydite_medical.reply import read_reply, without_echo

Share: TypeAlias = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
MARKS: Final = re.compile(
    r"\b(?:answer|(?:correct|best|right|final|my)\s+(?:option|choice)(?:\s+here)?)\s*"
    r"(?:(?:is|must be|should be|would be)\b\s*:?|:|=)\s*"
    r"|\b(?:it|this)\s+(?:must|should|has\s+to)\s+be\s+"
    r"|\bi(?:'d|\s+would)?\s+(?:choose|pick|select|go\s+with|go\s+for|say)\s+",
    re.IGNORECASE,
)
_FATAL: Final = ("choice.several", "choice.negated", "choice.disagrees")


@reward(range=(0.0, 1.0), isolation="inline")
def choice(
    answer: str,
    reference: Any,
    options: Any,
    prompt: Any,
    *,
    abstain: Sequence[str] = (),
    abstain_score: Share = 0.0,
) -> Verdict:
    """1 when every place where the reply gives its answer names the right option and no other; else 0.

    Places are a box, an answer tag, what stands behind "Answer:", and the last line. Where a letter comes with a text,
    both must be the same option's. A reply that says one of the phrases in `abstain`, and chooses nothing, earns
    `abstain_score` and does not pass.
    """
    known = read_options(options)
    if known is None:
        return Verdict.error("options.broken", scope="prompt")
    gold = _gold(reference, known)
    if gold is None:
        return Verdict.error("reference.not_an_option", scope="prompt")
    reply = read_reply(answer)
    if reply.problem:
        return Verdict(0.0, passed=False, reason=reply.problem)
    named = _chosen(without_echo(reply.text, prompt, sentences=False), known)
    if named.letter:
        right = named.letter == gold
        reason = "choice.right" if right else "choice.wrong"
        return Verdict(float(right), passed=right, reason=reason, parsed=named.letter)
    if named.problem in ("choice.unclear", "choice.missing") and _abstains(reply.text, abstain):
        return Verdict(abstain_score, passed=False, reason="choice.abstained")
    return Verdict(0.0, passed=False, reason=named.problem)


def _chosen(text: str, options: Mapping[str, str]) -> Named:
    """The option that all claims name; the last line counts beside others only when it names one by itself."""
    claims = find_claims(text, MARKS)
    anchored = [name_option(one.text, options) for one in claims if one.kind != "line"]
    # A box and a tag hold the answer and nothing else; "the answer is ..." may go on as prose.
    strict = [name_option(one.text, options) for one in claims if one.kind in ("box", "tag")]
    lines = [name_option(one, options) for one in _bare_lines(text)]
    last = [name_option(one.text, options) for one in claims if one.kind == "line"]
    broken = [one for one in strict if one.problem] + [one for one in anchored if one.problem in _FATAL]
    fatal = broken[0] if broken else None
    if fatal is not None:
        return fatal
    letters = {one.letter for one in anchored if one.letter}
    if letters:
        letters |= {one.letter for one in last if one.letter}
        return Named(letters.pop()) if len(letters) == 1 else Named(problem="choice.several")
    if anchored and not any(one.letter for one in last):
        return anchored[-1]
    if not last or not last[0].letter:
        return last[0] if last else Named(problem="choice.missing")
    # Without an anchor, lines that each give an option are a list of guesses, and none is the answer.
    listed = {one.letter for one in lines if one.letter}
    return last[0] if listed == {last[0].letter} else Named(problem="choice.several")


def _bare_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _gold(reference: Any, options: Mapping[str, str]) -> str | None:
    """The letter that the reference means: a letter, or the text of one option."""
    if not isinstance(reference, str | int | float) or isinstance(reference, bool):
        return None
    text = normal(str(reference))
    by_text = {one: letter for letter, one in options.items()}
    return text.upper() if text.upper() in options else by_text.get(text)


def _abstains(text: str, phrases: Sequence[str]) -> bool:
    said = normal(text)
    return any(normal(one) and normal(one) in said for one in phrases)
