"""Reading run folders: whole, growing, and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lydite.errors import ConfigError
from lydite.report import read_run
from lydite.report.reader import read_lines


def test_a_finished_run_is_read_whole(finished_run: Path) -> None:
    run = read_run(finished_run)
    assert (run.name, run.steps, run.max_steps) == ("arithmetic", 40, 40)
    assert len(run.metrics) == len(run.timings) == 40
    assert [one["step"] for one in run.evals] == [0, 10, 20, 30, 40]
    assert len(run.skipped) == 1
    assert run.summary is not None
    assert run.summary["stopped"] == "finished"
    assert run.config["rewards"]["judge"]["weight"] == 0.3
    assert sum(1 for _ in run.completions()) == 40 * 64
    assert run.problems == ()


def test_best_is_the_first_of_the_highest(finished_run: Path) -> None:
    run = read_run(finished_run)
    assert run.first_eval is not None
    assert run.last_eval is not None
    assert run.best_eval is not None
    assert (run.first_eval["step"], run.last_eval["step"]) == (0, 40)
    assert run.best_eval["value"] == max(one["value"] for one in run.evals)


def test_a_run_that_has_only_started(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[train]\nmax_steps = 7\n")
    run = read_run(tmp_path)
    assert (run.steps, run.max_steps, run.summary, run.evals, run.metrics) == (0, 7, None, (), ())
    assert list(run.completions()) == []


@pytest.mark.parametrize("half", [b'{"step": 5, "rew', b'{"step": 5', b"{", '{"step": 5, "text": "é'.encode()[:-1]])
def test_a_half_written_last_line_waits(small_run: Path, half: bytes) -> None:
    log = small_run / "metrics.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + half)
    run = read_run(small_run)
    assert run.steps == 4
    assert run.problems == ()
    assert [line.end for line in read_lines(log)][-1] == len(whole)


def test_a_last_line_without_its_line_end_counts_once_it_is_whole(small_run: Path) -> None:
    log = small_run / "metrics.jsonl"
    log.write_bytes(log.read_bytes() + b'{"step": 5, "reward": 1.0}')
    assert read_run(small_run).steps == 5


def test_a_damaged_line_in_the_middle_is_named_and_left_out(small_run: Path) -> None:
    log = small_run / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join([lines[0], "\0\0\0 no json\n", *lines[1:]]))
    run = read_run(small_run)
    assert [one["step"] for one in run.metrics] == [1, 2, 3, 4]
    assert run.problems == ("metrics.jsonl: line 2 cannot be read and is left out",)


def test_of_two_records_of_a_step_the_later_one_counts(small_run: Path) -> None:
    log = small_run / "metrics.jsonl"
    log.write_text(log.read_text() + json.dumps({"step": 3, "reward": 123.0}) + "\n")
    run = read_run(small_run)
    assert [one["step"] for one in run.metrics] == [1, 2, 3, 4]
    assert run.metrics[2]["reward"] == 123.0


def test_a_damaged_summary_and_config_are_problems_not_ends(small_run: Path) -> None:
    (small_run / "summary.json").write_text("{")
    (small_run / "config.toml").write_text("= = =")
    run = read_run(small_run)
    assert run.summary is None
    assert run.config == {}
    assert len(run.problems) == 2


def test_lines_go_on_from_an_offset(small_run: Path) -> None:
    log = small_run / "completions.jsonl"
    lines = list(read_lines(log))
    rest = list(read_lines(log, lines[9].end))
    assert rest == lines[10:]


def test_a_folder_that_is_no_run_is_refused_with_the_nearest_run(small_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"smal is not a run folder: there is no such folder.*did you mean 'small'"):
        read_run(small_run.parent / "smal")
    (small_run.parent / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"it has none of config\.toml, manifest\.json, metrics\.jsonl"):
        read_run(small_run.parent / "empty")


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match="is not a run folder"):
        read_run(tmp_path / "run")
