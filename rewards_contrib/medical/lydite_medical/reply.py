"""What a reply says to its reader: without hidden reasoning, invisible characters or an echo of its prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

LONGEST: Final = 20_000
"""Characters; no medical answer is longer, and every later step is linear in them."""
ECHO_WORDS: Final = 5
"""A sentence of the prompt, or a part up to a colon, is an echo from so many words on; less may be the answer."""
PROMPT_WORDS: Final = 3
"""The same for the prompt as a whole."""

_BIDI: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_TAG: Final = re.compile(r"</?[A-Za-z][A-Za-z_-]{0,30}>")
# NFKC would glue these to the number before them: 10² to 102, 1½ to 11/2.
_GLUED: Final = str.maketrans(
    {one: f"^{digit}" for digit, one in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    | {"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3"}
)
_SPACED_THOUSANDS: Final = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_PUNCTUATION: Final = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2013\u2014\u2015", "\u2013"),
        **dict.fromkeys("\u2018\u2019\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        "\u00d7": "x",
        "\u2044": "/",
        "\u00b7": ".",
    }
)


@dataclass(frozen=True, slots=True)
class Reply:
    """The text that counts, or the reason code that says why none does."""

    text: str
    problem: str = ""


def read_reply(answer: str) -> Reply:
    """The visible part of an answer in one way of writing; case, lines and tags stay as they are."""
    if len(answer) > LONGEST:
        return Reply("", "answer.long")
    if _BIDI.search(answer):
        return Reply("", "answer.bidi")  # what a reader sees is not what stands there
    text = plain(answer)
    text = text[text.rfind("</think>") + len("</think>") :] if "</think>" in text else text
    text = text.partition("<think>")[0]
    if not any(one.isalnum() for one in without_tags(text)):
        return Reply("", "answer.empty")
    return Reply(text.strip())


def own_words(answer: str, prompt: Any) -> Reply:
    """What a reply itself says: without tags, and without what its prompt says."""
    reply = read_reply(answer)
    if reply.problem:
        return reply
    text = without_tags(without_echo(reply.text, prompt))
    return Reply(text) if any(one.isalnum() for one in text) else Reply("", "answer.echo")


def plain(text: str) -> str:
    """NFKC with superscripts marked, no invisible characters, and one sign for each kind of dash, quote and times."""
    text = _SPACED_THOUSANDS.sub(",", text)  # NFKC would make it a space that parts two numbers
    text = unicodedata.normalize("NFKC", text.translate(_GLUED)).translate(_PUNCTUATION)
    return "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Cs") and one != "\0")


def without_tags(text: str) -> str:
    """The text with tags such as `<answer>` blanked out."""
    return _TAG.sub(" ", text)


def without_echo(text: str, prompt: Any, *, sentences: bool = True) -> str:
    """The text without its prompt, and without single sentences of it: repeating a rule is not following it."""
    asked = "\n".join(prompt_texts(prompt))
    folded, kept = _squeezed(text), text
    parts = re.split(r"(?<=[.!?:;])\s+|\n+", asked) if sentences else []
    for part, least in [(asked, PROMPT_WORDS), *((one, ECHO_WORDS) for one in parts)]:
        echo = _squeezed(plain(part))
        if len(echo.split()) >= least and echo in folded:
            folded = kept = folded.replace(echo, " \n ")
    return kept


def prompt_texts(prompt: Any) -> Iterable[str]:
    """What the user said, turn by turn; a prompt that is plain text is one turn."""
    if isinstance(prompt, str):
        return [prompt]
    turns = prompt if isinstance(prompt, list | tuple) else []
    return [str(one["content"]) for one in turns if isinstance(one, dict) and one.get("role") == "user"]


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())
