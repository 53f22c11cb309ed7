"""What stands before the value of an answer and is no formula: `P(A|B) =`, `max =`, `Minimum:`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lydite_math.names import STOP_WORDS

_LONGEST: Final = 80
_OPEN: Final = frozenset("([{")
_CLOSE: Final = frozenset(")]}")
_EQUALS: Final = re.compile(r"(?<![<>!:=\\])=(?![=<>])")
_TITLE: Final = re.compile(r"(?:\\[A-Za-z]|[A-Za-z|])[^+*<>?!\n]*")
_BRACKETED: Final = re.compile(r"\([^()?!]*\)|\[[^\[\]?!]*\]")
_SENTENCE: Final = (STOP_WORDS - {"of", "the", "at"}) | {
    *("never", "wrong", "isn", "ldots", "cdots", "int", "lim", "sum", "given", "get", "gives", "so", "let", "find"),
    *("know", "since", "equation", "either", "or", "and"),
}
"""Words that stand in sentences and in what is not computed, and in no name of a value."""
_MOST_WORDS: Final = 5
_LABEL: Final = re.compile(r"\\text\s?\{\s?([A-Za-z][A-Za-z ]{0,40}?)\s?(?::|=|\bis)\s?\}\s?(?=\S)")
_ANSWER: Final = re.compile(r"(?:the |final |correct )*(?:answer|result|solution|value)", re.IGNORECASE)


def labelled(spelt: str) -> str:
    r"""The text with `\text{Minimum: } 3` as `Minimum = 3`, and without words that announce an answer."""
    if "\\text" not in spelt:
        return spelt
    return _LABEL.sub(lambda found: "" if _ANSWER.fullmatch(found[1]) else f"\\text{{{found[1]}}} = ", spelt)


def titled(spelt: str, readable: Callable[[str], bool]) -> str | None:
    """The text with what stands before each equals sign as one name where it is no formula; None if nowhere."""
    parts = _parts(spelt)
    found = False
    for place, part in enumerate(parts):
        equals = _first_equals(part)
        if equals is None:
            continue
        title, value = part[:equals].strip(), part[equals + 1 :]
        if not title or len(title) > _LONGEST or not value.strip() or readable(title) or not _names(title):
            continue
        parts[place] = f"\\text{{quantity {_spelt_out(title)}}} = {value}"
        found = True
    return ", ".join(parts) if found else None


def _names(title: str) -> bool:
    """Whether this may be a name, and is no part of a sentence."""
    title = _BRACKETED.sub("", title)
    words = re.findall("[A-Za-z]{2,}", title)
    return (
        _TITLE.fullmatch(title) is not None and len(words) <= _MOST_WORDS and not _SENTENCE & {*map(str.lower, words)}
    )


def _spelt_out(title: str) -> str:
    """The title in letters and digits alone, different for different titles."""
    said = " ".join(re.sub(r"\\text\s?\{([^{}]*)\}", r"\1", title).replace("\\", " ").split())
    return "".join(one if one.isalnum() and one.isascii() else f"z{ord(one)}z" for one in said)


def _parts(text: str) -> list[str]:
    """What stands between the commas, semicolons and "and" that are in no brackets."""
    found, depth, start = [], 0, 0
    for place, one in enumerate(text):
        depth += (one in _OPEN) - (one in _CLOSE)
        if one in ",;" and depth == 0 and text[place - 1 : place] != "\\":
            found.append(text[start:place])
            start = place + 1
    return [*found, text[start:]]


def _first_equals(part: str) -> int | None:
    depth, last = 0, 0
    for found in _EQUALS.finditer(part):
        depth += sum((one in _OPEN) - (one in _CLOSE) for one in part[last : found.start()])
        last = found.start()
        if depth == 0:
            return last
    return None
