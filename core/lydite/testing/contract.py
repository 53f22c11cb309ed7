"""Section `contract`: what must hold of every verdict that the check has heard, and of the reward's options."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lydite.errors import ConfigError
from lydite.records import verdict_record
from lydite.testing.results import Item, shown
from lydite.testing.subject import Subject
from lydite.testing.table import described
from lydite.types import Status, Verdict

NAMES: Final = (
    "range", "returns-judgements", "passed-agrees-with-score", "reason-codes", "declared-reasons", "json-round-trip",
    "unknown-option-refused",
)  # fmt: skip
LONGEST_CODE: Final = 60  # characters
MOST_CODES: Final = 60
_CODE: Final = re.compile(r"[a-z][a-z0-9_]*(?:[./-][A-Za-z0-9_]+)*")
_OURS: Final = ("format.", "raised.", "returned.", "column.", "worker.", "deadline", "none", "judge.")
_ABSENT: Final = "no_such_option_of_any_reward"


def check_contract(subject: Subject) -> tuple[Item, ...]:
    """One item for each rule, over every verdict so far."""
    heard = subject.heard
    return (
        _range(subject, heard),
        _returns(heard),
        _agreement(subject, heard),
        _codes(heard),
        _declared(subject, heard),
        _json(heard),
        _options(subject),
    )


def _range(subject: Subject, heard: Iterable[Verdict]) -> Item:
    if subject.range is None:
        return Item("range", "skipped", note="none is declared; say @lydite.reward(range=(low, high))")
    for verdict in heard:
        if verdict.reason == "returned.out_of_range":
            low, high = subject.range
            return Item(
                "range", "failed", expected=f"scores from {low:g} to {high:g}, as declared", got=described(verdict),
                note="clip the score, or declare the range that it has",
            )  # fmt: skip
    return Item("range", "ok")


def _returns(heard: Iterable[Verdict]) -> Item:
    for verdict in heard:
        if verdict.reason.startswith("returned.") and verdict.reason != "returned.out_of_range":
            return Item(
                "returns-judgements", "failed", expected="a finite number, a bool, a Verdict or None",
                got=described(verdict), note="return None, or Verdict.abstain(...), where there is nothing to say",
            )  # fmt: skip
    return Item("returns-judgements", "ok")


def _agreement(subject: Subject, heard: Iterable[Verdict]) -> Item:
    if subject.range is None or subject.pays_for == "penalty":
        return Item("passed-agrees-with-score", "skipped", note="there is no declared best score to compare with")
    low, high = subject.range
    for verdict in heard:
        if verdict.score is None:
            continue
        if (verdict.passed and verdict.score <= low) or (verdict.passed is False and verdict.score >= high):
            return Item(
                "passed-agrees-with-score", "failed",
                expected="what passes earns more than the worst, what fails less than the best", got=described(verdict),
                note="set `passed` from the same test that sets the score",
            )  # fmt: skip
    return Item("passed-agrees-with-score", "ok")


def _codes(heard: Iterable[Verdict]) -> Item:
    own = [one for one in heard if one.status in (Status.OK, Status.ABSTAIN, Status.ERROR) and not _is_ours(one.reason)]
    counted = Counter(one.reason for one in own)
    if set(counted) <= {""}:
        return Item("reason-codes", "skipped", note="it returns plain numbers; a Verdict can say why")
    remedy = (
        "a reason is a short code from a closed set, such as number.missing; details belong in `evidence` or `parsed`"
    )
    for reason in counted:
        if not reason:
            verdict = next(one for one in own if not one.reason)
            return Item(
                "reason-codes", "failed", expected="a reason with every verdict", got=described(verdict), note=remedy
            )
        if not _CODE.fullmatch(reason) or len(reason) > LONGEST_CODE:
            return Item("reason-codes", "failed", expected="a short code", got=shown(reason), note=remedy)
    if len(counted) > MOST_CODES:
        got = f"{len(counted)} different reasons"
        return Item("reason-codes", "failed", expected=f"at most {MOST_CODES}", got=got, note=remedy)
    return Item("reason-codes", "ok", note=f"{len(counted)} different")


def _declared(subject: Subject, heard: Iterable[Verdict]) -> Item:
    declared = _reasons_of(subject)
    if declared is None:
        return Item("declared-reasons", "skipped", note="its module has no REASONS to compare with")
    for verdict in heard:
        if verdict.reason and not _is_ours(verdict.reason) and verdict.reason not in declared:
            return Item(
                "declared-reasons", "failed", expected=f"one of {', '.join(sorted(declared))}",
                got=shown(verdict.reason),
                note="add the code to REASONS and to the README, or use one that is there",
            )  # fmt: skip
    return Item("declared-reasons", "ok")


def _reasons_of(subject: Subject) -> set[str] | None:
    """The closed set that the reward's module declares as REASONS, a collection, or a table of them by name."""
    module = sys.modules.get(getattr(subject.offer.thing, "__module__", "") or "")
    reasons: Any = getattr(module, "REASONS", None)
    if isinstance(reasons, Mapping):
        reasons = reasons.get(subject.name, reasons)
    if isinstance(reasons, str) or not isinstance(reasons, Iterable):
        return None
    return {str(one) for one in reasons}


def _json(heard: Iterable[Verdict]) -> Item:
    for verdict in heard:
        record = verdict_record(verdict)
        try:
            same = json.loads(json.dumps(record, allow_nan=False)) == record
        except (TypeError, ValueError) as error:
            return Item(
                "json-round-trip", "failed", expected="a verdict in plain types", got=f"{shown(record)}: {error}"
            )
        if not same:
            return Item("json-round-trip", "failed", expected="the same verdict from its JSON", got=shown(record))
    return Item("json-round-trip", "ok")


def _options(subject: Subject) -> Item:
    try:
        subject.binding({_ABSENT: 1})
    except ConfigError as error:
        if _ABSENT in str(error):
            return Item("unknown-option-refused", "ok")
        return Item("unknown-option-refused", "skipped", note=str(error))
    return Item(
        "unknown-option-refused", "failed", given=f"the option {_ABSENT}",
        expected="an error when the configuration is read", got="nothing",
        note="name every option as a keyword-only parameter, and take no **kwargs",
    )  # fmt: skip


def _is_ours(reason: str) -> bool:
    """Whether the code is lydite's own, given where the reward was not asked or did not answer."""
    return reason.startswith(_OURS)
