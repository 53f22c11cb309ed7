"""One way of writing for texts that mean the same."""

from __future__ import annotations

import unicodedata


def normalise(text: str, *, case: bool) -> str:
    """NFKC, without invisible characters, white space collapsed; casefolded unless `case`."""
    text = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")
    text = " ".join(text.split())
    return text if case else text.casefold()


def without_outer_punctuation(text: str) -> str:
    """The text without punctuation at its ends: quotes, full stops, brackets, stars of Markdown."""
    start, end = 0, len(text)
    while start < end and _is_outer(text[start]):
        start += 1
    while end > start and _is_outer(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_outer(one: str) -> bool:
    # A minus, a percent sign or a hash changes what an answer means; a quote or a full stop does not.
    return one.isspace() or (unicodedata.category(one) in ("Po", "Ps", "Pe", "Pi", "Pf") and one not in "%#&@\\/")
