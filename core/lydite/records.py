"""Scored completions as JSON lines: what `completions.jsonl` and `evals.jsonl` hold.

Nothing that differs between two runs of the same seed is written here, so that a resumed run's files can
be compared with those of a run that was never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from lydite.types import (
    Component,
    Divergence,
    Episode,
    EvalReport,
    Evidence,
    FormatError,
    Sample,
    Scored,
    ScoredCompletion,
    ScoredGroup,
    Verdict,
)


def completion_records(step: int, scored: Scored, left_out: Collection[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """One record for each completion of a step, in order.

    Those of the samples in `left_out` were not trained on, and say so: `"trained": false`.
    """
    for group in scored.groups:
        sample = group.prompt.sample
        columns = plain_columns(sample)
        for one in group.completions:
            yield {
                "step": step,
                "sample": sample.id,
                "index": one.completion.index,
                "prompt": group.prompt.text,
                "asked": sample.prompt,
                "reference": sample.reference,
                "columns": columns,
                **_said(one),
                "reward": one.reward,
                "advantage": one.advantage,
                **({"trained": False} if sample.id in left_out else {}),
                "rewards": {name: _component(component) for name, component in one.components.items()},
            }


def eval_record(report: EvalReport, divergence: Divergence | None = None) -> dict[str, Any]:
    """One held-out evaluation with every answer of it, and how the reward has parted from it, if it has."""
    return {
        "step": report.step,
        "metric": report.metric,
        "value": report.value,
        "n": report.n,
        "divergence": asdict(divergence) if divergence is not None else None,
        "answers": [_answer(group) for group in report.answers],
    }


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict in JSON terms, without the seconds it took."""
    return {
        "score": verdict.score,
        "status": verdict.status.value,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "parsed": verdict.parsed,
        "evidence": [_evidence(one) for one in verdict.evidence],
        "parts": {name: verdict_record(part) for name, part in verdict.parts.items()},
        "verifier": verdict.verifier,
        "version": verdict.version,
        "scope": verdict.scope,
    }


def plain_columns(sample: Sample) -> dict[str, Any]:
    """The sample's columns that have a form in JSON, so that other rewards can be asked later; the rest is left out."""
    plain = {}
    for name, value in sample.columns.items():
        try:
            plain[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            continue
    return plain


def _answer(group: ScoredGroup) -> dict[str, Any]:
    one = group.completions[0]
    verdict = next(iter(one.components.values())).verdict
    return {
        "sample": group.prompt.sample.id,
        "prompt": group.prompt.text,
        "reference": group.prompt.sample.reference,
        **_said(one),
        "score": verdict.score,
        "passed": verdict.passed,
        "status": verdict.status.value,
        "reason": verdict.reason,
    }


def _said(one: ScoredCompletion) -> dict[str, Any]:
    """The answer; of an episode, the model's last turn, and beside it the whole transcript."""
    parsed = one.completion.parsed
    reasoning, broken = ("", parsed.reason) if isinstance(parsed, FormatError) else (parsed.reasoning, None)
    return {
        "completion": one.generated.text,
        "tokens": one.completion.tokens,
        "finish_reason": one.generated.finish_reason,
        "answer": one.completion.answer,
        "reasoning": reasoning,
        "format_error": broken,
        **_played(one.completion.episode),
    }


def _played(episode: Episode | None) -> dict[str, Any]:
    if episode is None:
        return {}
    return {
        "turns": [dict(turn) for turn in episode.turns],
        "episode": {
            "reward": episode.reward,
            "rewards": list(episode.rewards),
            "ended": episode.ended,
            "error": episode.error,
        },
    }


def _component(component: Component) -> dict[str, Any]:
    return {**verdict_record(component.verdict), "value": component.value, "weight": component.weight}


def _evidence(evidence: Evidence) -> Mapping[str, Any]:
    return {"text": evidence.text, "start": evidence.start, "end": evidence.end, "note": evidence.note}
