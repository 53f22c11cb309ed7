"""Where a reply says its answer: in a box, a tag, behind "Answer:", or in its last line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

BOX: Final = "\\boxed{"
_TAG: Final = re.compile(r"<(answer|final)>", re.IGNORECASE)
_INNER_TEXT: Final = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit)\s*\{")
_QUOTED: Final = re.compile(r"^\s*(?:>\s+)+")
_MICRO: Final = re.compile(r"\\mu\s*(?![a-z]{2})")
_DECORATION: Final = str.maketrans(dict.fromkeys("*`#$", ""))


@dataclass(frozen=True, slots=True)
class Claim:
    """A stretch of the reply that is meant as its answer."""

    kind: Literal["box", "tag", "mark", "line"]
    text: str


def find_claims(text: str, marks: re.Pattern[str]) -> list[Claim]:
    """The claims of a reply: its boxes, tags and marked lines, and its last line, in this order.

    `marks` finds what stands before an answer, such as "Answer:"; a claim reaches from there to the next mark or the
    end of the line, or is the next line when nothing is left of this one. The last line is always a claim.
    """
    claims = [Claim("box", one) for one in _boxes(text)]
    claims += [Claim("tag", one) for one in _tagged(text)]
    lines = [line for line in (undecorated(one) for one in without_places(text).splitlines()) if line]
    for number, line in enumerate(lines):
        found = list(marks.finditer(line))
        for place, mark in enumerate(found):
            end = found[place + 1].start() if place + 1 < len(found) else len(line)
            rest = line[mark.end() : end].strip()
            if not rest and place + 1 == len(found) and number + 1 < len(lines):
                rest = lines[number + 1]
            if rest:
                claims.append(Claim("mark", rest))
    if lines:
        claims.append(Claim("line", lines[-1]))
    return claims


def undecorated(line: str) -> str:
    """A line without marks of Markdown and LaTeX that change its looks alone."""
    line = _QUOTED.sub("", line)
    line = _INNER_TEXT.sub("", line).replace("}", "") if "\\" in line else line
    line = _MICRO.sub("\u03bc", line)
    return line.replace("\\,", " ").replace("\\ ", " ").translate(_DECORATION).strip(" \t_")


def without_places(text: str) -> str:
    """The text with its boxes and answer tags taken out, since these are claims of their own."""
    for start, end in reversed(_spans(text)):
        text = text[:start] + " " + text[end:]
    return _TAG.sub(" ", text)


def _boxes(text: str) -> list[str]:
    return [undecorated(text[start + len(BOX) : end - 1]) for start, end in _box_spans(text)]


def _tagged(text: str) -> list[str]:
    return [undecorated(text[start:end].partition(">")[2].rpartition("</")[0]) for start, end in _tag_spans(text)]


def _spans(text: str) -> Sequence[tuple[int, int]]:
    spans = sorted([*_box_spans(text), *_tag_spans(text)])
    # A box inside a tag goes with the tag.
    kept: list[tuple[int, int]] = []
    for start, end in spans:
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def _box_spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = text.find(BOX)
    while start >= 0:
        depth, at = 1, start + len(BOX)
        while at < len(text) and depth:
            depth += (text[at] == "{") - (text[at] == "}")
            at += 1
        if depth:
            break  # an open box holds no answer, and neither does what stands inside it
        spans.append((start, at))
        start = text.find(BOX, at)
    return spans


def _tag_spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    lower = text.lower()
    at = 0
    while (found := _TAG.search(text, at)) is not None:
        closing = f"</{found[1].lower()}>"
        end = lower.find(closing, found.end())
        if end < 0:
            break
        at = end + len(closing)
        spans.append((found.start(), at))
    return spans
