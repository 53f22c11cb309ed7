"""Comparison of answers in words."""

from __future__ import annotations

import re
from typing import Final

_ARTICLE: Final = re.compile(r"(?:an?|the)\s+(?=[a-z]{3})")
_POLAR: Final = re.compile(r"(yes|no|true|false)(\s?[,.;:!-].*)?", re.DOTALL)
_TAKES_BACK: Final = re.compile(
    r"\b(?:yes|no|true|false|but|however|unless|except|only|if|maybe|perhaps|or|sometimes|although|wait|actually)\b|[0-9]"
)
_LONGEST_REST: Final = 120


def same_words(gold: str, given: str) -> bool:
    """Whether two answers in words say the same, but for case and an article."""
    gold, given = _folded(gold), _folded(given)
    return bool(gold) and gold == given


def same_polarity(gold: str, given: str) -> bool:
    """Whether the reference is a yes or no, or true or false, and the answer begins with it and adds nothing."""
    gold = _folded(gold)
    return gold in ("yes", "no", "true", "false") and _polar(_folded(given)) == gold


def _folded(text: str) -> str:
    text = text.casefold().strip()
    return _ARTICLE.sub("", text, count=1) if _ARTICLE.match(text) else text


def _polar(text: str) -> str | None:
    """The yes or no that a text begins with, when what follows takes nothing back and adds nothing."""
    found = _POLAR.fullmatch(text)
    if found is None:
        return None
    rest = found[2] or ""
    return found[1] if len(rest) <= _LONGEST_REST and _TAKES_BACK.search(rest) is None else None
