"""Answers that say nothing: they earn a rubric's worst before any criterion is looked at, and no judge sees them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from lydite_rubric.sanitise import is_seen

MASTER_KEYS: Final = frozenset(
    [
        "solution",
        "final answer",
        "the final answer",
        "answer",
        "the answer",
        "explanation",
        "reasoning",
        "conclusion",
        "thought",
        "thoughts",
        "thought process",
        "my thought process",
        "step by step",
        "step 1",
        "let's solve this problem step by step",
        "let us solve this problem step by step",
        "let's think step by step",
        "let us think step by step",
        "let's begin",
        "here is my answer",
        "解",
        "かいせつ",
        "respuesta",
    ]
)
"""Openings that say nothing and that judges take for an answer, after Zhao et al. 2025, arXiv 2507.08794."""
_TAG: Final = re.compile(r"</?[A-Za-z][\w-]{0,40}>")
_MARKS: Final = str.maketrans("", "", '"`*#_()[]{}')
_VERDICT: Final = re.compile(
    r"(?:final |overall |your )?(?:score|rating|grade|verdict|mark|points|met|passed|judg(?:e)?ment|result)\s*[:=]?\s*"
    r"(?:\d{1,6}(?:[./]\d{1,6})?(?: ?/ ?\d{1,6})?|true|yes|met|pass(?:ed)?|correct|full marks|perfect)"
)


def nothing_said(answer: str, *, min_words: int, max_characters: int) -> str | None:
    """Why an answer is not looked at any further, as a reason code, or None when it is.

    Tags without content, punctuation, an opening such as "Thought process:" and a verdict such as "SCORE: 10/10"
    say nothing. Words are counted by white space.
    """
    if len(answer) > max_characters:
        return "answer.long"
    visible = "".join(one for one in unicodedata.normalize("NFKC", answer) if is_seen(one))
    plain = " ".join(_TAG.sub(" ", visible).split()).casefold()
    if not any(one.isalnum() for one in plain):
        return "answer.empty"
    bare = plain.replace("\u2019", "'").translate(_MARKS).strip(" .:;,!?'-\u3002\uff1a")
    if bare in MASTER_KEYS or _VERDICT.fullmatch(bare):
        return "answer.opening"
    if len(plain.split()) < min_words:
        return "answer.short"
    return None
