"""Reward up and held-out metric down: told in a live run and on the page alike."""

from __future__ import annotations

import io

import pytest

from lydite.report.parting import parting_of
from lydite.report.plain import PlainDisplay
from lydite.types import EvalReport, RunInfo, StepReport

RISING = [0.1 * step for step in range(1, 10)]
SPREAD = [0.2] * 9


def test_it_is_none_while_both_rise() -> None:
    assert parting_of(RISING, SPREAD, [0.3, 0.6], 128, "accuracy") is None


def test_a_fall_beyond_chance_beside_a_rise_is_told_with_its_figures() -> None:
    parted = parting_of(RISING, SPREAD, [0.6, 0.3], 128, "accuracy")
    assert parted is not None
    assert parted.rise == pytest.approx(0.6)
    assert "accuracy fell from 60.0% to 30.0%" in str(parted)


@pytest.mark.parametrize(
    ("rewards", "heldout", "n"),
    [
        (RISING, [0.6, 0.58], 128),  # within one standard error of a share of 128
        ([0.5] * 9, [0.6, 0.3], 128),  # no rise
        (RISING[::-1], [0.6, 0.3], 128),  # a fall of both
        (RISING, [0.6], 128),  # one evaluation
        (RISING[:2], [0.6, 0.3], 128),  # two steps
        (RISING, [0.6, 0.3], 2),  # two questions say little
    ],
)
def test_chance_is_no_parting(rewards: list[float], heldout: list[float], n: int) -> None:
    assert parting_of(rewards, SPREAD, heldout, n, "accuracy") is None


def test_a_live_run_warns_in_a_line_of_its_own() -> None:
    out = io.StringIO()
    display = PlainDisplay(out)
    display.lydite_start(run=RunInfo("run", "runs/run", 9, {}, {}))
    display.lydite_step(report=StepReport(0, 9, {}, {}, None, EvalReport(0, "accuracy", 0.6, 128, ())))
    for step, reward in enumerate(RISING, 1):
        heldout = EvalReport(step, "accuracy", 0.2, 128, ()) if step == 9 else None
        display.lydite_step(report=StepReport(step, 9, {"reward": reward, "reward_std": 0.2}, {}, None, heldout))
    warnings = [line for line in out.getvalue().splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1
    assert "held-out accuracy fell from 60.0% to 20.0%" in warnings[0]
    assert not display.broken
