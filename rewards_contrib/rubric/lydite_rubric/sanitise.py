"""A text made safe to show to a judge: nothing invisible, nothing that steers a chat, nothing like our own marks.

What is taken out leaves `[removed]`, so that its two sides cannot close up to another mark.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

REMOVED: Final = "[removed]"

_CHAT_MARK: Final = re.compile(
    r"<[|\uff5c][^|\uff5c<>\n]{1,60}[|\uff5c]>"  # <|im_start|>, <|eot_id|>; some vocabularies have full-width bars
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|<</?SYS>>"
    r"|</?(?:s|bos|eos|pad|unk|(?:start|end)_of_turn|think|thinking|system|user|assistant|human|model|tool|tool_call)>",
    re.IGNORECASE,
)
_VERDICT: Final = re.compile(
    r"(?<![^\W\d_])(?:[\"'\u2018-\u201f]?met[\"'\u2018-\u201f]?[ \t]{0,5}[:=][ \t\n]{0,5}(?:true|false|yes|no)"
    r"(?:(?![^\W\d_])|(?=met)))+",
    re.IGNORECASE,
)
_BLANK: Final = re.compile("[\u115f\u1160\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Letters that look like a space, and variation selectors."""
_OPENING: Final = re.compile(r"[<\uff1c\ufe64\u2039\xab\u300a\u3008\u27e8\u27ea\u226a\u22d8\u276e\u2770]{3,}")
_CLOSING: Final = re.compile(r"[>\uff1e\ufe65\u203a\xbb\u300b\u3009\u27e9\u27eb\u226b\u22d9\u276f\u2771]{3,}")


def sanitised(text: str) -> str:
    """The text as a judge is shown it.

    What has no look (zero width, bidirectional marks, control characters, selectors, lone surrogates) is dropped;
    marks of chat templates, and verdicts in the form that a judge must reply in, are replaced; runs of angle
    brackets, which our fences are made of, become one. Doing it twice changes nothing.
    """
    shown = "".join(one for one in text.replace("\r\n", "\n").replace("\r", "\n") if is_seen(one))
    shown = _VERDICT.sub(REMOVED, _CHAT_MARK.sub(REMOVED, shown))
    return _CLOSING.sub(">", _OPENING.sub("<", shown))


def nonce_for(*texts: str) -> str:
    """A mark of 16 hexadecimal digits that stands in none of the texts; the same for the same texts.

    Each text is part of what the mark is drawn from, so that no text can be written to hold its own.
    """
    drawn = "\0".join(texts).encode(errors="replace")
    while True:
        drawn = hashlib.sha256(drawn).digest()
        nonce = drawn.hex()[:16]
        if not any(nonce in text.casefold() for text in texts):
            return nonce


def is_seen(one: str) -> bool:
    """Whether a character has a look, or is a line break or tab: what has none can carry a message unseen."""
    if one in "\n\t" or (one.isascii() and one.isprintable()):
        return True
    return unicodedata.category(one) not in ("Cf", "Cc", "Cs", "Co") and not _BLANK.match(one)
