"""What the model says to its reader: the answer without its reasoning, in one way of writing."""

from __future__ import annotations

import unicodedata
from typing import Final

from lydite import Message

LONGEST: Final = 20_000
"""Characters of an answer that are looked at; a longer one fails, since what is not read cannot be judged."""
_THINK: Final = ("<think>", "</think>")
_ANSWER: Final = ("<answer>", "</answer>")


def spoken(answer: str) -> str | None:
    """The answer as plain text, or None when it is longer than `LONGEST`.

    Reasoning between think tags is taken out, whatever the run's format is; where there is a pair of answer tags,
    only the last pair's content counts. Characters of compatibility become plain ones (NFKC), and what cannot be
    seen (formatting, control characters, lone surrogates) is dropped, line ends and tabs apart.
    """
    if len(answer) > 10 * LONGEST:
        return None
    text = _inside(_without_reasoning(answer))
    if len(text) > LONGEST:
        return None
    text = unicodedata.normalize("NFKC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) not in ("Cf", "Cc", "Cs", "Co"))


def asked(prompt: str | tuple[Message, ...]) -> str:
    """The text of a prompt: of a conversation, all that was said, turn by turn."""
    text = prompt if isinstance(prompt, str) else "\n".join(turn["content"] for turn in prompt)
    text = unicodedata.normalize("NFKC", text)
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) not in ("Cf", "Cc", "Cs", "Co"))


def _without_reasoning(text: str) -> str:
    opening, closing = _THINK
    text = text[text.rfind(closing) + len(closing) :] if closing in text else text
    start = text.find(opening)
    return text if start < 0 else text[:start]


def _inside(text: str) -> str:
    opening, closing = _ANSWER
    end = text.rfind(closing)
    start = text.rfind(opening, 0, max(end, 0))
    return text[start + len(opening) : end] if 0 <= start < end else text
