"""Reasoning and answer in tags of their own: `<think>...</think><answer>...</answer>`."""

from __future__ import annotations

from dataclasses import dataclass

from lydite import FormatError, Parsed
from lydite_formats.visible import is_visible


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a pair of tags and what it holds lie in a text, in characters."""

    start: int
    inner_start: int
    inner_end: int
    end: int


class Tags:
    """One reasoning pair, then one answer pair, and nothing else but white space.

    Without a reasoning pair (`require_reasoning = false`) whatever stands before the answer is the reasoning.
    """

    def __init__(
        self,
        *,
        reasoning_tag: str = "think",
        answer_tag: str = "answer",
        require_reasoning: bool = True,
        prefilled: bool = False,
    ) -> None:
        for option, tag in (("reasoning_tag", reasoning_tag), ("answer_tag", answer_tag)):
            if not tag or any(one in "<>/" or one.isspace() for one in tag):
                raise ValueError(f"{option} is the bare name of a tag, such as 'think'; got {tag!r}")
        if reasoning_tag == answer_tag:
            raise ValueError(f"reasoning_tag and answer_tag must differ, both are {answer_tag!r}")
        self.reasoning_tag = reasoning_tag
        self.answer_tag = answer_tag
        self.require_reasoning = require_reasoning
        self.prefilled = prefilled

    @property
    def instructions(self) -> str:
        """What to tell the model."""
        answer = f"<{self.answer_tag}> and </{self.answer_tag}>"
        if self.require_reasoning:
            return (
                f"First think step by step between <{self.reasoning_tag}> and </{self.reasoning_tag}>. "
                f"Then give only the final answer between {answer}, once, and write nothing after it."
            )
        return f"Give only the final answer between {answer}, once, and write nothing after it."

    def parse(self, text: str) -> Parsed | FormatError:
        """The two parts, or the first rule that the text breaks."""
        if self.prefilled:
            text = f"<{self.reasoning_tag}>{text}"
        reasoning = _pair(text, self.reasoning_tag, "reasoning")
        if isinstance(reasoning, FormatError) and (self.require_reasoning or reasoning.reason != "reasoning.missing"):
            return reasoning
        answer = _pair(text, self.answer_tag, "answer")
        if isinstance(answer, FormatError):
            return answer
        inside = text[answer.inner_start : answer.inner_end].strip()
        if is_visible(text[answer.end :]):
            return FormatError("text.after", f"after </{self.answer_tag}> comes {_shown(text[answer.end :])}")
        if isinstance(reasoning, FormatError):
            return Parsed(inside, text[: answer.start].strip())
        if reasoning.end > answer.start:
            return FormatError("order.wrong", f"<{self.answer_tag}> opens before </{self.reasoning_tag}> closes")
        if is_visible(text[: reasoning.start]):
            return FormatError("text.before", f"before <{self.reasoning_tag}> comes {_shown(text)}")
        if is_visible(text[reasoning.end : answer.start]):
            return FormatError("text.between", f"between the tags stands {_shown(text[reasoning.end :])}")
        return Parsed(inside, text[reasoning.inner_start : reasoning.inner_end].strip())


def _pair(text: str, tag: str, part: str) -> _Span | FormatError:
    """The only pair of these tags; `part` is the first word of the reason codes."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    opened, closed = text.count(opening), text.count(closing)
    if not opened:
        return FormatError(f"{part}.unopened" if closed else f"{part}.missing", f"there is no {opening}")
    if not closed:
        return FormatError(f"{part}.unclosed", f"{opening} is never closed")
    if opened > 1 or closed > 1:
        return FormatError(f"{part}.repeated", f"{opening} stands {opened} times, {closing} {closed} times")
    start, end = text.find(opening), text.find(closing)
    if end < start:
        return FormatError("order.wrong", f"{closing} stands before {opening}")
    if not is_visible(text[start + len(opening) : end]):
        return FormatError(f"{part}.empty", f"nothing stands between {opening} and {closing}")
    return _Span(start, start + len(opening), end, end + len(closing))


def _shown(text: str) -> str:
    return repr(text.strip()[:40])
