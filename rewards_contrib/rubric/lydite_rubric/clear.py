"""What the shipped rubric for clear answers looks at: how English prose is written, not whether it is right.

Each function is a check: it says whether a text has the trait that its name tells. All take time linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from lydite import Evidence, Verdict

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_SENTENCE_END: Final = re.compile(
    r"[.!?][\"'\u2019\u201d)\]*_]*(?=\s|\Z)|\n\s*\n|\n(?=\s*(?:[-*\u2022]|\d{1,3}[.)]|#{1,6})\s)"
)
_FENCE: Final = "```"
_CLOSED: Final = re.compile(r"[.!?:;][\"'\u2019\u201d)\]*_`]*\Z|\d\Z|[)\]|]\Z|```\Z")
_SIGNATURE: Final = re.compile(r"\n[ \t]*\n[ \t]*(?:[A-Z][\w.'\u2019-]{0,30},?\s){0,3}[A-Z][\w'\u2019-]{1,30}\Z")
"""One to four capitalised words in a last paragraph of their own."""
_LIST_LINE: Final = re.compile(r"\s*(?:[-*\u2022]|\d{1,3}[.)])\s+\S")
_VOWELS: Final = frozenset("aeiouyàáâãäåèéêëìíîïòóôõöùúûüæœø")
_COMMON: Final = frozenset(
    "a about after all also am an and any are as at be because been before being but by can could did do does doing "  # noqa: SIM905 - words read better than quotation marks
    "down each explain few for from give had has have having he her here hers him his how i if in into is it its just "
    "let list make me more most must my name no nor not now of off on once one only or other our out over please same "
    "say she should so some such tell than that the their them then there these they this those through to too under "
    "until up us use using very was we were what when where which while who why will with would write you your".split()
)
"""Words that two texts share whatever they are about."""


def is_prose(answer: str, *, min_words: int = 5, share: float = 0.6) -> bool:
    """Enough words, most of them with a vowel and of a length that words have, and mostly letters."""
    text = _without_code(answer)
    words = _words(text)
    pronounced = [one for one in words if len(one) <= 24 and not _VOWELS.isdisjoint(one) and not _stuttered(one)]
    letters = sum(one.isalpha() for one in text)
    visible = sum(not one.isspace() for one in text)
    return len(pronounced) >= min_words and len(pronounced) >= share * len(words) and letters >= share * visible


def on_topic(answer: str, prompt: Any, *, share: float = 0.2, at_most: int = 4) -> Verdict:
    """Holds some of the telling words of the prompt, or words of the same stem; abstains where the prompt has none."""
    wanted = {_stem(one) for one in _words(_spoken(prompt)) if one not in _COMMON and len(one) > 2}
    if not wanted:
        return Verdict.abstain("prompt.no_topic", scope="prompt")
    found = wanted & {_stem(one) for one in _words(answer)}
    needed = min(max(1, round(share * len(wanted))), at_most)
    return Verdict(float(len(found) >= needed), passed=len(found) >= needed, reason="topic.words")


def echoes_prompt(answer: str, prompt: Any, *, n: int = 5, share: float = 0.6) -> bool:
    """Most of the runs of `n` words (all words, in a shorter answer) stand in the prompt word for word."""
    words, asked = _words(answer), _words(_spoken(prompt))
    width = min(n, len(words))
    if not width:
        return False
    known = set(_runs(asked, width))
    runs = _runs(words, width)
    return sum(one in known for one in runs) > share * len(runs)


def repeats_itself(answer: str, *, n: int = 4, share: float = 0.25) -> Verdict:
    """A sentence of four words or more stands twice, or many runs of `n` words stood before."""
    sentences = Counter(" ".join(words) for one in _sentences(answer) if len(words := _words(one)) >= 4)
    twice = [one for one, count in sentences.items() if count > 1]
    runs = _runs(_words(_without_code(answer)), n)
    repeated = len(runs) - len(set(runs))
    found = bool(twice) or repeated > share * max(len(runs), 8)
    evidence = (Evidence(twice[0][:200], note="twice"),) if twice else ()
    return Verdict(
        float(found), passed=found, reason="repetition.found" if found else "repetition.none", evidence=evidence
    )


def readable_sentences(answer: str, *, mean: float = 26.0, longest: int = 50) -> Verdict:
    """Sentences of at most `mean` words on average, and none of more than `longest`."""
    lengths = [count for one in _sentences(_without_code(answer)) if (count := len(_words(one)))]
    right = bool(lengths) and sum(lengths) / len(lengths) <= mean and max(lengths) <= longest
    told = f"{len(lengths)} sentences, the longest of {max(lengths, default=0)} words"
    return Verdict(float(right), passed=right, reason="sentences.read", evidence=(Evidence(told, note="lengths"),))


def finished(answer: str) -> bool:
    """Ends as a finished text does: with a closed sentence, a list item, a number, a signature or a block of code."""
    text = answer.rstrip()
    if text.count(_FENCE) % 2:
        return False
    if _SIGNATURE.search(text[-200:]):
        return True
    last = text[text.rfind("\n") + 1 :][-4_000:]
    if last.rstrip("*_ ").endswith((",", "-", "\u2014", ":", ";", "(", "/")):
        return False
    if _words(last) and _words(last)[-1] in _DANGLING and not last.endswith((".", "!", "?")):
        return False
    return bool(_CLOSED.search(last) or _LIST_LINE.match(last))


_DANGLING: Final = frozenset(
    "a an and as at because but by for from if in into is of on or so than that the to with".split()  # noqa: SIM905
)
"""Words that no text ends with unless it was cut off."""


def wall_of_text(answer: str, *, words: int = 180) -> bool:
    """A paragraph of more words than that without a break."""
    return any(
        len(_words(one)) > words for one in re.split(r"\n[ \t]*\n|\n(?=[ \t]*(?:[-*\u2022]|\d{1,3}[.)])[ \t])", answer)
    )


def _without_code(text: str) -> str:
    """The text without fenced code."""
    return " ".join(text.split(_FENCE)[::2])


def _sentences(text: str) -> list[str]:
    return [one for one in _SENTENCE_END.split(text) if one.strip()]


def _words(text: str) -> list[str]:
    return [one.casefold().replace("\u2019", "'") for one in _WORD.findall(text)]


def _runs(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def _stem(word: str) -> str:
    """The word without an English ending, roughly: enough to see that "paying" and "payment" are of a kind."""
    for ending in ("ations", "ation", "ments", "ment", "ings", "ing", "edly", "ed", "ies", "ly", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _stuttered(word: str) -> bool:
    return len(word) > 5 and len(set(word)) <= 2


def _spoken(prompt: Any) -> str:
    """What the prompt's last turn asks; a plain prompt whole."""
    if isinstance(prompt, str):
        return prompt
    return str(prompt[-1]["content"]) if prompt else ""
