"""Section `security`: the source of the reward, read for what must not stand there."""

from __future__ import annotations

from typing import Final

from lydite.testing.results import Item
from lydite.testing.scan import RULES, Finding, scan, source_files
from lydite.testing.subject import Subject

NAMES: Final = tuple(RULES)
MOST_SHOWN: Final = 5


def check_security(subject: Subject) -> tuple[Item, ...]:
    """One item for each rule, with file and line of what breaks it."""
    files = source_files(subject.offer.thing)
    if not files:
        return tuple(Item(rule, "skipped", note="its source cannot be read") for rule in RULES)
    findings: list[Finding] = []
    for file in files:
        try:
            findings += scan(file)
        except (SyntaxError, UnicodeDecodeError):
            continue  # it was imported, so it is no Python source but, say, a compiled module's stub
    return tuple(_item(rule, [one for one in findings if one.rule == rule], len(files)) for rule in RULES)


def _item(rule: str, found: list[Finding], files: int) -> Item:
    if not found:
        return Item(rule, "ok", note=f"{files} files read")
    shown = "; ".join(str(one) for one in found[:MOST_SHOWN])
    more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return Item(rule, "failed", expected="nothing of the kind", got=shown + more, note=RULES[rule])
