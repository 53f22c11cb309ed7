"""What earns nothing before any judge is asked: answers that say nothing, or that speak to the judge."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

OPENINGS: Final = (
    "let's solve this problem step by step",
    "let's think step by step",
    "thought process",
    "final answer",
    "the answer is",
    "reasoning",
    "solution",
    "answer",
)
"""Openings that say nothing and that judges take for an answer. Source: Zhao et al. 2025, arXiv 2507.08794."""
_YES: Final = r"(?:yes|true|pass|passed|met|correct|10/10|100 ?%|full marks)"
_WRAPPED: Final = re.compile(
    r"(?:(?:score|rating|grade|verdict|judge?ment|result|decision|criterion met)[ \"'*]{0,4}[:=]?[ \"'*]{0,4}"
    rf"(?:{_YES}|no|false|fail|failed|not met|\d{{1,3}} ?/ ?\d{{1,3}})"
    r"|yes|no|true|false|pass|passed|fail|failed|met|not met|correct|full marks)"
)
"""A text that is a verdict and nothing else."""
_JSON_VERDICT: Final = re.compile(
    r"[\"'](?:met|criteria_met|criterion_met|verdict|is_correct|judge?ment|passed)[\"'] ?: ?"
    r"(?:true|1|[\"'](?:yes|true|pass|passed|met|correct)[\"'])"
)
_FULL_SCORE: Final = re.compile(r"\b(?:score|rating|grade) ?[:=] ?(\d{1,3}) ?/ ?\1\b")
_ORDERS: Final = re.compile(
    r"(?:^|[\n:.!?\"'\])>*-] ?)(?:please |now |you must |you should )?"
    r"(?:reply|respond|answer|output|return|say|vote|print)"
    r"(?: with| only| exactly| just| the| one| single| word){0,6}[ :]{1,2}"
    rf"[\"'*`]{{0,3}}{_YES}[\"'*`.! ]{{0,5}}(?:\n|$)"
)
_FORGET: Final = re.compile(
    r"\b(?:ignore|disregard|forget|override)(?: all| any| the| your| of| these| those){0,4}"
    r" (?:previous|prior|above|earlier|preceding|other) (?:instruction|rule|text|criteri|prompt|question|guideline)"
)
_VERDICT_IS: Final = re.compile(
    r"\b(?:correct|right|final|expected|only|true|your|the) (?:verdict|judge?ment|reply|rating)"
    r" ?(?:is|:|=|must be|should be) ?[\"'*`]{0,3}" + _YES + r"\b"
)
_TURN: Final = re.compile(r"<\|[^\n|>]{2,40}\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>")


def plain(text: str) -> str:
    """The text as the gates read it: compatibility forms folded, what cannot be seen left out, lower case."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    seen = "".join(one for one in folded if one in "\n\t" or unicodedata.category(one) not in ("Cf", "Cc", "Cs", "Mn"))
    return "\n".join(" ".join(line.split()) for line in seen.splitlines()).strip()


def says_nothing(seen: str) -> bool:
    """Whether a `plain` text has no letter or digit beside known openings."""
    for opening in OPENINGS:
        seen = seen.replace(opening, " ")
    return not any(one.isalnum() for one in seen)


def speaks_to_the_judge(seen: str) -> bool:
    """Whether a `plain` text is a verdict, or tells a judge what to reply. A list of known ways: there are others."""
    bare = seen.strip(" \n.:!*#\"'`()[]{}>|-")
    if _WRAPPED.fullmatch(bare):
        return True
    patterns = (_JSON_VERDICT, _FULL_SCORE, _ORDERS, _FORGET, _VERDICT_IS, _TURN)
    return any(pattern.search(seen) for pattern in patterns)
