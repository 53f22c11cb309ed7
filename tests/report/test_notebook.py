"""A run in a notebook, as HTML that updates in place."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lydite.errors import ConfigError, MissingExtraError
from lydite.report.display import choose_display, in_notebook
from lydite.report.notebook import NotebookDisplay, figure, result_html
from lydite.report.reader import read_run
from lydite.types import EvalReport, RunInfo, RunResult, StepReport


class Shown:
    """A cell's output, with everything it showed."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def __call__(self, html: str) -> Shown:
        self.pages.append(html)
        return self

    def update(self, html: str) -> None:
        self.pages.append(html)


def info(folder: Path) -> RunInfo:
    return RunInfo("<arith>", str(folder), 40, {}, {})


def test_progress_updates_in_place_and_ends_as_a_card(finished_run: Path) -> None:
    shown = Shown()
    display = NotebookDisplay(shown, now=lambda: 0.0)
    display.lydite_start(info(finished_run))
    run = read_run(finished_run)
    evaluation = EvalReport(10, "accuracy", 0.5, 100, ())
    display.lydite_step(report=StepReport(10, 40, run.metrics[9], run.timings[9], None, evaluation))
    display.lydite_finish(RunResult(str(finished_run), {}))
    start, step, card = shown.pages
    assert 'value="0.0000"' in start
    assert 'value="0.2500"' in step
    assert "step 10 of 40" in step
    assert "&lt;arith&gt;" in step
    assert "<arith>" not in step
    assert f"{run.metrics[9]['reward']:.3f}" in step
    assert "50.0%" in step
    assert "What is" in card
    assert not display.broken


def test_a_card_shows_figures_and_five_questions(finished_run: Path) -> None:
    card = result_html(finished_run)
    run = read_run(finished_run)
    assert f"34.0% → {run.evals[-1]['value'] * 100:.1f}%" in card
    assert card.count("What is") == 5
    assert "40 of 40" in card


def test_a_card_takes_answers_as_text(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "attack"
    shutil.copytree(finished_run, folder)
    lines = [json.loads(line) for line in (folder / "evals.jsonl").read_text().splitlines()]
    for line in lines:
        for answer in line["answers"]:
            answer["answer"] = "<img src=x onerror=alert(1)>"
            answer["prompt"] = "<script>alert(1)</script>"
    (folder / "evals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    card = result_html(folder)
    assert "<img" not in card
    assert "<script" not in card
    assert "&lt;script&gt;" in card


def test_a_card_of_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run folder"):
        result_html(tmp_path)


def test_without_plotly_the_extra_is_named(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.subplots", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lydite\[report\]"'):
        figure(finished_run)


def test_a_notebook_is_known_by_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    shells = {"none": None, "terminal": SimpleNamespace(), "notebook": SimpleNamespace(kernel=object())}
    for name, shell in shells.items():
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert in_notebook() is (name == "notebook")
        assert isinstance(choose_display({}), NotebookDisplay) is (name == "notebook")
    monkeypatch.delitem(sys.modules, "IPython")
    assert in_notebook() is False


def test_ipython_gets_one_output_that_is_updated(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython itself is imported here, and shows into a recording publisher instead of a front end."""
    pytest.importorskip("IPython", reason="IPython is not installed")
    from IPython.core.interactiveshell import InteractiveShell

    sent: list[tuple[bool, str]] = []
    shell = InteractiveShell.instance()
    try:
        monkeypatch.setattr(
            shell.display_pub,
            "publish",
            lambda data, metadata=None, *, transient=None, update=False, **rest: sent.append(
                (update, data["text/html"])
            ),
        )
        monkeypatch.setattr(InteractiveShell, "initialized", classmethod(lambda cls: True))
        display = NotebookDisplay()
        display.lydite_start(info(finished_run))
        display.lydite_step(report=StepReport(10, 40, {"reward": 0.5}, {}, None))
        assert not display.broken
    finally:
        InteractiveShell.clear_instance()
    assert [update for update, _ in sent] == [False, True]
    assert "step 10 of 40" in sent[1][1]
