"""What wandb itself wrote of a run, read back from its data store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.outside import Outside
from support.told_runs import STEPS, reward_of

from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import import_file
from lydite_wandb import WeightsAndBiases

datastore: Any = import_file(Path(__file__).with_name("datastore.py"))
Options = dict[str, Any]

PROGRAM = """
import json, sys
from pathlib import Path
from support.told_runs import run_info, run_result, step_report
from lydite_wandb import WeightsAndBiases

folder, first, last, resumed_from, ends_well, options = (*sys.argv[1:2], *map(json.loads, sys.argv[2:]))
tracker = WeightsAndBiases(**options)
tracker.start(run_info(Path(folder), resumed_from=resumed_from))
for step in range(first, last + 1):
    tracker.step(step_report(step))
if ends_well:
    tracker.finish(run_result(Path(folder)))
tracker.close()
"""


@pytest.fixture
def told(outside: Outside) -> Callable[..., None]:
    """Tells a tracker of some steps in a process of its own, as wandb's service outlives whoever starts it."""

    def tell(
        folder: Path, first: int = 0, last: int = STEPS, resumed_from: int = 0, ends_well: bool = True,
        options: Options | None = None, **environ: str,
    ) -> None:  # fmt: skip
        arguments = [json.dumps(one) for one in (first, last, resumed_from, ends_well, options or {})]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        own = {"HOME": str(folder.parent), "WANDB_API_KEY": "0" * 40, **environ}  # a key, and no other settings
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(folder), *arguments], env=outside.environment(kept, **own), check=True,
            timeout=60,
        )  # fmt: skip

    return tell


def stores(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)


@pytest.mark.slow
def test_a_run_that_is_stopped_and_resumed_is_one_run_with_all_that_was_told_and_nobody_was_asked(
    told: Callable[..., None], outside: Outside, tmp_path: Path
) -> None:
    folder = tmp_path / "sums"
    options = {"project": "numbers", "completions": 3, "completions_every": 3, "tags": ["a", "b"]}
    told(folder, last=3, ends_well=False, options=options)
    told(folder, first=3, resumed_from=2, options=options)
    assert outside.asked == []

    before, after = stores(folder)
    found = [{one.WhichOneof("record_type"): one for one in datastore.records(store)} for store in (before, after)]
    known = json.loads((folder / "trackers.json").read_text())["wandb"]
    assert [one["run"].run.run_id for one in found] == [known, known]
    assert [one["exit"].exit.exit_code for one in found] == [1, 0], "the first did not end well"
    run = found[0]["run"].run
    assert (run.project, run.display_name, list(run.tags)) == ("numbers", "sums", ["a", "b"])
    config = datastore.config(before)
    assert config["train"] == {"max_steps": STEPS, "learning_rate": 1e-4}
    assert config["manifest"]["device"] == "cpu"

    logged = {one["train/global_step"]: one for store in (before, after) for one in datastore.history(store)}
    assert {step: one.get("train/reward") for step, one in logged.items()} == {
        0: None, **{step: reward_of(step) for step in range(1, STEPS + 1)}
    }  # fmt: skip
    assert [step for step, one in logged.items() if "train/kl" in one] == [1, 3, 4]
    accuracies = {step: one["eval/accuracy"] for step, one in logged.items() if "eval/accuracy" in one}
    assert accuracies == {0: 0.25, 2: pytest.approx(0.45), 4: pytest.approx(0.65)}
    assert logged[4]["eval/divergence"] == 1.0

    tables = {step: one["completions.path"] for step, one in logged.items() if "completions.path" in one}
    assert list(tables) == [1, 3, 4]
    table = json.loads((after.parent / "files" / tables[3]).read_text())
    assert table["columns"] == ["step", "prompt", "completion", "correct", "format", "reward", "advantage"]
    assert [row[2] for row in table["data"]] == ["step 3: 0 | 0 ✓", "step 3: 0 | 1 ✓", "step 3: 1 | 0 ✓"]
    summary = datastore.summary(after)
    assert summary["run/stopped"] == "finished"
    assert summary["run/heldout.best"] == 0.65
    assert "rose from 0.31 to 0.87" in found[1]["alert"].alert.text
    assert "alert" not in found[0]


@pytest.mark.slow
def test_online_is_online_only_when_it_is_asked_for(
    told: Callable[..., None], outside: Outside, tmp_path: Path
) -> None:
    told(tmp_path / "off", last=0, options={"mode": "disabled"})
    assert outside.asked == []
    assert not stores(tmp_path / "off")
    with pytest.raises(subprocess.SubprocessError):  # nobody answers there
        told(tmp_path / "on", last=0, WANDB_MODE="online", WANDB_INIT_TIMEOUT="3")
    assert any(one.startswith("CONNECT ") for one in outside.asked)


@pytest.mark.parametrize("asked", ["onlin", "shared"])
def test_a_mode_that_is_none_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="mode"):
        check_options("observer 'wandb'", WeightsAndBiases, {"mode": asked})
    monkeypatch.setenv("WANDB_MODE", asked)
    with pytest.raises(ConfigError, match=f"WANDB_MODE is one of online, offline, disabled, got '{asked}'"):
        WeightsAndBiases()


@pytest.mark.parametrize("given", [{"completions": -1}, {"completions_every": 0}, {"tag": ["x"]}, {"tags": "x"}])
def test_options_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        check_options("observer 'wandb'", WeightsAndBiases, given)


def test_close_is_safe_without_a_start() -> None:
    WeightsAndBiases(mode="offline").close()
