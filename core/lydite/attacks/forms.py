r"""How an answer is marked in a completion: in a box, between tags, in a fence, behind a prefix, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from lydite.contracts import Format
from lydite.types import Parsed

_TAGS: Final = ("answer", "final_answer", "final", "solution", "result", "output")
_PREFIXES: Final = ("Final answer:", "Answer:", "####")
_FENCE: Final = re.compile(r"^[ \t]*(```|~~~)[^\n`]*$", re.MULTILINE)
_LAST_TAG: Final = re.compile(r"</([A-Za-z][\w-]{0,40})>\s*\Z")
_THOUGHTS: Final = ("think", "reasoning", "thinking")
_PROBE: Final = "7"  # reads as a number, a word and a value of JSON


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """The marks around a reasoning and around an answer. Empty marks: there are none."""

    name: str
    opening: str = ""
    closing: str = ""
    think: tuple[str, str] = ("<think>", "</think>")
    needs_reasoning: bool = False
    """The format refuses an answer without a reasoning before it."""

    @property
    def anchored(self) -> bool:
        """Whether the answer is marked, so that prose around it is no part of it."""
        return bool(self.opening)

    def answer(self, text: str) -> str:
        """The text between the marks of an answer, without any reasoning."""
        return f"{self.opening}{text}{self.closing}"

    def reasoning(self, text: str) -> str:
        """The text between the marks of a reasoning."""
        return f"{self.think[0]}{text}{self.think[1]}"

    def completion(self, answer: str, reasoning: str = "") -> str:
        """A whole completion; a reasoning is put in where the format needs one."""
        thought = reasoning or ("Let me think." if self.needs_reasoning else "")
        return f"{self.reasoning(thought)}\n{self.answer(answer)}" if thought else self.answer(answer)


PLAIN: Final = AnswerForm("plain")
"""The whole text is the answer."""

FORMS: Final[tuple[AnswerForm, ...]] = (
    PLAIN,
    AnswerForm("boxed", "\\boxed{", "}"),
    *(AnswerForm(tag, f"<{tag}>", f"</{tag}>") for tag in _TAGS),
    *(
        AnswerForm(f"{thought}+{tag}", f"<{tag}>", f"</{tag}>", (f"<{thought}>", f"</{thought}>"), True)
        for thought in _THOUGHTS
        for tag in _TAGS
    ),
    AnswerForm("json", '{"answer": "', '"}'),
    AnswerForm("json-number", '{"answer": ', "}"),
    *(AnswerForm(prefix, f"{prefix} ") for prefix in _PREFIXES),
    AnswerForm("python", "```python\n", "\n```"),
    AnswerForm("fence", "```\n", "\n```"),
)
"""The forms that are tried on a format whose marks are not known."""


@dataclass(frozen=True, slots=True)
class Located:
    """An answer found in a completion: what stands before its marks, the answer, and what stands behind them."""

    form: AnswerForm
    before: str
    answer: str
    after: str


def form_of_format(format: Format) -> AnswerForm:
    """The first known form from which the format reads back the answer; the plain one where none fits."""
    for form in FORMS:
        try:
            parsed = format.parse(form.completion(_PROBE))
        except Exception:  # noqa: BLE001, S112 - a format of somebody else's, which its own tests are for
            continue
        if isinstance(parsed, Parsed) and parsed.answer == _PROBE:
            return form
    return PLAIN


def locate(completion: str) -> Located:
    """The marked answer of a completion: the last box, closing tag, fence or prefix line behind any reasoning.

    Without any of these all that stands behind the reasoning is the answer, in the plain form.
    """
    ends = [completion.rfind(f"</{tag}>") + len(tag) + 3 for tag in _THOUGHTS if f"</{tag}>" in completion]
    reasoning, rest = completion[: max(ends, default=0)], completion[max(ends, default=0) :]
    think = _thought_marks(reasoning)
    for found in (_boxed(rest), _tagged(rest), _fenced(rest), _prefixed(rest)):
        if found is not None:
            form = replace(found.form, think=think, needs_reasoning=bool(reasoning))
            return replace(found, form=form, before=reasoning + found.before)
    return Located(replace(PLAIN, think=think, needs_reasoning=bool(reasoning)), reasoning, rest, "")


def _boxed(text: str) -> Located | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    inside = start + len("\\boxed{")
    depth = 1
    for place in range(inside, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return Located(AnswerForm("boxed", "\\boxed{", "}"), text[:start], text[inside:place], text[place + 1 :])
    return None


def _tagged(text: str) -> Located | None:
    ending = _LAST_TAG.search(text)
    tags = [ending[1]] if ending else []
    for tag in (*tags, *_TAGS):
        if tag in _THOUGHTS:
            continue
        end = text.rfind(f"</{tag}>")
        start = text.rfind(f"<{tag}>", 0, max(end, 0))
        if 0 <= start < end:
            inside = start + len(tag) + 2
            form = AnswerForm(tag, f"<{tag}>", f"</{tag}>")
            return Located(form, text[:start], text[inside:end], text[end + len(tag) + 3 :])
    return None


def _fenced(text: str) -> Located | None:
    marks = list(_FENCE.finditer(text))
    if len(marks) < 2:
        return None
    first, last = marks[-2], marks[-1]
    form = AnswerForm("fence", f"{first[0].strip()}\n", f"\n{last[0].strip()}")
    inside = text[first.end() + 1 : max(last.start() - 1, first.end() + 1)]
    return Located(form, text[: first.start()], inside, text[last.end() :])


def _prefixed(text: str) -> Located | None:
    start = text.rstrip().rfind("\n") + 1
    line = text[start:].rstrip()
    for prefix in _PREFIXES:
        if line.lower().startswith(prefix.lower()) and line[len(prefix) :].strip():
            given = line[: len(prefix)]
            answer = line[len(prefix) :].strip()
            return Located(AnswerForm(prefix, f"{given} "), text[:start], answer, text[start + len(line) :])
    return None


def _thought_marks(text: str) -> tuple[str, str]:
    for tag in _THOUGHTS:
        if f"</{tag}>" in text:
            return f"<{tag}>", f"</{tag}>"
    return "<think>", "</think>"
