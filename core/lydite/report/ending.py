"""What is said at the end of a run: five questions before and after, the held-out metric, where the report is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lydite.report.before_after import Pair, choose_pairs, pair_answers
from lydite.report.reader import RunData

QUESTIONS: Final = 5


def five_questions(run: RunData, n: int = QUESTIONS) -> tuple[Pair, ...]:
    """Held-out questions as answered first and last, those whose correctness changed before the others."""
    first, last = run.first_eval, run.last_eval
    if first is None or last is None or first is last:
        return ()
    return choose_pairs(pair_answers(first, last), n)


def report_path(run: RunData) -> Path | None:
    """Where the page is; None where none was written."""
    named = run.summary.get("report") if run.summary else None
    for path in (Path(str(named)) if named else None, run.folder / "report.html"):
        if path is not None and path.is_file():
            return path
    return None


def mark(right: bool | None) -> str:
    """The word for an answer's correctness."""
    return "not judged" if right is None else "right" if right else "wrong"
