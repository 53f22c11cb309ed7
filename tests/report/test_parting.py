"""Reward up and held-out metric down: told in a live run and on the page alike."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lydite.report.charts import charts_of
from lydite.report.console import ConsoleDisplay
from lydite.report.findings import findings_of
from lydite.report.notebook import figure, progress_html
from lydite.report.overview import overview_of
from lydite.report.parting import divergence_of
from lydite.report.plain import PlainDisplay
from lydite.report.reader import read_run
from lydite.report.standing import Standing
from lydite.report.tallies import Tallies
from lydite.types import Divergence, EvalReport, RunInfo, StepReport

PARTED = Divergence(8, 0, "accuracy", 0.6, 0.2, 0.31, 0.87, 40, 2, 1e-9)
WARNING = (
    "warning: since step 0 the training reward rose from 0.31 to 0.87, while held-out accuracy fell from 0.6 to 0.2"
)


def run_folder(folder: Path, *parted: int, stopped: str | None = None) -> Path:
    """A run of 12 steps with evaluations at 0, 4, 8 and 12, of which those named had parted."""
    rows = [{"step": step, "reward": 0.05 * step} for step in range(1, 13)]
    evals = [
        {
            "step": step, "metric": "accuracy", "value": 0.6 - 0.03 * step, "n": 100, "answers": [],
            "divergence": dataclasses.asdict(PARTED) if step in parted else None,
        }
        for step in (0, 4, 8, 12)
    ]  # fmt: skip
    (folder / "config.toml").write_text("[train]\nmax_steps = 20\n")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "evals.jsonl").write_text("".join(json.dumps(one) + "\n" for one in evals))
    if stopped is not None:
        (folder / "summary.json").write_text(json.dumps({"stopped": stopped}))
    return folder


def found(folder: Path) -> dict[str, tuple[str, str]]:
    return {one.title: (one.level, one.text) for one in findings_of(read_run(folder), Tallies())}


def together(folder: Path) -> Any:
    return next(chart for chart in charts_of(read_run(folder)) if chart.id == "together")


def test_a_run_whose_curves_go_together_has_no_finding_and_no_cross(tmp_path: Path) -> None:
    run_folder(tmp_path)
    assert "Reward up, held-out down" not in found(tmp_path)
    assert [line["name"] for line in together(tmp_path).data] == ["training reward", "accuracy"]


def test_where_they_part_is_a_cross_on_the_chart_of_both_and_a_finding(tmp_path: Path) -> None:
    run_folder(tmp_path, 8, 12)
    level, text = found(tmp_path)["Reward up, held-out down"]
    assert level == "bad"
    assert text.startswith("Step 12: since step 0 the training reward rose from 0.31 to 0.87")
    chart = together(tmp_path)
    crosses = chart.data[-1]
    assert (crosses["name"], crosses["x"], crosses["yaxis"]) == ("parted", [8, 12], "y2")
    assert crosses["y"] == [pytest.approx(0.36), pytest.approx(0.24)]
    assert "crosses" in chart.hint
    assert "parted" in [trace.name for trace in figure(tmp_path).data]


def test_a_parting_that_went_by_is_milder_and_says_so(tmp_path: Path) -> None:
    level, text = found(run_folder(tmp_path, 8))["Reward up, held-out down"]
    assert level == "watch"
    assert "Later evaluations do not show it any more." in text


def test_a_run_that_it_ended_says_so(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, 12, stopped="divergence")
    assert "ended the run at step 12" in found(folder)["Stopped by the divergence"][1]
    assert "The run did not finish" not in found(folder)
    assert overview_of(read_run(folder)).status_text == "stopped: reward and held-out metric parted"


@pytest.mark.parametrize("damaged", [None, 3, {}, {"step": 1}])
def test_a_record_without_a_whole_divergence_has_none(damaged: Any) -> None:
    assert divergence_of({"divergence": damaged}) is None
    assert divergence_of({}) is None


def reports() -> list[StepReport]:
    """The first evaluation, and four steps: an evaluation at the second and the fourth, parted from then on."""
    return [
        StepReport(
            step, 9, {"reward": 0.1 * step} if step else {}, {}, None,
            EvalReport(step, "accuracy", 0.6 - 0.1 * step, 128, ()) if step in (0, 2, 4) else None,
            PARTED if step >= 2 else None,
        )
        for step in range(5)
    ]  # fmt: skip


def test_a_log_has_the_warning_in_a_line_of_its_own_at_each_evaluation() -> None:
    out = io.StringIO()
    display = PlainDisplay(out)
    display.lydite_start(run=RunInfo("run", "runs/run", 9, {}, {}))
    for report in reports():
        display.lydite_step(report=report)
    lines = out.getvalue().splitlines()
    assert sum(line.startswith(WARNING) for line in lines) == 2
    assert (
        lines.index(next(line for line in lines if line.startswith("step 2/9")))
        == lines.index(next(line for line in lines if line.startswith(WARNING))) - 1
    )
    assert not display.broken


def test_a_terminal_and_a_notebook_show_it_while_it_lasts() -> None:
    console = Console(file=io.StringIO(), width=300, force_terminal=True)
    display = ConsoleDisplay(console)
    standing = Standing()
    for told in (display.lydite_start, lambda run: standing.start(run)):
        told(run=RunInfo("run", "runs/run", 9, {}, {}))
    try:
        for report in reports():
            display.lydite_step(report=report)
            standing.add(report)
        assert WARNING in console.file.getvalue()  # type: ignore[attr-defined]
        assert "rose from 0.31 to 0.87" in progress_html(standing)
        honest = dataclasses.replace(reports()[4], step=5, divergence=None)
        standing.add(honest)
        assert "rose from" not in progress_html(standing)
    finally:
        display.close()


def test_a_resumed_run_shows_what_its_files_say(tmp_path: Path) -> None:
    standing = Standing()
    standing.start(RunInfo("run", str(run_folder(tmp_path, 8, 12)), 20, {}, {}, resumed_from=12))
    assert standing.warning is not None
    assert standing.warning.startswith(WARNING)
