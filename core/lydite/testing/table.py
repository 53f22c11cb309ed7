"""Section `cases`: the author's own table."""

from __future__ import annotations

from typing import Final

from lydite.rewards.verdicts import explain
from lydite.testing.cases import Case, CaseFile, Expected
from lydite.testing.material import ask_for
from lydite.testing.results import Item, printable, shown
from lydite.testing.subject import Subject
from lydite.types import Status, Verdict

NAMES: Final = ("enough-rows", "both-classes", "gold-rows", "row-at-line")
MOST_ROWS_SHOWN: Final = 10
TOLERANCE: Final = 1e-6
ROWS_NEEDED: Final = {"answer": 20, "form": 5, "penalty": 5}
GOLDS_NEEDED: Final = 3


def check_table(subject: Subject, file: CaseFile) -> tuple[Item, ...]:
    """Whether the table is large enough, and every row that came out otherwise than its author said."""
    items = [_enough(subject, file)]
    if subject.pays_for == "answer":
        items.append(_both_classes(file))
        if not subject.grouped:
            items.append(_golds(file))
    heard = subject.ask([ask_for(subject, case) for case in file.cases], together=True)
    wrong = [
        (case, index, verdict)
        for case, one in zip(file.cases, heard, strict=True)
        for index, verdict in enumerate(one.verdicts)
        if not meets(case.expected[index], verdict)
    ]
    for case, index, verdict in wrong[:MOST_ROWS_SHOWN]:
        items.append(_missed(file, case, index, verdict))
    total = sum(len(case.completions) for case in file.cases)
    right = Item("rows", "ok", note=f"{total - len(wrong)} of {total} as the author says")
    if len(wrong) > MOST_ROWS_SHOWN:
        items.append(Item("more-rows", "failed", got=f"{len(wrong) - MOST_ROWS_SHOWN} more rows come out otherwise"))
    return (*items, right) if not wrong else tuple(items)


def meets(expected: Expected, verdict: Verdict) -> bool:
    """Whether a verdict is what the author expected."""
    if expected == "pass":
        return verdict.status is Status.OK and bool(verdict.passed)
    if expected == "fail":
        return verdict.status is Status.OK and not verdict.passed
    if isinstance(expected, str):
        return verdict.status.value == expected
    if verdict.score is None:
        return False
    low, high = expected if isinstance(expected, tuple) else (expected, expected)
    return low - TOLERANCE <= verdict.score <= high + TOLERANCE


def described(verdict: Verdict) -> str:
    """A verdict in a few words: status, score, whether it passed, and why."""
    why = printable(explain(verdict))
    reason = f" ({why})" if why else ""
    if verdict.score is None:
        return f"{verdict.status.value}{reason}"
    return f"{'pass' if verdict.passed else 'fail'}, score {verdict.score:g}{reason}"


def _missed(file: CaseFile, case: Case, index: int, verdict: Verdict) -> Item:
    which = f", completion {index + 1}" if case.grouped else ""
    parsed = f", read as {shown(verdict.parsed)}" if verdict.parsed is not None else ""
    return Item(
        f"row-at-line-{case.line}",
        "failed",
        given=f"{shown(case.completions[index])} for the reference {shown(case.reference)}{which}",
        expected=_spoken(case.expected[index]) + (f" ({case.note})" if case.note else ""),
        got=described(verdict) + parsed,
        note=f"{file.path.name}:{case.line}: mend the reward, or the row if the reward is right",
    )


def _spoken(expected: Expected) -> str:
    if isinstance(expected, tuple):
        return f"a score from {expected[0]:g} to {expected[1]:g}"
    return expected if isinstance(expected, str) else f"the score {expected:g}"


def _enough(subject: Subject, file: CaseFile) -> Item:
    needed = ROWS_NEEDED[subject.pays_for]
    count = sum(len(case.completions) for case in file.cases)
    if count >= needed:
        return Item("enough-rows", "ok", note=f"{count} rows")
    return Item(
        "enough-rows", "failed", got=f"{count} rows", expected=f"at least {needed}",
        note="add what a model writes when it is right, when it is wrong, and when it cheats",
    )  # fmt: skip


def _both_classes(file: CaseFile) -> Item:
    said = {one for case in file.cases for one in case.expected if isinstance(one, str)}
    missing = [word for word in ("pass", "fail") if word not in said]
    if not missing:
        return Item("both-classes", "ok")
    return Item(
        "both-classes", "failed", got=f"no row is expected to {missing[0]}", expected="right and wrong answers",
        note="a table with one class cannot tell a reward from one that always says the same",
    )  # fmt: skip


def _golds(file: CaseFile) -> Item:
    count = sum(case.gold for case in file.cases)
    if count >= GOLDS_NEEDED:
        return Item("gold-rows", "ok", note=f"{count} gold rows")
    return Item(
        "gold-rows", "failed", got=f"{count} rows with \"gold\": true", expected=f"at least {GOLDS_NEEDED}",
        note="mark the rows whose completion is the reference as a model would write it; attacks are made from them",
    )  # fmt: skip
