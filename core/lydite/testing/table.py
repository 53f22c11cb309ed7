"""Section `cases`: the author's own table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lydite.contracts import GIVEN
from lydite.rewards.verdicts import explain
from lydite.suggest import close_to
from lydite.testing.cases import Case, CaseFile, Expected
from lydite.testing.material import ask_for
from lydite.testing.results import Item, printable, shown
from lydite.testing.subject import Heard, Subject
from lydite.types import Status, Verdict

MOST_ROWS_SHOWN: Final = 10
TOLERANCE: Final = 1e-6
ROWS_NEEDED: Final = {"answer": 20, "form": 5, "penalty": 5}
GOLDS_NEEDED: Final = 3
JUDGES: Final = "judges-the-rows"
TELLS_APART: Final = "tells-answers-apart"
IN_TIME: Final = "answers-in-time"
SIZES: Final = ("enough-rows", "both-classes", "gold-rows")
ROOTS: Final = (JUDGES, TELLS_APART, IN_TIME)
"""Failures from which the others follow, but for those of `SIZES`. No case file can allow them."""
NAMES: Final = (*SIZES, "row-at-line")


def check_table(subject: Subject, file: CaseFile) -> tuple[Item, ...]:
    """Whether the table is large enough, and every row that came out otherwise than its author said."""
    items = [] if file.remedy else _large_enough(subject, file)
    stuck = _stuck(subject, file)
    if stuck is not None:
        return (*items, stuck)
    heard = subject.ask([ask_for(subject, case) for case in file.cases], together=True)
    items += _roots(subject, file, heard)
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


def _large_enough(subject: Subject, file: CaseFile) -> list[Item]:
    items = [_enough(subject, file)]
    if subject.pays_for == "answer":
        items.append(_both_classes(file))
        if not subject.grouped:
            items.append(_golds(file))
    return items


def _stuck(subject: Subject, file: CaseFile) -> Item | None:
    """The failure of a reward that runs into its deadline on both of the first rows: every other would take as long."""
    for case in file.cases[:2]:
        (heard,) = subject.ask([ask_for(subject, case)])
        if heard.verdicts[0].status is not Status.TIMEOUT:
            return None
    return Item(
        IN_TIME, "failed", given=f"{shown(file.cases[0].completions[0])}, and the row after it",
        expected=f"a verdict within {subject.binding(file.cases[0].options).timeout:g} s", got="none",
        note="nothing else was looked at; end what waits or loops, or declare the time that it needs: "
        "@lydite.reward(timeout=SECONDS)",
    )  # fmt: skip


def _roots(subject: Subject, file: CaseFile, heard: Sequence[Heard]) -> list[Item]:
    """What is wrong with the reward as a whole, so that all else follows from it; empty when nothing is."""
    verdicts = [verdict for one in heard for verdict in one.verdicts]
    wanted = {one for case in file.cases for one in case.expected}
    first = verdicts[0]
    same = len({(one.status, one.reason, one.score, one.passed) for one in verdicts}) == 1
    if same and first.status is Status.ERROR and wanted != {"error"}:
        return [
            Item(
                JUDGES, "failed", given=f"all {len(verdicts)} rows", expected="a verdict",
                got=described(first), note=_remedy(subject, file, first),
            )
        ]  # fmt: skip
    if same and first.status is Status.OK and wanted >= {"pass", "fail"} and subject.pays_for == "answer":
        return [
            Item(
                TELLS_APART, "failed", given=f"all {len(verdicts)} rows, right answers and wrong ones",
                expected="another verdict on a wrong answer than on a right one", got=f"{described(first)} for each",
                note="a reward that always says the same teaches nothing: let it depend on the completion",
            )
        ]  # fmt: skip
    return []


def _remedy(subject: Subject, file: CaseFile, verdict: Verdict) -> str:
    if verdict.reason != "column.missing":
        return "mend this first; nothing else can be looked at before"
    columns = {name for case in file.cases for name in case.columns}
    lacking = [one for one in subject.binding(file.cases[0].options).needed_columns if one not in columns]
    near = next((f"{one!r} to {close!r}" for one in lacking if (close := close_to(one, {*GIVEN, *columns}))), None)
    meant = f"rename the parameter {near}, or " if near else ""
    example = ", ".join(f'"{one}": ...' for one in lacking)
    return f'{meant}give each row the column: "columns": {{{example}}}'


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
        f"row-{case.line}" if file.remedy else f"row-at-line-{case.line}",
        "failed",
        given=f"{shown(case.completions[index])} for the reference {shown(case.reference)}{which}",
        expected=_spoken(case.expected[index]) + (f" ({case.note})" if case.note else ""),
        got=described(verdict) + parsed,
        note=file.remedy or f"{file.path.name}: mend the reward, or the row if the reward is right",
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
