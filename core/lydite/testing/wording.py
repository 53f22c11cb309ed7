"""A report in lines of text, for the command line and for the message of a failed test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lydite.testing.results import CheckReport, Item, Section
from lydite.testing.table import ROOTS, SIZES

ORDER = ("failed", "allowed", "skipped", "ok")


def summary_line(section: Section) -> str:
    """How the items of a section ended: `attacks      38 ok, 2 allowed`."""
    parts = [f"{section.count(status)} {status}" for status in ("ok", "failed", "allowed", "skipped")
             if section.count(status)]  # fmt: skip
    return f"{section.name:<12} {', '.join(parts) or 'nothing to look at'}"


def explained(report: CheckReport, *, verbose: bool = False) -> Iterator[str]:
    """The head, a line for each section, and every item that is not simply ok, with what to do.

    Failures of a section that differ in nothing but what was given share the rest. Where the reward is wrong as a
    whole, only that is said, unless `verbose`.
    """
    paid = {"answer": "pays for the answer", "form": "pays for the form", "penalty": "only takes"}[report.pays_for]
    yield f"{report.reward} ({report.owner}), {paid}"
    shown = {name for _, item in report.failures() if item.name in ROOTS and not verbose for name in (*ROOTS, *SIZES)}
    left_out = 0
    for section in report.sections:
        yield f"  {summary_line(section)}"
        every = [one for one in section.items if one.status == "failed"]
        failed = [one for one in every if not shown or one.name in shown]
        left_out += len(every) - len(failed)
        yield from (f"    {line}" for line in _failure_lines(failed))
        for item in section.items:
            if item.status == "allowed" or (verbose and item.status in ("skipped", "ok")) or _is_figure(section, item):
                yield from (f"    {line}" for line in item_lines(item))
    bad = sum(1 for _ in report.failures())
    if left_out:
        which = "1 more failure" if left_out == 1 else f"{left_out} more failures"
        yield f"  {which}, which may come of that; --verbose lists all"
    verdict = "passes" if report.ok else f"fails: {bad} {'thing is' if bad == 1 else 'things are'} wrong"
    yield f"  {report.reward} {verdict} ({report.seconds:.1f} s)"


def _is_figure(section: Section, item: Item) -> bool:
    return section.name == "speed" and item.status == "ok" and bool(item.note)


def _failure_lines(failed: Iterable[Item]) -> Iterator[str]:
    alike: dict[tuple[str, str, str], list[Item]] = {}
    for item in failed:
        alike.setdefault((item.expected, item.got, item.note), []).append(item)
    for (expected, got, note), items in alike.items():
        every = {1: "", 2: "both "}.get(len(items), f"all {len(items)} ")
        for item in items:
            yield f"FAILED {item.name}"
            if item.given:
                yield f"  given: {item.given}"
        for label, text in ((f"{every}expected", expected), (f"{every}got", got), ("what to do", note)):
            if text:
                yield f"  {label}: {text}"


def item_lines(item: Item) -> Iterator[str]:
    """One item: its name and end, and for a failure what was given, expected and got, and what to do."""
    if item.status == "failed":
        yield from _failure_lines([item])
    elif item.status == "allowed":
        yield f"allowed by the author: {item.name}: {item.note}"
    elif item.status == "skipped":
        yield f"skipped {item.name}: {item.note}"
    else:
        yield f"{item.name}: {item.note}" if item.note else f"ok {item.name}"
