"""What stands out in a run, and what does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lydite.report.findings import findings_of
from lydite.report.gallery import CompletionsDigest
from lydite.report.reader import read_run
from lydite.report.tallies import Tallies


def found(folder: Path) -> dict[str, str]:
    digest = CompletionsDigest(folder / "completions.jsonl")
    digest.update()
    return {one.title: one.text for one in findings_of(read_run(folder), digest.tallies)}


Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Makes a run folder out of columns: each figure's values, step by step."""

    def make(
        evals: Sequence[float] = (), summary: dict[str, Any] | None = None, n: int = 100, **columns: list[float]
    ) -> Path:
        (tmp_path / "config.toml").write_text("[train]\nmax_steps = 12\n")
        names = [name.replace("__", "/") for name in columns]
        rows = [
            {"step": step, **dict(zip(names, values, strict=True))}
            for step, values in enumerate(zip(*columns.values(), strict=True), 1)
        ]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        lines = [
            {"step": 4 * place, "metric": "accuracy", "value": value, "n": n, "answers": []}
            for place, value in enumerate(evals)
        ]
        (tmp_path / "evals.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
        if summary is not None:
            (tmp_path / "summary.json").write_text(json.dumps(summary))
        return tmp_path

    return make


def test_a_good_run_has_nothing_to_say(run: Run) -> None:
    rising = [0.1 * step for step in range(12)]
    steady = [0.3] * 12
    assert (
        found(run(reward=rising, reward_std=steady, frac_reward_zero_std=steady, entropy=steady, evals=[0.3, 0.5, 0.7]))
        == {}
    )


def test_errors_timeouts_and_skipped_samples_are_named_with_counts(finished_run: Path) -> None:
    text = found(finished_run)
    verdicts = [one["rewards"]["judge"]["status"] for one in read_run(finished_run).completions()]
    errors, timeouts = verdicts.count("error"), verdicts.count("timeout")
    assert text["Reward judge failed"].startswith(f"{errors} of 2,560 verdicts (")
    assert "most often ConnectionError" in text["Reward judge failed"]
    assert text["Reward judge ran out of time"].startswith(f"{timeouts} of 2,560")
    assert text["Some data was left out"].startswith("1 sample was skipped")
    assert "Reward correct failed" not in text


def test_the_worst_comes_first(finished_run: Path) -> None:
    digest = CompletionsDigest(finished_run / "completions.jsonl")
    digest.update()
    levels = [one.level for one in findings_of(read_run(finished_run), digest.tallies)]
    assert levels == sorted(levels, key=["bad", "watch", "note"].index)
    assert levels[0] == "bad"


def test_a_better_evaluation_before_the_last_is_named(run: Run) -> None:
    text = found(run(reward=[0.5] * 12, evals=[0.3, 0.8, 0.6]))["The best was earlier"]
    assert "80.0% at step 4 and is 60.0% now" in text


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("frac_reward_zero_std", "Most groups make no difference"),
        ("completions__clipped_ratio", "Completions are cut"),
        ("format__failed", "The format is not kept"),
    ],
)
def test_the_end_of_a_run_is_what_counts(run: Run, column: str, title: str) -> None:
    assert title in found(run(**{column: [0.0] * 9 + [0.9] * 3}))
    assert title not in found(run(**{column: [0.9] * 6 + [0.0] * 6}))


def test_lost_entropy_and_a_silent_reward_and_nan(run: Run) -> None:
    nan = float("nan")
    text = found(
        run(
            entropy=[1.0] * 11 + [0.01],
            rewards__dull__mean=[0.5] * 12,
            rewards__dull__std=[0.0] * 12,
            loss=[0.1] * 10 + [nan] * 2,
        )
    )
    assert "1 to 0.010 nats" in text["Little exploration is left"]
    assert text["A reward that never differs"].startswith("dull:")
    assert text["The optimisation broke down"].startswith("loss is not a finite number at 2 steps, first at step 11")


def test_how_a_run_ended_is_said(run: Run) -> None:
    assert "Stopped early" in found(run(reward=[0.1] * 3, summary={"stopped": "early_stop"}))
    assert (
        "reward errors" in found(run(reward=[0.1] * 3, summary={"stopped": "reward errors"}))["The run did not finish"]
    )
    assert found(run(reward=[0.1] * 3, summary={"stopped": "finished"})) == {}


def test_an_often_silent_judge_is_named(run: Run) -> None:
    tallies = Tallies()
    for place in range(10):
        tallies.add(
            {"rewards": {"judge": {"status": "abstain" if place < 3 else "ok", "score": None if place < 3 else 1.0}}}
        )
    titles = [one.title for one in findings_of(read_run(run(reward=[0.1])), tallies)]
    assert titles == ["Reward judge often cannot judge"]


def test_a_reward_that_pays_attacks_is_named_with_them(finished_run: Path) -> None:
    text = found(finished_run)["Reward correct can be fooled"]
    assert text.startswith("It passed 3 of 12 attacks: enumeration (3 of 4).")
    assert "Reward judge can be fooled" not in found(finished_run)
