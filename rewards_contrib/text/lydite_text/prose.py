"""Which words of a text are prose: not code, LaTeX, links, names or anything with digits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# What opens, and what closes it. Found with str.find: a pattern with `.*?` takes quadratic time on marks left open.
_PAIRS: Final = (("```", "```"), ("`", "`"), ("$$", "$$"), ("$", "$"), ("\\[", "\\]"), ("\\(", "\\)"))
_CHUNK: Final = re.compile(r"\S+")
_TAG: Final = re.compile(r"</?[A-Za-z][\w-]{0,40}>")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def words_of(text: str) -> Iterator[tuple[str, int]]:
    """Each lower-case word of more than one letter with its place in the text, in characters."""
    masked = without_code(text.replace("\u2019", "'"))
    for chunk in _CHUNK.finditer(masked):
        if "www." in chunk.group() or any(one.isdigit() or one in "_/\\<>=@" for one in chunk.group()):
            continue  # identifiers, paths, links, addresses, tags, LaTeX commands, quantities
        for word in _WORD.finditer(chunk.group()):
            if len(word.group()) > 1 and word.group().islower():
                yield word.group(), chunk.start() + word.start()


def without_code(text: str) -> str:
    """The text with spaces in place of code and formulas; its length stays."""
    for opening, closing in _PAIRS:
        text = _without(text, opening, closing)
    return text


def without_tags(text: str) -> str:
    """The text without tags such as `<answer>`."""
    return _TAG.sub(" ", text)


def _without(text: str, opening: str, closing: str) -> str:
    """The text with spaces in place of what stands between the marks, the marks included; its length stays."""
    parts: list[str] = []
    place = 0
    while (start := text.find(opening, place)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        end += len(closing)
        parts += [text[place:start], " " * (end - start)]
        place = end
    return "".join([*parts, text[place:]])
