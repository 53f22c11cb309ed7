"""What the page answers first: did it learn, is it honest, where did the time go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lydite.report.answers import Answered, answers_of
from lydite.report.reader import read_run

CONFIG = """
[rewards.correct]
use = "text/number"
[eval.reward]
use = "{judge}"
"""
PARTED = {
    "step": 4, "best_step": 0, "metric": "accuracy", "best": 0.5, "value": 0.2, "reward_then": 0.1, "reward_now": 0.9,
    "worse": 9, "better": 0, "chance": 0.002,
}  # fmt: skip


def evaluation(step: int, right: Sequence[int], of: int = 20, **more: Any) -> dict[str, Any]:
    """Of `of` questions, those whose numbers are in `right` answered rightly."""
    answers = [{"sample": str(n), "prompt": "?", "score": float(n in right)} for n in range(of)]
    return {"step": step, "metric": "accuracy", "value": len(right) / of, "n": of, "answers": answers, **more}


def answers(
    folder: Path,
    evals: Sequence[Mapping[str, Any]] = (),
    timings: Sequence[Mapping[str, Any]] = (),
    probes: Sequence[Mapping[str, Any]] = (),
    judge: str = "text/exact",
) -> list[Answered]:
    (folder / "config.toml").write_text(CONFIG.format(judge=judge))
    for name, records in (("evals", evals), ("timings", timings), ("probes", probes)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return list(answers_of(read_run(folder)))


@pytest.mark.parametrize(
    ("before", "after", "verdict", "text"),
    [
        (range(2), range(12), "good", "10 of the answers got better and 0 got worse, which chance would hardly do"),
        (range(12), range(2), "bad", "0 of the answers got better and 10 got worse, which chance would hardly do"),
        (range(2), range(4), "open", "2 of the answers got better and 0 got worse, which may be chance"),
        (range(10), range(10, 20), "open", "10 of the answers got better and 10 got worse, which may be chance"),
    ],
)
def test_learning_is_shown_by_the_questions_that_changed(
    tmp_path: Path, before: range, after: range, verdict: str, text: str
) -> None:
    learned = answers(tmp_path, [evaluation(0, before), evaluation(4, after)])[0]
    assert (learned.question, learned.verdict) == ("Did it learn?", verdict)
    assert text in learned.text


def test_without_held_out_questions_nobody_can_tell(tmp_path: Path) -> None:
    found = answers(tmp_path)
    assert [(one.verdict, one.short) for one in found] == [("open", "Nobody can tell")] * 2
    assert answers(tmp_path, [evaluation(0, range(3))])[0].short == "Not known yet"


def test_honest_is_what_neither_parted_nor_paid_for_an_attack(tmp_path: Path) -> None:
    evals = [evaluation(0, range(2)), evaluation(4, range(12))]
    attack = {"step": 4, "attack": "tags-only", "text": "<a>", "about": ["correct"], "rewards": {"correct": {}}}

    def honest(**more: Any) -> Answered:
        return answers(tmp_path, **{"evals": evals, **more})[1]

    assert honest().verdict == "good"
    assert honest(probes=[{**attack, "paid": []}]).verdict == "good"
    fooled = honest(probes=[{**attack, "paid": ["correct"]}])
    assert fooled.verdict == "watch"
    assert "were paid by correct" in fooled.text
    parted = evaluation(4, range(4), divergence=PARTED)
    assert honest(evals=[evals[0], parted]).verdict == "bad"
    assert honest(evals=[evals[0], parted, evaluation(8, range(12))]).verdict == "watch"


def test_one_verifier_on_both_sides_is_said(tmp_path: Path) -> None:
    evals = [evaluation(0, range(2)), evaluation(4, range(12))]
    assert "Both are judged by text/number, though" in answers(tmp_path, evals, judge="text/number")[1].text
    assert "Both are judged" not in answers(tmp_path, evals)[1].text


def test_the_time_goes_where_most_of_it_went(tmp_path: Path) -> None:
    slow = {"time/generate": 1.0, "time/score": 7.0, "time/train": 2.0, "time/probe": 0.01}
    timings = [{"step": n, **slow, "rewards/judge/seconds_max": 3.5, "rewards/fast/seconds_max": 0.1} for n in (1, 2)]
    time = answers(tmp_path, timings=timings)[2]
    assert time.short == "Judging"
    assert time.text == (
        "Judging 69.9%, training 20.0%, sampling 10.0%; 10 s a step; the longest verdict was one of judge, 3.500 s."
    )
