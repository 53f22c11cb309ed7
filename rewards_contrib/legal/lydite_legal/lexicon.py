"""Word lists that ship as data, each with where it comes from and from when it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

_FOLDER: Final = "lexicons"


@lru_cache(maxsize=32)
def lexicon(name: str) -> Any:
    """The content of `lexicons/NAME.json`: an object with `source`, `date`, and the lists themselves."""
    return json.loads(files("lydite_legal").joinpath(_FOLDER, f"{name}.json").read_text("utf-8"))


def phrase_pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the phrases as whole words, the longest first; white space may be of any kind.

    Linear in the text: an alternation of fixed phrases, with at most two characters of white space between words.
    """
    ordered = sorted(set(phrases), key=lambda one: (-len(one), one))
    spaced = (r"\s{1,2}".join(re.escape(word) for word in one.split()) for one in ordered)
    return re.compile(rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)", re.IGNORECASE)
