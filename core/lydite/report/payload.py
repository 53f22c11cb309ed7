"""Everything that the page shows, as one JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from lydite.report.answers import answers_of
from lydite.report.before_after import Answer, Pair, pair_answers
from lydite.report.charts import charts_of
from lydite.report.curves import stride_of
from lydite.report.findings import findings_of
from lydite.report.gallery import CompletionsDigest, to_page_json
from lydite.report.overview import overview_of
from lydite.report.probing import Probed, probed_of
from lydite.report.reader import RunData
from lydite.report.tallies import Tally, judging_seconds
from lydite.report.wording import is_number, is_share, metric_text, shorten, shorten_front

_REASONS: Final = 10  # bars that a reader takes in at once
_HELDOUT_BUDGET: Final = 1_500_000  # characters of held-out answers in one page
_HELDOUT_TEXT: Final = 4_000  # characters of one held-out answer
_QUESTION_WIDTH: Final = 300
_SKIPPED: Final = 50  # lines; the file has the rest


def payload_of(run: RunData, digest: CompletionsDigest, *, version: int = 0, live: bool = False) -> str:
    """The page's data as JSON text; `version` counts up while a run is followed."""
    if digest.damaged:
        problem = f"completions.jsonl: {digest.damaged} lines cannot be read and are left out"
        run = replace(run, problems=(*run.problems, problem))
    stride = stride_of(run.metrics)
    head = {
        "version": version,
        "live": live,
        "overview": asdict(overview_of(run, live=live)),
        "answers": [asdict(one) for one in answers_of(run)],
        "findings": [asdict(one) for one in findings_of(run, digest.tallies)],
        "charts": [asdict(one) for one in charts_of(run)],
        "thinned": stride if stride > 1 else None,
        "verifiers": [_verifier(run, tally) for tally in digest.tallies.by_name.values()],
        "probes": [_probed(one) for one in probed_of(run.probes)],
        "judges": _judges(run),
        "heldout": _heldout(run),
        "skipped": {
            "rows": [_skipped(one) for one in run.skipped[:_SKIPPED]],
            "more": max(0, len(run.skipped) - _SKIPPED),
        },
        "config": run.config_text,
    }
    return f'{to_page_json(head)[:-1]},"completions":{digest.gallery().to_json()}}}'


def _verifier(run: RunData, tally: Tally) -> dict[str, Any]:
    mean, longest = judging_seconds(tally.name, run.timings)
    common = tally.reasons.most_common(_REASONS)
    return {
        "name": tally.name,
        "verifier": tally.verifier,
        "version": tally.version,
        "n": tally.n,
        "mean": tally.mean,
        "low": tally.low,
        "high": tally.high,
        "passed": tally.passed / tally.judged if tally.judged else None,
        "statuses": dict(tally.statuses),
        "reasons": [[status, reason, n] for (status, reason), n in common],
        "more_reasons": len(tally.reasons) - len(common),
        "seconds_mean": mean,
        "seconds_max": longest,
    }


def _probed(one: Probed) -> dict[str, Any]:
    return {
        "reward": one.reward,
        "kind": one.kind,
        "tried": one.tried,
        "passed": one.passed,
        "rounds": len(one.rounds),
        "attacks": len(one.by_attack),
        "taken": [asdict(taken) for taken in one.taken[:_REASONS]],
        "more": max(0, len(one.taken) - _REASONS),
    }


def _judges(run: RunData) -> list[list[str]]:
    """Each judge with what it was asked, what came back, and what it cost."""
    accounts = (run.judges or {}).get("judges")
    rows = []
    for name, one in accounts.items() if isinstance(accounts, Mapping) else ():
        counts = {key: value for key, value in one.items() if is_number(value)} if isinstance(one, Mapping) else {}
        words = [f"{counts.get('requests', 0):,.0f} requests", f"{counts.get('replies', 0):,.0f} replies"]
        words += [f"{counts[key]:,.0f} {key}" for key in ("failed", "refused") if counts.get(key)]
        words += [f"{counts.get('prompt_tokens', 0) + counts.get('completion_tokens', 0):,.0f} tokens"]
        words += [f"cost {counts['cost']:.4g}"] if counts.get("cost") else []
        rows.append([str(name), ", ".join(words)])
    return rows


def _heldout(run: RunData) -> dict[str, Any] | None:
    """The first evaluation beside the best and the last one; None until there are two."""
    first, best, last = run.first_eval, run.best_eval, run.last_eval
    if first is None or best is None or last is None or first is last:
        return None
    share = is_share(one["value"] for one in run.evals)
    later = [("last", last)] if best is last or best is first else [("best", best), ("last", last)]
    compared = [pair_answers(first, one) for _, one in later]
    kept = _fitting(compared)
    if not kept:
        return None
    return {
        "questions": [
            {"question": shorten_front(one.question, _QUESTION_WIDTH), "reference": one.reference} for one in kept[0]
        ],
        "first": {"step": first["step"], "answers": [_answer(pair.before) for pair in kept[0]]},
        "later": [
            {
                "label": f"{word}: step {one['step']} ({metric_text(one['value'], share=share)})",
                "step": one["step"],
                "answers": [_answer(pair.after) for pair in pairs],
            }
            for (word, one), pairs in zip(later, kept, strict=True)
        ],
        "left_out": len(compared[0]) - len(kept[0]),
    }


def _fitting(compared: list[tuple[Pair, ...]]) -> list[tuple[Pair, ...]]:
    """The questions that all comparisons have, as many of them as fit into the page."""
    shared = set.intersection(*({pair.sample for pair in pairs} for pairs in compared))
    kept, size = 0, 0
    compared = [tuple(pair for pair in pairs if pair.sample in shared) for pairs in compared]
    for row in zip(*compared, strict=True):
        size += min(len(row[0].before.completion), _HELDOUT_TEXT)
        size += sum(min(len(pair.after.completion), _HELDOUT_TEXT) for pair in row)
        if kept and size > _HELDOUT_BUDGET:
            break
        kept += 1
    return [pairs[:kept] for pairs in compared] if kept else []


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "text": shorten(answer.text, _HELDOUT_TEXT),
        "completion": shorten(answer.completion, _HELDOUT_TEXT),
        "right": answer.right,
        "reason": answer.reason,
    }


def _skipped(record: Mapping[str, Any]) -> dict[str, str]:
    return {"sample": str(record.get("sample", "")), "reason": str(record.get("reason", ""))}
