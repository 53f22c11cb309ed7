"""What one run of the trainer gives: the same numbers again, its best adapter, its end, its summary."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import lydite
from lydite import trainer
from lydite.kernels.compiled import Compiled

Numbers = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def quick(settings: dict[str, Any]) -> dict[str, Any]:
    """As `settings`, without a worker, and four steps long."""
    del settings["rewards"]["brief"]
    settings["train"].update(max_steps=4, save_steps=2)
    return settings


def log(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_a_seed_is_a_run(quick: dict[str, Any], numbers: Numbers) -> None:
    first, again, other = (
        numbers(lydite.train({**quick, "name": name, "seed": seed}, display="none").folder)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first["metrics.jsonl"] != other["metrics.jsonl"]
    assert first["completions.jsonl"] != other["completions.jsonl"]


def test_a_run_without_improvement_ends_early_and_keeps_its_best_adapter(quick: dict[str, Any]) -> None:
    quick["train"].update(max_steps=30, learning_rate=5e-2)
    quick["eval"].update(every=1, early_stop_patience=3)
    plain = lydite.train(quick, display="none")
    evals = log(plain.folder, "evals")
    values = [one["value"] for one in evals]
    best = max(range(len(values)), key=lambda index: (values[index], -index))
    assert plain.summary["stopped"] == "early_stop"
    assert len(values) == best + 1 + 3, values
    heldout = plain.summary["heldout"]
    assert (heldout["best_step"], heldout["best"]) == (evals[best]["step"], values[best])
    assert (heldout["first"], heldout["last"], heldout["n"]) == (values[0], values[-1], 4)
    assert [one["step"] for one in log(plain.folder, "metrics")] == list(range(1, plain.summary["steps"] + 1))
    assert (plain.folder / "checkpoints" / f"step-{plain.summary['steps']:06d}").is_dir()


def test_summary_has_every_figure(quick: dict[str, Any]) -> None:
    result = lydite.train(quick, display="none")
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary == dict(result.summary)
    assert set(summary) >= {
        "name", "steps", "stopped", "seconds", "heldout", "reward", "tokens_per_second", "peak_memory_bytes",
        "plugins", "report",
    }  # fmt: skip
    assert set(summary["heldout"]) >= {"metric", "n", "first", "best", "last", "best_step"}
    rewards = [one["reward"] for one in log(result.folder, "metrics")]
    assert summary["reward"] == {"first": rewards[0], "last": rewards[-1]}
    assert summary["steps"] == 4
    assert summary["seconds"] > 0
    assert summary["tokens_per_second"] > 0
    assert summary["peak_memory_bytes"] > 2**20
    assert {"lydite", "lydite-datasets", "file mine.py"} <= set(summary["plugins"])
    assert summary["report"] == "report.html"


@pytest.mark.parametrize("best_step", [0, 1, 3])
def test_the_best_adapter_is_that_of_the_best_evaluation(
    quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch, best_step: int
) -> None:
    values = {step: 0.5 if step != best_step else 0.9 for step in range(5)}
    evaluate, seen = trainer.evaluate, {}

    def judged(engine: Any, *rest: Any, step: int, **named: Any) -> Any:
        seen[step] = policy.adapter_hash()
        return dataclasses.replace(evaluate(engine, *rest, step=step, **named), value=values[step])

    monkeypatch.setattr(trainer, "evaluate", judged)
    quick["eval"]["every"] = 1
    policy = lydite.load_policy(quick)
    result = lydite.train(quick, policy=policy, display="none")
    assert result.summary["heldout"]["best_step"] == best_step
    from_disk = load_file(result.folder / "checkpoints" / "best" / "adapter_model.safetensors")
    policy.load_adapter_state({name: from_disk[name.replace(".default", "")] for name in policy.adapter_state()})
    assert policy.adapter_hash() == seen[best_step]
    assert len(set(seen.values())) == 5


def test_accumulated_gradients_are_those_of_one_batch(quick: dict[str, Any]) -> None:
    quick["lora"]["dropout"] = 0.0
    quick["train"].update(max_steps=1, num_iterations=1)
    states, figures = [], []
    for name, size, passes in (("whole", 8, 1), ("parts", 2, 4)):
        train = {**quick["train"], "per_device_train_batch_size": size, "gradient_accumulation_steps": passes}
        result = lydite.train({**quick, "name": name, "train": train}, display="none")
        states.append(result.policy.adapter_state())
        figures.append(log(result.folder, "metrics")[0])
    assert max(float(value.abs().max()) for key, value in states[0].items() if "lora_B" in key) > 1e-3
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=0.0, atol=1e-6)
    # Adam forgives a wrong scale of the gradient; its norm does not.
    assert figures[0]["grad_norm"] > 1e-3
    for name in ("grad_norm", "loss", "entropy"):
        assert figures[1][name] == pytest.approx(figures[0][name], rel=1e-4, abs=1e-7), name


def test_the_log_says_which_steps_waited_for_programs(
    quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a GPU, where the start reads two programs, the first step compiles three and no later one any."""
    waits = iter([Compiled(0, 2, 0.5), Compiled(3, 0, 4.0), *[Compiled()] * 3])
    monkeypatch.setattr(trainer, "count_programs", lambda _: SimpleNamespace(take=lambda: next(waits)))
    with caplog.at_level("INFO", logger="lydite"):
        run = lydite.train(quick, display="none")
    assert [one for one in caplog.messages if one.startswith("kernels:")] == [
        "kernels: the start waited 0.5 s for 2 programs that an earlier run left",
        "kernels: step 1 waited 4.0 s for 3 programs to be compiled",
    ]
    timings = [(one["kernels/compiled"], one["kernels/compile_seconds"]) for one in log(run.folder, "timings")]
    assert timings == [(3.0, 4.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
