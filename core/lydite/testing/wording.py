"""A report in lines of text, for the command line and for the message of a failed test."""

from __future__ import annotations

from collections.abc import Iterator

from lydite.testing.results import CheckReport, Item, Section

ORDER = ("failed", "allowed", "skipped", "ok")


def summary_line(section: Section) -> str:
    """How the items of a section ended: `attacks      38 ok, 2 allowed`."""
    parts = [f"{section.count(status)} {status}" for status in ("ok", "failed", "allowed", "skipped")
             if section.count(status)]  # fmt: skip
    return f"{section.name:<12} {', '.join(parts) or 'nothing to look at'}"


def explained(report: CheckReport, *, verbose: bool = False) -> Iterator[str]:
    """The head, a line for each section, and every item that is not simply ok, with what to do."""
    paid = {"answer": "pays for the answer", "form": "pays for the form", "penalty": "only takes"}[report.pays_for]
    yield f"{report.reward} ({report.owner}), {paid}"
    for section in report.sections:
        yield f"  {summary_line(section)}"
        for item in section.items:
            if item.status in ("failed", "allowed") or verbose or (section.name == "speed" and item.note):
                yield from (f"    {line}" for line in item_lines(item))
    bad = sum(1 for _ in report.failures())
    verdict = "passes" if report.ok else f"fails: {bad} {'thing is' if bad == 1 else 'things are'} wrong"
    yield f"  {report.reward} {verdict} ({report.seconds:.1f} s)"


def item_lines(item: Item) -> Iterator[str]:
    """One item: its name and end, and for a failure what was given, expected and got, and what to do."""
    if item.status == "failed":
        yield f"FAILED {item.name}"
        for label, text in (("given", item.given), ("expected", item.expected), ("got", item.got)):
            if text:
                yield f"  {label}: {text}"
        if item.note:
            yield f"  what to do: {item.note}"
    elif item.status == "allowed":
        yield f"allowed by the author: {item.name}: {item.note}"
    elif item.status == "skipped":
        yield f"skipped {item.name}: {item.note}"
    else:
        yield f"{item.name}: {item.note}" if item.note else f"ok {item.name}"
