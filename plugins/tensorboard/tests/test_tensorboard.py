"""The event files as TensorBoard itself reads them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.told_runs import STEPS, reward_of, run_info, run_result, step_report
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lydite.errors import ConfigError
from lydite.options import check_options
from lydite_tensorboard import TensorBoard


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    found.Reload()
    return found


def texts(found: EventAccumulator, name: str) -> dict[int, str]:
    tag = f"{name}/text_summary"
    return {one.step: one.tensor_proto.string_val[0].decode() for one in found.Tensors(tag)}


def tell(tracker: Any, folder: Path, first: int = 0, last: int = STEPS, *, resumed_from: int = 0) -> None:
    tracker.start(run_info(folder, resumed_from=resumed_from))
    for step in range(first, last + 1):
        tracker.step(step_report(step))


def test_what_is_written_is_what_tensorboard_reads(tmp_path: Path) -> None:
    tracker = TensorBoard(completions=3, completions_every=3)
    tell(tracker, tmp_path)
    tracker.finish(run_result(tmp_path))
    tracker.close()
    found = read(tmp_path / "tensorboard")
    rewards = found.Scalars("train/reward")
    assert [(one.step, one.value) for one in rewards] == [(step, reward_of(step)) for step in range(1, STEPS + 1)]
    assert [one.step for one in found.Scalars("train/kl")] == [1, 3, 4]
    assert [(one.step, round(one.value, 5)) for one in found.Scalars("eval/accuracy")] == [
        (0, 0.25), (2, 0.45), (4, 0.65)
    ]  # fmt: skip
    assert [one.value for one in found.Scalars("eval/divergence")] == [0.0, 0.0, 1.0]
    completions = texts(found, "completions")
    assert list(completions) == [1, 3, 4]
    assert "| 3 | `What is 0 + 1?⏎Say only the number.` | `step 3: 0 ¦ 1 ✓` | 1 |  | 1 | 0.5 |" in completions[3]
    config = texts(found, "config")[0]
    assert json.loads(config.removeprefix("```json\n").removesuffix("\n```"))["config"]["train"]["max_steps"] == STEPS
    assert '"best": 0.65' in texts(found, "summary")[STEPS]
    assert "rose from 0.31 to 0.87" in texts(found, "divergence")[STEPS]


def test_each_step_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    tracker = TensorBoard()
    tell(tracker, tmp_path, last=2)
    until = time.monotonic() + 10
    seen: list[int] = []
    while seen != [1, 2] and time.monotonic() < until:
        time.sleep(0.1)
        found = read(tmp_path / "tensorboard")
        seen = [one.step for one in found.Scalars("train/reward")] if "train/reward" in found.Tags()["scalars"] else []
    tracker.close()
    assert seen == [1, 2]


def test_a_resumed_run_takes_the_place_of_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    killed = TensorBoard()
    tell(killed, tmp_path, last=3)
    killed.close()
    # The steps behind the checkpoint get other values, so that it shows whose are read.
    resumed = TensorBoard()
    resumed.start(run_info(tmp_path, resumed_from=2))
    resumed.step(step_report(4))
    resumed.close()
    assert [one.step for one in read(tmp_path / "tensorboard").Scalars("train/reward")] == [1, 2, 4]


def test_another_folder_has_one_for_each_run(tmp_path: Path) -> None:
    tracker = TensorBoard(folder=str(tmp_path / "board"), completions=0)
    tell(tracker, tmp_path / "run", last=1)
    tracker.close()
    found = read(tmp_path / "board" / "sums")
    assert [one.step for one in found.Scalars("train/reward")] == [1]
    assert "completions/text_summary" not in found.Tags()["tensors"]
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_close_is_safe_without_a_start() -> None:
    TensorBoard().close()


@pytest.mark.parametrize("given", [{"completions": -1}, {"completions_every": 0}, {"folders": "x"}])
def test_options_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        check_options("observer 'tensorboard'", TensorBoard, given)
