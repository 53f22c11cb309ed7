"""A run on a terminal and in a log."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lydite.hookspecs import hookimpl
from lydite.plugins import load_plugins
from lydite.report.before_after import choose_pairs, pair_answers
from lydite.report.console import ConsoleDisplay, print_start_summary
from lydite.report.plain import PlainDisplay
from lydite.report.reader import read_run
from lydite.report.standing import Standing, sparkline
from lydite.types import EvalReport, RunInfo, RunResult, StepReport

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
CONFIG: dict[str, Any] = {
    "model": {"path": "package:smollm2"},
    "data": {"use": "arithmetic"},
    "rewards": {"correct": {"use": "text/number", "weight": 1.0}, "format": {"use": "text/tags", "weight": 0.2}},
    "eval": {"metric": "accuracy", "n": 100, "reward": {"use": "text/number"}},
    "train": {"num_generations": 8},
}


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def info(folder: Path, **more: Any) -> RunInfo:
    return RunInfo(
        **{"name": "arithmetic", "folder": str(folder), "max_steps": 40, "config": CONFIG, "manifest": {}, **more}
    )


def steps_of(folder: Path) -> list[StepReport]:
    """What a trainer would have told observers of this run."""
    run = read_run(folder)
    evals = {one["step"]: EvalReport(one["step"], "accuracy", one["value"], one["n"], ()) for one in run.evals}
    start = StepReport(0, 40, {}, {"memory/peak_bytes": 2e9}, None, evals[0])
    pairs = zip(run.metrics, run.timings, strict=True)
    return [start, *(StepReport(m["step"], 40, m, t, None, evals.get(m["step"])) for m, t in pairs)]


def play(display: Any, folder: Path, clock: Clock | None = None, *, finish: bool = True) -> None:
    display.lydite_start(info(folder))
    for report in steps_of(folder):
        if clock is not None:
            clock.seconds += 8.0
        display.lydite_step(report=report)
    if finish:
        display.lydite_finish(RunResult(str(folder), {}))


def recording(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=40, record=True, highlight=False)


def test_the_bar_and_the_table_move_with_the_run(finished_run: Path) -> None:
    clock = Clock()
    display = ConsoleDisplay(recording(), now=clock)
    display.lydite_start(info(finished_run))
    for report in steps_of(finished_run)[:24]:
        clock.seconds += 8.0
        display.lydite_step(report)
    picture = recording()
    picture.print(display._picture())
    display.close()
    text = picture.export_text()
    run = read_run(finished_run)
    assert text.count("━") > 30
    assert "step 23/40" in text
    assert "2:16 left" in text  # 17 steps of 8 s
    assert re.search(rf"accuracy +34\.0% +{run.evals[2]['value'] * 100:.1f}%", text)
    assert re.search(rf"reward +{run.metrics[0]['reward']:.3f} +{run.metrics[22]['reward']:.3f}", text)
    assert re.search(r"tokens/s +\d{3} +\d{3}", text)
    assert re.search(r"memory +2\.00 GB +2\.1\d GB", text)
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("width", [12, 30, 59, 80, 200])
def test_every_width_is_drawn_without_a_wrapped_line(finished_run: Path, width: int) -> None:
    display = ConsoleDisplay(recording(width))
    play(display, finished_run, finish=False)
    picture = recording(width)
    picture.print(display._picture())
    display.close()
    lines = [line for line in picture.export_text().splitlines() if line.strip()]
    assert display.broken is False
    assert len(lines) == 6
    assert max(len(line) for line in lines) <= width


def test_before_the_first_step_nothing_is_promised(finished_run: Path) -> None:
    display = ConsoleDisplay(recording())
    display.lydite_start(info(finished_run))
    picture = recording()
    picture.print(display._picture())
    display.close()
    text = picture.export_text()
    assert "first step" in text
    assert "step 0/40" in text


def test_the_end_shows_five_questions_the_metric_and_the_report(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    (folder / "report.html").write_text("")
    console = recording()
    play(ConsoleDisplay(console), folder)
    text = console.export_text()
    run = read_run(folder)
    table = text[text.index("held-out question ") :].splitlines()[1:6]
    assert all(re.match(r"What is \d+ \+ \d+\? +(right|wrong) \d+ +(right|wrong) \d+", line) for line in table)
    assert all(("wrong" in line) and ("right" in line) for line in table)  # those that changed come first
    assert f"accuracy 34.0% → {run.evals[-1]['value'] * 100:.1f}% (+" in text
    assert str(folder / "report.html") in text.replace("\n", "")


def test_questions_that_changed_come_first_for_better_or_worse() -> None:
    def answer(sample: str, right: bool) -> dict[str, Any]:
        return {"sample": sample, "prompt": sample, "answer": "1", "passed": right, "score": float(right)}

    before = {
        "answers": [answer("a", True), answer("b", True), answer("c", False), answer("d", False), answer("gone", True)]
    }
    after = {"answers": [answer("d", True), answer("c", False), answer("b", False), answer("a", True)]}
    pairs = pair_answers(before, after)
    assert [pair.sample for pair in pairs] == ["a", "b", "c", "d"]
    assert [pair.sample for pair in choose_pairs(pairs, 3)] == ["b", "d", "a"]


def test_answers_without_a_verdict_are_neither_right_nor_wrong() -> None:
    lines = {
        "answers": [
            {"sample": "a", "completion": "hm", "answer": None, "score": None, "passed": None, "status": "error"}
        ]
    }
    (pair,) = pair_answers(lines, lines)
    assert (pair.before.right, pair.before.text) == (None, "hm")
    graded = {"answers": [{"sample": "a", "completion": "hm", "answer": "h", "score": 0.7, "passed": None}]}
    assert pair_answers(graded, graded)[0].before.right is True


def test_a_start_summary_names_what_is_about_to_happen(finished_run: Path) -> None:
    console = recording()
    print_start_summary(info(finished_run, resumed_from=20), console)
    text = console.export_text()
    for part in (
        "arithmetic",
        "package:smollm2",
        "1 correct + 0.2 format",
        "accuracy by text/number on 100",
        "from step 20",
    ):
        assert part in text


def test_a_resumed_run_shows_the_first_figures_of_the_whole_run(finished_run: Path) -> None:
    standing = Standing(Clock())
    standing.start(info(finished_run, resumed_from=20))
    rows = {row.name: row for row in standing.rows()}
    assert rows["accuracy"].first == "34.0%"
    assert len(rows["accuracy"].course) == 3
    assert len(rows["reward"].course) == 20
    assert standing.left is None


def test_the_time_left_runs_down_between_steps_and_never_below_zero(finished_run: Path) -> None:
    clock = Clock()
    standing = Standing(clock)
    standing.start(info(finished_run))
    for step in (1, 2):
        clock.seconds += 10.0
        standing.add(StepReport(step, 40, {}, {}, None))
    assert standing.left == 380.0
    clock.seconds += 5.0
    assert standing.left == 375.0
    clock.seconds += 1e6
    assert standing.left == 0.0


def test_the_small_curve_has_its_height_from_the_lowest_to_the_highest() -> None:
    assert sparkline((0.0, 1.0), 10) == "▁█"
    assert sparkline((3.0, 3.0, 3.0), 10) == "▁▁▁"
    assert sparkline((1.0,), 10) == ""
    assert len(sparkline(tuple(map(float, range(1000))), 24)) == 24


def test_a_display_that_fails_says_so_once_and_the_run_goes_on(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError("nobody listens")

    display = PlainDisplay(Gone())
    play(display, finished_run)
    assert display.broken
    captured = capsys.readouterr()
    assert captured.err.count("the display stopped (BrokenPipeError: nobody listens); the run goes on") == 1


def test_a_finish_without_a_folder_does_not_raise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    display = ConsoleDisplay(recording())
    display.lydite_finish(RunResult(str(tmp_path / "gone"), {}))
    assert display.broken
    assert "the run goes on" in capsys.readouterr().err


def test_displays_are_observers_by_the_hooks_own_names(finished_run: Path) -> None:
    plugins = load_plugins(allow=())
    stream = io.StringIO()
    plugins.observe(PlainDisplay(stream), "display")
    told: list[int] = []

    class Second:
        @hookimpl
        def lydite_step(self, report: StepReport) -> None:
            told.append(report.step)

    plugins.observe(Second(), "second")
    plugins.hooks.lydite_start(run=info(finished_run))
    plugins.hooks.lydite_step(report=steps_of(finished_run)[1])
    plugins.hooks.lydite_finish(result=RunResult(str(finished_run), {}))
    assert told == [1]
    assert "step 1/40" in stream.getvalue()
    assert "held out accuracy" in stream.getvalue()


def test_a_log_has_a_line_every_few_steps_and_no_control_codes(finished_run: Path) -> None:
    stream = io.StringIO()
    play(PlainDisplay(stream, now=Clock()), finished_run)
    text = stream.getvalue()
    assert CONTROL.search(text) is None
    steps = [int(found) for found in re.findall(r"^step (\d+)/40", text, re.MULTILINE)]
    assert steps == [0, 1, *range(2, 41, 2)]
    assert text.count("before ") == 5
    line = next(line for line in text.splitlines() if line.startswith("step 10/40"))
    assert re.search(r"reward \d\.\d+  accuracy \d+\.\d%  tokens/s \d+  memory 2\.\d+ GB", line)


def test_control_codes_of_a_model_reach_neither_terminal_nor_log(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "codes"
    shutil.copytree(finished_run, folder)
    lines = [json.loads(line) for line in (folder / "evals.jsonl").read_text().splitlines()]
    for line in lines:
        for answer in line["answers"]:
            answer["answer"] = "\x1b]0;owned\x07\x1b[2J" + answer["answer"]
    (folder / "evals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    stream, console = io.StringIO(), recording()
    PlainDisplay(stream).lydite_finish(RunResult(str(folder), {}))
    ConsoleDisplay(console).lydite_finish(RunResult(str(folder), {}))
    assert "?]0;owned" in stream.getvalue()
    assert CONTROL.search(stream.getvalue()) is None
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "owned" in written
    assert "\x1b]0;" not in written
    assert "\x1b[2J" not in written


def test_a_log_in_a_poor_encoding_is_written_all_the_same(finished_run: Path) -> None:
    raw = io.BytesIO()
    display = PlainDisplay(io.TextIOWrapper(raw, encoding="ascii"))
    play(display, finished_run)
    assert not display.broken
    assert b"34.0% ? " in raw.getvalue()


SCRIPT = """
import sys, pathlib, importlib.util
spec = importlib.util.spec_from_file_location("told", sys.argv[1])
told = importlib.util.module_from_spec(spec); spec.loader.exec_module(told)
from lydite.report.display import choose_display
display = choose_display()
print(type(display).__name__)
told.play(display, pathlib.Path(sys.argv[2]))
assert not display.broken
"""


def on_a_terminal(folder: Path, columns: int, **environ: str) -> str:
    """What a real terminal of that width is sent."""
    command = [sys.executable, "-c", SCRIPT, __file__, str(folder)]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    settings = {**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environ}
    for name in ("COLUMNS", "LINES"):
        settings.pop(name, None)
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=settings) as process:
        os.close(theirs)
        sent = b""
        while True:
            ready, _, _ = select.select([ours], [], [], 30.0)
            try:
                piece = os.read(ours, 65536) if ready else b""
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                break
            sent += piece
    os.close(ours)
    assert process.returncode == 0, sent.decode("utf-8", "replace")[-2000:]
    return sent.decode("utf-8")


def test_a_real_terminal_of_80_columns(finished_run: Path) -> None:
    sent = on_a_terminal(finished_run, 80)
    assert sent.startswith("ConsoleDisplay")
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")  # the cursor is back
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)
    # One frame ends where the next begins; none of their lines is wider than the terminal.
    frames = [
        line
        for line in re.split(r"[\r\n]+", shown)
        if line.startswith(("step ", "reward", "accuracy", "tokens/s", "memory"))
    ]
    assert len(frames) >= 5 * 40
    assert max(len(line.rstrip()) for line in frames) <= 80
    assert "step 40/40" in shown
    assert "held out accuracy" in shown


def test_a_dumb_terminal_and_a_pipe_get_plain_lines(finished_run: Path) -> None:
    assert on_a_terminal(finished_run, 80, TERM="dumb").startswith("PlainDisplay")
    command = [sys.executable, "-c", SCRIPT, __file__, str(finished_run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("PlainDisplay")
    assert CONTROL.search(done.stdout) is None


def test_closing_twice_or_before_the_start_is_fine(finished_run: Path) -> None:
    makers: list[Callable[[], Any]] = [lambda: ConsoleDisplay(recording()), PlainDisplay]
    for make in makers:
        display = make()
        display.close()
        display.lydite_start(info(finished_run))
        display.close()
        display.close()
        assert not display.broken
