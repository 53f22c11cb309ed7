"""Multiple choice: one letter or one option's text, and no more than one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from lydite import Completion, Evidence, Status, Verdict, did_you_mean, reward
from lydite_text.normal import normalise, without_outer_punctuation

LONGEST: Final = 2_000
"""Characters from the end of an answer that are read."""
_ANCHOR: Final = re.compile(
    r"(?:final answer|answer|choice|option)\s*(?:is|:|=)+\s*(?P<said>[^\n]{1,400})\s*\Z", re.IGNORECASE
)
_LETTERED: Final = re.compile(r"\A\(?(?P<letter>[A-Za-z])\s*[).:\]-]*(?:\s+(?P<rest>\S.*))?\Z", re.DOTALL)
_ALTERNATIVE: Final = re.compile(r"\b(?:or|and|either|both)\b|[,;/&|+]", re.IGNORECASE)
_DENIED: Final = re.compile(r"\b(?:not|isn't|never|neither|nor|except|wrong)\b", re.IGNORECASE)


@reward(range=(0.0, 1.0), isolation="inline")
def choice(
    completion: Completion,
    reference: Any,
    options: Any,
    *,
    accept: Literal["either", "letter", "text", "both"] = "either",
    abstain: str | None = None,
    abstain_score: float = 0.0,
) -> Verdict:
    """1 when the answer names the right option and no other, else 0.

    `options` is a column: a list of texts (A, B, ... in order) or an object from letters to texts. `reference` is the
    letter or the text of the right one. An answer is a letter, an option's text, or both, which must agree (`accept`:
    what is needed). It is the parsed answer, or what stands behind "Answer:" in its last line. `abstain` is a text
    such as "I don't know" that earns `abstain_score` and does not pass.
    """
    named = _named(options)
    if named is None:
        return Verdict.error("options.malformed", scope="prompt")
    gold = _which(str(reference), named) if reference is not None else None
    if gold is None:
        near = did_you_mean(str(reference), [*named, *named.values()])
        evidence = (Evidence(f"{reference!r} is no option{near}"[:300], note="error"),)
        return Verdict(None, Status.ERROR, reason="reference.no_option", evidence=evidence, scope="prompt")
    if completion.answer is None:
        return Verdict(0.0, passed=False, reason="answer.missing")
    said = _anchored(completion.answer)
    if not said:
        return Verdict(0.0, passed=False, reason="answer.empty")
    if abstain is not None and _plain(said) == _plain(abstain):
        return Verdict(min(max(abstain_score, 0.0), 1.0), passed=False, reason="choice.abstained", parsed=said)
    letter, reason = _chosen(said, named, accept)
    if letter is None:
        return Verdict(0.0, passed=False, reason=reason, parsed=said[:200])
    right = letter == gold
    return Verdict(float(right), passed=right, reason="choice.right" if right else "choice.wrong", parsed=letter)


def _named(options: Any) -> dict[str, str] | None:
    """The options' texts by capital letter; None where they are no options."""
    if isinstance(options, Mapping):
        made = {str(letter).strip().upper(): str(text) for letter, text in options.items()}
        fits = all(len(letter) == 1 and letter.isalpha() for letter in made) and len(made) == len(options)
    elif isinstance(options, Sequence) and not isinstance(options, str | bytes):
        made = {chr(ord("A") + place): str(text) for place, text in enumerate(options)}
        fits = len(made) <= 26
    else:
        return None
    texts = {_plain(text) for text in made.values()}
    return made if fits and len(made) >= 2 and len(texts) == len(made) and "" not in texts else None


def _which(said: str, named: Mapping[str, str]) -> str | None:
    """The letter that a reference stands for, by itself or by its option's text."""
    given = _plain(said)
    by_text = [letter for letter, text in named.items() if _plain(text) == given]
    if by_text:
        return by_text[0]
    bare = given.strip("().").upper()
    return bare if bare in named else None


def _anchored(answer: str) -> str:
    """What is offered as the answer: the whole of it where it is one line, or what its last line says it is."""
    tail = answer.rpartition("</think>")[2].replace("**", "").strip()[-LONGEST:]
    last = tail.rsplit("\n", 1)[-1].strip()
    found = _ANCHOR.search(last)
    if found is not None:
        return found["said"].strip()
    return tail if "\n" not in tail else ""


def _chosen(said: str, named: Mapping[str, str], accept: str) -> tuple[str | None, str]:
    """The letter that the answer names, or None and why not."""
    by_text = [letter for letter, text in named.items() if _plain(text) == _plain(said)]
    if by_text:
        return (by_text[0], "") if accept in ("either", "text") else (None, "choice.letter_missing")
    found = _LETTERED.match(said)
    letter = found["letter"].upper() if found is not None else ""
    if letter not in named:
        return None, "choice.several" if _mentions(said, named) > 1 else "choice.unreadable"
    assert found is not None
    rest = (found["rest"] or "").strip()
    if not _plain(rest):
        return (letter, "") if accept in ("either", "letter") else (None, "choice.text_missing")
    if _plain(rest) == _plain(named[letter]):
        return letter, ""
    others = [one for one, text in named.items() if one != letter and _plain(text) == _plain(rest)]
    if others:
        return None, "choice.contradicts"
    if _ALTERNATIVE.search(rest) or _DENIED.search(rest) or _mentions(rest, named):
        return None, "choice.several"
    return None, "choice.unreadable"


def _mentions(said: str, named: Mapping[str, str]) -> int:
    """How many options the text names, by letter or by text."""
    words = set(re.findall(r"[A-Za-z]+", said))
    plain = _plain(said)
    return sum(letter in words or _plain(text) in plain for letter, text in named.items())


def _plain(text: str) -> str:
    return without_outer_punctuation(normalise(text, case=False))
