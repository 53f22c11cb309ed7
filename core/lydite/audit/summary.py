"""The figures of an audit, as data that goes into a file.

TPR is the share of rows that should pass and do, FPR of those that should not and do, J = TPR - FPR. A row that
the verifier abstains on counts in neither, only in `abstain`; a timeout or an error counts as refused, since a
run pays nothing for it either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from lydite.audit.ask import Asked, Judgement
from lydite.audit.rates import Interval, Rate, difference_interval, quantile
from lydite.rewards.verdicts import explain
from lydite.types import Status

DECIMALS: Final = 4
_WORDS: Final[Mapping[bool | None, str]] = {True: "pass", False: "fail", None: "abstain"}


def summarize(asked: Asked, *, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that an audit says of one verifier, in JSON terms; see the module for how rates are counted."""
    judged, binding = asked.judgements, asked.binding
    tpr, fpr = _rates(judged)
    seconds = [one.seconds for one in judged if one.seconds is not None]
    status = Counter(one.verdict.status for one in judged)
    abstained = [one for one in judged if one.accepted is None]
    wrong = [one for one in judged if one.accepted is not None and one.accepted != one.row.expected]
    return {
        "name": binding.offer.name,
        "version": binding.offer.owner.version,
        "distribution": binding.offer.owner.distribution,
        "options": dict(options or {}),
        "n": len(judged),
        "positives": sum(one.row.expected for one in judged),
        "negatives": sum(not one.row.expected for one in judged),
        "tpr": _rounded(tpr.value),
        "fpr": _rounded(fpr.value),
        "j": _rounded(_j(tpr, fpr)),
        "tpr_interval": _span(tpr.interval),
        "fpr_interval": _span(fpr.interval),
        "j_interval": _span(difference_interval(tpr, fpr)),
        "abstain": _rounded(len(abstained) / len(judged)),
        "abstained": len(abstained),
        "errors": status[Status.ERROR],
        "timeouts": status[Status.TIMEOUT],
        "p50_ms": _milliseconds(quantile(seconds, 0.5)),
        "p99_ms": _milliseconds(quantile(seconds, 0.99)),
        "max_ms": _milliseconds(max(seconds, default=None)),
        "reasons": dict(Counter(one.verdict.reason or "(none)" for one in judged).most_common()),
        "by_category": _by_category(judged),
        "false_positives": [_record(one) for one in wrong if one.accepted],
        "false_negatives": [_record(one) for one in wrong if not one.accepted],
        "abstentions": [_record(one) for one in abstained],
        "failures": [_record(one) for one in judged if one.verdict.status in (Status.ERROR, Status.TIMEOUT)],
    }


def disagreement(asked: Asked, other: Asked) -> dict[str, Any]:
    """Where two verifiers part: how often each pair of answers was given, by label, and the rows where they differ."""
    pairs = list(zip(asked.judgements, other.judgements, strict=True))
    counts = Counter((one.row.expected, one.accepted, two.accepted) for one, two in pairs)
    differing = [(one, two) for one, two in pairs if one.accepted != two.accepted]
    tpr, fpr = _rates(other.judgements)
    return {
        "name": other.binding.offer.name,
        "version": other.binding.offer.owner.version,
        "distribution": other.binding.offer.owner.distribution,
        "tpr": _rounded(tpr.value),
        "fpr": _rounded(fpr.value),
        "j": _rounded(_j(tpr, fpr)),
        "differ": len(differing),
        "table": [
            {"expected": _WORDS[expected], "first": _WORDS[one], "second": _WORDS[two], "n": n}
            for (expected, one, two), n in sorted(counts.items(), key=lambda item: -item[1])
        ],
        "rows": [
            {
                **_row(one),
                "first": {"said": _WORDS[one.accepted], "reason": one.verdict.reason},
                "second": {"said": _WORDS[two.accepted], "reason": two.verdict.reason},
            }
            for one, two in differing
        ],
    }


def _rates(judged: Iterable[Judgement]) -> tuple[Rate, Rate]:
    """TPR and FPR over the rows that were judged."""
    counts = Counter((one.row.expected, one.accepted) for one in judged if one.accepted is not None)
    yes, no = ((counts[expected, True], counts[expected, False]) for expected in (True, False))
    return Rate(yes[0], sum(yes)), Rate(no[0], sum(no))


def _by_category(judged: Sequence[Judgement]) -> list[dict[str, Any]]:
    """The figures of each category, those with most wrong verdicts first."""
    names = dict.fromkeys(name for one in judged for name in one.row.categories)
    table = []
    for name in names:
        own = [one for one in judged if name in one.row.categories]
        tpr, fpr = _rates(own)
        table.append(
            {
                "category": name,
                "n": len(own),
                "tpr": _rounded(tpr.value),
                "fpr": _rounded(fpr.value),
                "false_negatives": tpr.n - tpr.hits,
                "false_positives": fpr.hits,
                "abstained": sum(one.accepted is None for one in own),
            }
        )
    return sorted(table, key=lambda one: -(one["false_negatives"] + one["false_positives"]))


def _row(one: Judgement) -> dict[str, Any]:
    gold, pred, row = one.row.sample.reference, one.row.pred, one.row
    return {
        "line": row.line,
        "gold": gold,
        "pred": pred,
        "expected": row.expected,
        "category": ", ".join(row.categories),
    }


def _record(one: Judgement) -> dict[str, Any]:
    verdict = one.verdict
    return {
        **_row(one),
        "status": verdict.status.value,
        "score": verdict.score,
        "reason": verdict.reason,
        "parsed": verdict.parsed,
        **({"detail": explain(verdict)} if verdict.status is Status.ERROR else {}),
    }


def _j(tpr: Rate, fpr: Rate) -> float | None:
    return None if tpr.value is None or fpr.value is None else tpr.value - fpr.value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _span(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(one, DECIMALS) for one in interval]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)
