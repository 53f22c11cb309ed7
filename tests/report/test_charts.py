"""The curves: what is drawn, from which figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lydite.report.chart import Chart
from lydite.report.charts import charts_of
from lydite.report.curves import MAX_POINTS
from lydite.report.notebook import figure
from lydite.report.reader import read_run


@pytest.fixture(scope="module")
def charts(finished_run: Path) -> dict[str, Chart]:
    return {chart.id: chart for chart in charts_of(read_run(finished_run))}


def test_every_curve_that_was_asked_for_is_there(charts: dict[str, Chart]) -> None:
    assert list(charts) == [
        *("reward", "heldout", "together", "reward-0", "reward-1", "reward-2", "share", "spread_share"),
        *("lengths", "broken", "zero-std"),
        *("loss", "kl", "entropy", "grad_norm", "learning_rate", "clip", "time", "speed", "memory", "judging"),
    ]
    assert [charts[f"reward-{place}"].title for place in range(3)] == ["correct", "format", "judge"]


def test_the_reward_curve_is_the_metrics_file_with_its_band(finished_run: Path, charts: dict[str, Chart]) -> None:
    metrics = read_run(finished_run).metrics
    high, low, mean = charts["reward"].data
    assert mean["x"] == [one["step"] for one in metrics]
    assert mean["y"] == [one["reward"] for one in metrics]
    assert high["y"] == [one["reward"] + one["reward_std"] for one in metrics]
    assert low["y"] == [one["reward"] - one["reward_std"] for one in metrics]
    assert low["fill"] == "tonexty"


def test_reward_and_held_out_metric_are_on_one_chart(finished_run: Path, charts: dict[str, Chart]) -> None:
    run = read_run(finished_run)
    reward, heldout = charts["together"].data
    assert reward["y"] == [one["reward"] for one in run.metrics]
    assert heldout["y"] == [one["value"] for one in run.evals]
    assert heldout["x"] == [one["step"] for one in run.evals]
    assert heldout["yaxis"] == "y2"
    right = charts["together"].layout["yaxis2"]
    assert right["side"] == "right"
    assert right["range"][0] == 0.0, "a share below 0 is none"
    assert max(heldout["y"]) <= right["range"][1] <= 1.0


def test_each_reward_has_its_share(charts: dict[str, Chart]) -> None:
    assert [line["name"] for line in charts["share"].data] == ["correct", "format", "judge"]
    assert {line["name"]: line["y"][0] for line in charts["spread_share"].data}["correct"] == 0.8


def test_time_parts_stack_up_to_the_step(finished_run: Path, charts: dict[str, Chart]) -> None:
    parts = charts["time"].data
    assert [part["name"] for part in parts] == ["generate", "score", "train", "eval", "checkpoint"]
    assert len({part["stackgroup"] for part in parts}) == 1
    for place, record in enumerate(read_run(finished_run).timings):
        assert abs(sum(part["y"][place] for part in parts) - record["step_time"]) < 1e-9


def test_memory_is_in_gigabytes(finished_run: Path, charts: dict[str, Chart]) -> None:
    record = read_run(finished_run).timings[-1]
    assert [round(line["y"][-1], 3) for line in charts["memory"].data] == [
        round(record["memory/rss_bytes"] / 1e9, 3),
        round(record["memory/peak_bytes"] / 1e9, 3),
    ]


def test_figures_that_a_run_has_not_make_no_chart(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5, "kl": null}\n{"step": 2, "reward": NaN}\n')
    (chart,) = charts_of(read_run(tmp_path))
    assert chart.id == "reward"
    assert chart.data[-1]["y"] == [0.5, None]
    assert chart.data[-1]["mode"] == "lines+markers"
    assert chart.summary == "Reward: 0.500 at step 1, 0.500 at step 1"


def test_long_runs_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    n = 5 * MAX_POINTS + 3
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": step, "reward": 1.0}) + "\n" for step in range(1, n + 1))
    )
    (chart,) = charts_of(read_run(tmp_path))
    x = chart.data[-1]["x"]
    assert len(x) <= MAX_POINTS + 1
    assert (x[0], x[-1]) == (1, n)


def test_each_chart_says_itself_in_words(charts: dict[str, Chart], finished_run: Path) -> None:
    first, last = read_run(finished_run).evals[0], read_run(finished_run).evals[-1]
    assert (
        charts["heldout"].summary
        == f"Held-out accuracy: {first['value']:.3f} at step 0, {last['value']:.3f} at step 40"
    )


def test_the_notebook_figure_has_all_charts_in_plotly_colours(finished_run: Path, charts: dict[str, Chart]) -> None:
    made = figure(finished_run)
    assert len(made.data) == sum(len(chart.data) for chart in charts.values())
    titles = [one.text for one in made.layout.annotations]
    assert titles == [chart.title for chart in charts.values()]
    assert "@" not in json.dumps(made.to_plotly_json()["data"], default=str)
    reward = next(trace for trace in made.data if trace.name == "mean reward")
    assert list(reward.y) == [one["reward"] for one in read_run(finished_run).metrics]


def test_the_notebook_figure_of_a_run_without_steps_is_empty(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    assert len(figure(tmp_path).data) == 0
