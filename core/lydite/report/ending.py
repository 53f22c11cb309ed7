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
    """Where the page is; None where none was written.

    The folder is asked, not the summary: a run that was copied or moved has its report with it.
    """
    path = run.folder / "report.html"
    return path if path.is_file() else None


def mark(right: bool | None) -> str:
    """The word for an answer's correctness."""
    return "not judged" if right is None else "right" if right else "wrong"
