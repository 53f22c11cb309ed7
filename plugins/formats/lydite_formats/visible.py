"""Whether a text shows anything at all."""

from __future__ import annotations

import unicodedata


def is_visible(text: str) -> bool:
    """True when some character is neither white space nor invisible.

    Zero-width spaces, joiners and direction marks (category Cf) would otherwise make an empty pair of tags
    look filled.
    """
    return any(not one.isspace() and unicodedata.category(one) not in ("Cf", "Cc") for one in text)
