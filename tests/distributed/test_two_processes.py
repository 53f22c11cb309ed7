"""Two processes make the run that one makes: the same completions, and numbers within the rounding of sums."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.same_runs import assert_same_adapters, assert_same_rollouts, lines

PROGRAM = """
import json, os, signal, time
import lydite
from lydite.config import RunConfig
from lydite.distributed import joined
from lydite.errors import EngineError, LyditeError, ProcessError

def main():
    with open("settings.json") as file:
        settings = json.load(file)
    rank = int(os.environ["RANK"])
    told = {}
    lydite.train({**settings, "name": "shared"}, display="none")
    sharded = lydite.train(
        {**settings, "name": "sharded", "distributed": {"strategy": "fsdp2"}}, display="none"
    ).policy
    weights = dict(sharded.causal.named_parameters())
    base = [one for name, one in weights.items() if "layers" in name and not one.requires_grad]
    told["whole"] = sum(one.numel() for one in base)
    told["held"] = sum(one.to_local().numel() for one in base)
    told["adapter"] = [type(one).__name__ for one in sharded.trainable().values()]

    with joined(RunConfig.model_validate(settings)) as processes:
        def failing(kind):
            if rank == 1:
                raise kind("from one")
            return rank

        def caught(call):
            try:
                return str(call())
            except (LyditeError, KeyError) as error:
                return [type(error).__name__, str(error), getattr(error, "told_elsewhere", None)]

        told["together"] = processes.together(lambda: f"r{rank}")
        told["lydite's error"] = caught(lambda: processes.together(lambda: failing(EngineError)))
        told["other error"] = caught(lambda: processes.together(lambda: failing(KeyError)))
        told["main's error"] = caught(lambda: processes.from_main(lambda: [].pop() if rank else failing(EngineError)))
        told["of main"] = processes.from_main(lambda: {"made by": rank})
        told["spread"] = processes.spread(5, lambda places: [f"{place} by {rank}" for place in places])
        told["same"] = caught(lambda: processes.check_same("the thing", "alike"))
        told["other"] = caught(lambda: processes.check_same("the thing", f"unlike {rank}"))
    try:
        with joined(RunConfig.model_validate(settings)):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
    except ProcessError as error:
        told["told to end"] = str(error)
    with open(f"told-{rank}.json", "w") as file:
        json.dump(told, file)

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def told(place: Path, settings: dict[str, Any], two_run: Callable[[str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    (place / "settings.json").write_text(json.dumps(settings))
    return two_run(PROGRAM)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shared", "sharded"])
def test_two_processes_make_the_run_of_one(place: Path, one: Path, told: list[dict[str, Any]], name: str) -> None:
    other = place / "runs" / name
    rollouts = assert_same_rollouts(one, other, ("step", "sample", "completion", "advantage"))
    assert len(rollouts) == 4 * 5 * 4
    assert lines(one, "evals.jsonl") == lines(other, "evals.jsonl")

    for mine, theirs in zip(lines(one, "metrics.jsonl"), lines(other, "metrics.jsonl"), strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)
    assert_same_adapters(one, other, learned=0.05)


@pytest.mark.slow
def test_the_first_process_alone_writes_and_tells(place: Path, told: list[dict[str, Any]]) -> None:
    for name in ("shared", "sharded"):
        assert [row["step"] for row in lines(place / "runs" / name, "timings.jsonl")] == [1, 2, 3, 4]
        assert json.loads((place / "runs" / name / "summary.json").read_text())["steps"] == 4
        heard = (place / f"told-{name}.txt").read_text().splitlines()
        assert heard == [f"process 0, step {step}" for step in range(5)]


@pytest.mark.slow
def test_each_process_holds_its_part_of_the_base_and_all_of_the_adapter(told: list[dict[str, Any]]) -> None:
    assert sum(one["held"] for one in told) == told[0]["whole"]
    assert all(0.4 * one["whole"] < one["held"] < 0.6 * one["whole"] for one in told)
    assert {kind for one in told for kind in one["adapter"]} == {"Parameter"}


@pytest.mark.slow
def test_what_one_process_makes_or_raises_all_get(told: list[dict[str, Any]]) -> None:
    first, second = told
    assert first["together"] == second["together"] == ["r0", "r1"]
    assert first["lydite's error"] == ["EngineError", "from one", True]
    assert second["lydite's error"] == ["EngineError", "from one", False]
    assert first["other error"][0] == "ProcessError"
    assert "process 1 of 2 failed: KeyError: 'from one'" in first["other error"][1]
    assert second["other error"][0] == "KeyError"
    assert first["main's error"] == second["main's error"] == "0"
    assert first["of main"] == second["of main"] == {"made by": 0}
    assert first["spread"] == second["spread"] == ["0 by 0", "1 by 1", "2 by 0", "3 by 1", "4 by 0"]
    assert first["same"] == "None"
    assert [one["told to end"].partition(",")[0] for one in told] == [
        f"process {rank} of 2 was told to end (SIGTERM)" for rank in range(2)
    ]
    for one in told:
        assert one["other"][0] == "ProcessError"
        assert "the thing of process 1 is not that of process 0" in one["other"][1]
