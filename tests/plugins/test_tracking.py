"""What a tracker writes of a run: names, columns, tables, and the run's own name there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.told_runs import run_info, step_report

from lydite.tracking import (
    completion_columns,
    completion_rows,
    figures_of,
    flat,
    is_due,
    markdown_table,
    remember_id,
    remembered_id,
)


def test_figures_have_the_names_of_a_run_of_trl_and_are_finite() -> None:
    assert figures_of(step_report(1)) == {
        "train/reward": 0.125,
        "train/rewards/correct/mean": 0.5,
        "train/kl": 0.01,
        "train/step_time": 1.5,
        "train/time/generate": 0.5,
    }
    second = figures_of(step_report(2))
    assert "train/kl" not in second
    assert second["eval/accuracy"] == pytest.approx(0.45)
    assert second["eval/divergence"] == 0.0
    assert figures_of(step_report(4))["eval/divergence"] == 1.0
    assert figures_of(step_report(0)) == {"train/memory/peak_bytes": 5e8, "eval/accuracy": 0.25, "eval/divergence": 0.0}


def test_completions_are_rows_with_a_column_for_each_reward(tmp_path: Path) -> None:
    run = run_info(tmp_path)
    assert completion_columns(run) == ("step", "prompt", "completion", "correct", "format", "reward", "advantage")
    rows = completion_rows(run, step_report(3), 3)
    assert [row[2] for row in rows] == ["step 3: 0 | 0 ✓", "step 3: 0 | 1 ✓", "step 3: 1 | 0 ✓"]
    assert rows[1] == (3, "What is 0 + 1?\nSay only the number.", "step 3: 0 | 1 ✓", 1.0, None, 1.0, 0.5)
    assert rows[0][4] is None, "a reward that said nothing of it"
    assert completion_rows(run, step_report(0), 3) == []
    assert len(completion_rows(run, step_report(3), 100)) == 4


def test_completions_are_due_at_the_first_step_each_so_many_and_the_last() -> None:
    assert [step for step in range(5) if is_due(step_report(step), 3)] == [1, 3, 4]
    assert [step for step in range(5) if is_due(step_report(step), 100)] == [1, 4]


def test_nothing_that_a_model_writes_breaks_a_markdown_table() -> None:
    table = markdown_table(("a", "b"), [(1, "x | y\n`z`"), (None, "")]).splitlines()
    assert table == ["| a | b |", "| --- | --- |", "| 1 | `x ¦ y⏎'z'` |", "|  | ` ` |"]
    assert {line.replace("\\|", "").count("|") for line in table} == {3}


def test_nested_tables_become_dotted_keys() -> None:
    assert dict(flat({"a": {"b": {"c": 1}, "d": []}, "e": {}})) == {"a.b.c": 1, "a.d": [], "e": {}}


def test_each_tracker_remembers_what_it_calls_the_run(tmp_path: Path) -> None:
    run = run_info(tmp_path)
    assert remembered_id(run, "one") is None
    remember_id(run, "one", "x1")
    remember_id(run, "two", "y2")
    assert (remembered_id(run, "one"), remembered_id(run, "two"), remembered_id(run, "three")) == ("x1", "y2", None)
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"one": "x1", "two": "y2"}
