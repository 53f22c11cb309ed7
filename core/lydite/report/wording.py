"""Numbers and prompts in words, the same on the console, in notebooks and in the report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, TypeGuard

NOTHING: Final = "—"
"""What is shown where there is no number."""

_CHAT_MARK: Final = re.compile(
    r"<\|[^<>|]{1,40}\|>|<(?:start|end)_of_turn>|</?s>|<(?:bos|eos)>|\[/?(?:INST|SYSTEM_PROMPT)\]"
)
_ROLE: Final = re.compile(r"\A(?:system|user|assistant|model|tool|developer)\s*(?:\n|\Z)")


def number(value: Any) -> str:
    """A number with about three digits that matter."""
    if not is_number(value):
        return NOTHING
    size = abs(value)
    if value == 0 or 0.001 <= size < 1000:
        digits = 0 if float(value).is_integer() else 3 if size < 10 else 2 if size < 100 else 1
        return f"{value:.{digits}f}"
    return f"{value:,.0f}" if 1000 <= size < 1e7 else f"{value:.2e}"


def percent(share: Any) -> str:
    """A share of 1 in percent."""
    return f"{share * 100:.1f}%" if is_number(share) else NOTHING


def metric_text(value: Any, *, share: bool) -> str:
    """A held-out value: in percent where the metric is a share."""
    return percent(value) if share else number(value)


def is_share(values: Iterable[Any]) -> bool:
    """True when every value lies between 0 and 1, as an accuracy does."""
    return all(0 <= value <= 1 for value in values if is_number(value))


def duration(seconds: Any) -> str:
    """Seconds as people say them: 8 s, 5 min 12 s, 3 h 05 min."""
    if not is_number(seconds):
        return NOTHING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """Seconds as a clock shows them: 1:05, 2:00:09."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def memory_text(size: Any) -> str:
    """Bytes in MB or GB, powers of ten."""
    if not is_number(size):
        return NOTHING
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def is_number(value: Any) -> TypeGuard[float]:
    """True for a finite int or float, and not for a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def question_of(prompt: Any) -> str:
    """The last thing a user said in a prompt, chat marks and line breaks taken out, on one line.

    A prompt is stored as the model saw it, under whatever chat template; this is for places that have room
    for a line only.
    """
    turns = [_ROLE.sub("", piece.strip()).strip() for piece in _CHAT_MARK.split(str(prompt))]
    said = [turn for turn in turns if turn]
    return " ".join((said[-1] if said else str(prompt)).split())


def shorten(text: str, width: int) -> str:
    """At most `width` characters of a text, with an ellipsis where something is left out."""
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + "…"


def shorten_front(text: str, width: int) -> str:
    """The end of a text, at most `width` characters: a prompt's question stands at its end."""
    return text if len(text) <= width else "…" + text[len(text) - max(0, width - 1) :].lstrip()


def printable(text: str) -> str:
    """A text without control codes, which a model may write and a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def one_line(text: str) -> str:
    """A text on one line of a terminal."""
    return printable(" ".join(text.split()))


def in_words(value: Any) -> str:
    """Any JSON value as a reader would want it: text as it is, nothing for None, the rest as JSON writes it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
