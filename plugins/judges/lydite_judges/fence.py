"""Text that a model wrote, made fit to be shown to a judge: what hides is taken out, what poses is broken."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

_LINES: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SELECTORS: Final = frozenset([*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
"""Variation selectors: nothing to see, and room for a hidden message."""
_BLANKS: Final = frozenset([0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0])
"""Letters and signs that look like a space."""
_MARKS: Final = re.compile(
    r"(?<=<)(?=[|\uff5c]|</?SYS>>|/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn)>)"
    r"|(?<=[|\uff5c])(?=>)|(?<=\[)(?=/?INST\])",
    re.IGNORECASE,
)
"""Places inside what chat templates and tokenizers of common models set between turns."""
_FENCE: Final = re.compile(r"[\[({<]+ ?[0-9a-f]{8,64} ?[\])}>]+", re.IGNORECASE)
_ROLE: Final = re.compile(r"(?:system|developer|user|human|assistant|model|judge|tool) ?:", re.IGNORECASE)
NONCE_LENGTH: Final = 16


def sanitised(text: str) -> str:
    """The text as a judge may be shown it: it reads the same, and what is in it can be seen.

    Characters without a look (zero width, bidi controls, tags, variation selectors, control characters) are left
    out, lone surrogates become U+FFFD, every kind of line end becomes a line feed. Marks that chat templates put
    between turns get a space into them, and lines that look like a fence or begin like a speaker's turn are
    quoted with `| `. Doing it twice changes nothing. Linear in the length; cap that first.
    """
    lines = _LINES.sub("\n", text)
    seen = "".join(one for character in lines if (one := _visible(character)))
    broken = _MARKS.sub(" ", seen)
    return "\n".join(f"| {line}" if _poses(line) else line for line in broken.split("\n"))


def nonce_of(*parts: str) -> str:
    """A mark for a fence around these parts: the same for the same parts, and not to be found inside them.

    It is a hash of all that is fenced, so a text that holds the mark of itself would be a collision of SHA-256.
    """
    whole = "\0".join(parts).encode(errors="surrogatepass")
    return hashlib.sha256(whole).hexdigest()[:NONCE_LENGTH]


def fenced(text: str, *, nonce: str) -> str:
    """The text between two lines that hold only `[nonce]`.

    Raises:
        ValueError: when the nonce is in the text, so that the text could close its own fence.
    """
    if nonce in text:
        raise ValueError("the fence's mark stands in the text; take another, for example nonce_of(text)")
    return f"[{nonce}]\n{text}\n[{nonce}]"


def _visible(character: str) -> str:
    if character in "\n\t" or (character.isascii() and character.isprintable()):
        return character
    point, category = ord(character), unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    if point in _BLANKS:
        return " "
    return "" if category in ("Cf", "Cc") or point in _SELECTORS else character


def _poses(line: str) -> bool:
    start = line.strip()
    return bool(_FENCE.fullmatch(start) or _ROLE.match(start))
