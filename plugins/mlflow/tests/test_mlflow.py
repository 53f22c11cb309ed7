"""What MLflow's own client reads back from a database that a run wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from support.outside import Outside
from support.told_runs import STEPS, reward_of, run_info, run_result, step_report

from lydite.errors import ConfigError
from lydite.options import check_options
from lydite_mlflow import MLflow

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own use of SQLAlchemy


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without runs: MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def runs(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs with a database beside them, and nothing in the environment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.copy(empty_database, tmp_path / "runs" / "mlflow.db")
    return tmp_path / "runs"


def told(tracker: MLflow, folder: Path, first: int = 0, last: int = STEPS, *, resumed_from: int = 0) -> str:
    """Tells a tracker of some steps, and gives what it calls the run."""
    tracker.start(run_info(folder, resumed_from=resumed_from))
    for step in range(first, last + 1):
        tracker.step(step_report(step))
    return str(json.loads((folder / "trackers.json").read_text())["mlflow"])


def client(runs: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")


def artifact(runs: Path, name: str, path: str, tmp_path: Path) -> Any:
    return json.loads(Path(client(runs).download_artifacts(name, path, str(tmp_path))).read_text())


def test_what_is_written_is_what_mlflow_reads(runs: Path, tmp_path: Path) -> None:
    tracker = MLflow(experiment="sums of two", completions=3, completions_every=3)
    name = told(tracker, runs / "sums")
    tracker.finish(run_result(runs / "sums"))
    tracker.close()
    found = client(runs).get_run(name)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "sums")
    assert client(runs).get_experiment(found.info.experiment_id).name == "sums of two"
    rewards = client(runs).get_metric_history(name, "train/reward")
    assert [(one.step, one.value) for one in rewards] == [(step, reward_of(step)) for step in range(1, STEPS + 1)]
    assert [one.step for one in client(runs).get_metric_history(name, "train/kl")] == [1, 3, 4]
    assert found.data.metrics["eval/accuracy"] == pytest.approx(0.65)
    assert found.data.params["train.max_steps"] == str(STEPS)
    assert found.data.params["rewards.correct.use"] == "text/exact"
    assert "eval" not in found.data.params
    assert found.data.tags["lydite.stopped"] == "finished"
    assert found.data.tags["lydite.divergence"].startswith("step 4: since step 0 the training reward rose")
    assert artifact(runs, name, "config.json", tmp_path)["seed"] == 7
    assert artifact(runs, name, "manifest.json", tmp_path)["device"] == "cpu"
    assert artifact(runs, name, "summary.json", tmp_path)["heldout"] == {"best": 0.65}
    completions = artifact(runs, name, "completions/step-000003.json", tmp_path)
    assert completions["columns"][2] == "completion"
    assert [row[2] for row in completions["data"]] == ["step 3: 0 | 0 ✓", "step 3: 0 | 1 ✓", "step 3: 1 | 0 ✓"]
    assert not list(runs.parent.glob("ml*")), "beside the runs alone"


def test_a_run_that_fails_is_marked_and_a_resumed_one_goes_on_under_its_name(runs: Path) -> None:
    killed = MLflow()
    name = told(killed, runs / "sums", last=3)
    assert client(runs).get_run(name).info.status == "RUNNING"
    killed.close()
    assert client(runs).get_run(name).info.status == "FAILED"
    resumed = MLflow()
    assert told(resumed, runs / "sums", first=3, resumed_from=2) == name
    assert client(runs).get_run(name).info.status == "RUNNING"
    resumed.finish(run_result(runs / "sums"))
    resumed.close()
    assert client(runs).get_run(name).info.status == "FINISHED"
    history = {one.step: one.value for one in client(runs).get_metric_history(name, "train/reward")}
    assert history == {step: reward_of(step) for step in range(1, STEPS + 1)}


def test_two_runs_share_an_experiment(runs: Path) -> None:
    names = set()
    for folder in ("one", "two"):
        tracker = MLflow(name=folder)
        names.add(told(tracker, runs / folder, last=0))
        tracker.close()
    experiment = client(runs).get_experiment_by_name("lydite")
    assert experiment is not None
    assert {one.info.run_id for one in client(runs).search_runs([experiment.experiment_id])} == names


def test_a_name_that_mlflow_does_not_take_is_changed(runs: Path) -> None:
    from lydite.types import EvalReport, StepReport

    tracker = MLflow()
    name = told(tracker, runs / "sums", last=-1)
    tracker.step(StepReport(0, STEPS, {}, {}, None, EvalReport(0, "acc@1 (%)", 0.5, 8, ())))
    tracker.close()
    assert client(runs).get_run(name).data.metrics["eval/acc_1 ___"] == 0.5


def test_an_address_that_is_none_is_an_error_at_the_start(runs: Path) -> None:
    with pytest.raises(MlflowException, match="nowhere"):
        MLflow(tracking_uri="nowhere://x").start(run_info(runs / "sums"))


@pytest.mark.parametrize("given", [{"completions": -1}, {"completions_every": 0}, {"experiments": "x"}])
def test_options_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        check_options("observer 'mlflow'", MLflow, given)


PROGRAM = """
import sys
from pathlib import Path
from support.told_runs import run_info, run_result, step_report
from lydite_mlflow import MLflow

folder = Path(sys.argv[1])
tracker = MLflow()
tracker.start(run_info(folder))
tracker.step(step_report(1))
tracker.finish(run_result(folder))
tracker.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("asked_for", [False, True])
def test_nobody_is_told_of_it(runs: Path, outside: Outside, asked_for: bool) -> None:
    """A process without pytest's marks, in which MLflow counts its users when it is allowed to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    settings = {"MLFLOW_DISABLE_TELEMETRY": "false"} if asked_for else {}
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(runs / "sums")], env=outside.environment(kept, **settings), check=True
    )
    assert bool(outside.asked) is asked_for, outside.asked
