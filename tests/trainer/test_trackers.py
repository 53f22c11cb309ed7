"""A real run with every tracker there is: stopped, gone on with, and in each of them whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Ran = Callable[..., tuple[int, str]]

STOP = """
import pathlib
import lydite

@lydite.hookimpl
def lydite_step(report):
    flag = pathlib.Path(__file__).with_name("once")
    assert report.step != 3 or flag.exists() or flag.touch(), "enough"
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own use of SQLAlchemy
def test_trackers_have_what_the_run_has(
    settings: dict[str, Any], written: Callable[[dict[str, Any]], Path], ran: Ran, here: Path
) -> None:
    (here / "stop.py").write_text(STOP)
    trackers = ["mlflow", "tensorboard", "wandb"]
    del settings["rewards"]["brief"]
    config = {
        **settings,
        "plugins": [*settings["plugins"], *(f"lydite-{name}" for name in trackers)],
        "plugin_files": [*settings["plugin_files"], str(here / "stop.py")],
        "name": "sums",
        "train": {**settings["train"], "max_steps": 4},
        "observers": {"tensorboard": {"completions": 2}, "wandb": {"mode": "offline"}},
    }
    code, said = ran("train", written(config), WANDB_MODE="online", MLFLOW_TRACKING_URI="")
    folder = here / "runs" / "sums"
    assert code == 1, said
    assert "AssertionError: enough" in said
    known = json.loads((folder / "trackers.json").read_text())
    assert sorted(known) == ["mlflow", "wandb"]
    client = MlflowClient(f"sqlite:///{here / 'runs' / 'mlflow.db'}")
    assert client.get_run(known["mlflow"]).info.status == "FAILED"

    code, said = ran("train", "--resume", folder, MLFLOW_TRACKING_URI="")
    assert code == 0, said
    assert json.loads((folder / "trackers.json").read_text()) == known
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rewards = {one["step"]: one["reward"] for one in map(json.loads, lines)}
    assert len(rewards) == 4
    assert client.get_run(known["mlflow"]).info.status == "FINISHED"
    history = client.get_metric_history(known["mlflow"], "train/reward")
    assert {one.step: one.value for one in history} == rewards
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    scalars = [(one.step, one.value) for one in board.Scalars("train/reward")]
    assert scalars == [(step, pytest.approx(reward)) for step, reward in rewards.items()]
    assert board.Scalars("eval/accuracy")[-1].step == 4
    assert len(list((folder / "wandb").glob(f"offline-run-*/run-{known['wandb']}.wandb"))) == 2


def test_a_slip_in_a_trackers_options_is_told_before_anything_is_loaded(
    settings: dict[str, Any], written: Callable[[dict[str, Any]], Path], ran: Ran
) -> None:
    settings["plugins"].append("lydite-tensorboard")
    path = written({**settings, "observers": {"tensorboard": {"folders": "x"}}})
    code, said = ran("train", path)
    assert code == 2
    assert "observer 'tensorboard' has no option 'folders'" in said
    assert "did you mean 'folder'" in said
