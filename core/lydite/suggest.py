"""Near misses: the sentence that turns an unknown name into a fixed typo."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

LISTED_AT_MOST = 12  # more names than this on one line are not read


def close_to(given: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, or None.

    Close means difflib's ratio of at least 0.6, compared without regard to case; a name also counts as
    close when its part after the last `/` or `.` does.
    """
    names = sorted(set(known))
    lowered = {name.lower(): name for name in names}
    tails = {name.lower().replace(".", "/").rsplit("/", 1)[-1]: name for name in names}
    for table, word in ((lowered, given.lower()), (tails, given.lower().replace(".", "/").rsplit("/", 1)[-1])):
        close = get_close_matches(word, table, n=1, cutoff=0.6)
        if close:
            return table[close[0]]
    return None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A clause that names the closest known name, or else lists what there is; starts with a space or a semicolon."""
    names = sorted(set(known))
    if not names:
        return " (there are none to choose from)"
    close = close_to(given, names)
    if close is not None:
        return f"; did you mean {close!r}?"
    shown = ", ".join(names[:LISTED_AT_MOST])
    rest = len(names) - LISTED_AT_MOST
    return f"; known: {shown}" + (f", and {rest} more" if rest > 0 else "")


def file_meant(path: Path) -> str:
    """A clause that names the file of the same kind beside a missing one that was probably meant, or nothing."""
    near = close_to(path.name, [one.name for one in path.parent.glob(f"*{path.suffix}")])
    return f"; did you mean {str(path.with_name(near))!r}?" if near else ""
