"""What a plugin raised, in one line that says where."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

LONGEST: Final = 500  # characters
_OWN: Final = Path(__file__).parents[1]
_LIBRARIES: Final = tuple(Path(sysconfig.get_path(one)) for one in ("stdlib", "platstdlib", "purelib", "platlib"))


def described(error: BaseException) -> str:
    """The error and the line that it came from, for example `KeyError: 'lost' (guess.py, line 12)`."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
    place = where(error)
    return f"{text} ({place})" if place else text


def where(error: BaseException) -> str:
    """The file and line of the plugin that led to it; empty where lydite alone did.

    It is the innermost line outside of libraries, for what a parser of the standard library refuses is given by
    somebody; a plugin that is a library itself has the innermost line of all.
    """
    frames = [(Path(one.filename), one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    frames = [one for one in frames if _OWN not in one[0].parents]
    written = [one for one in frames if not any(library in one[0].parents for library in _LIBRARIES)]
    for file, line in (written or frames)[-1:]:
        return f"{file.name}, line {line}"
    return ""
