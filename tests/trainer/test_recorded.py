"""A run whose layers are replayed is the run whose layers run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.plain_attention import attend_plainly
from support.recorder import Again

import lydite
from lydite.planner import adaptive


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_a_run_with_recorded_layers_has_the_figures_of_one_without(
    algorithm: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    attend_plainly(monkeypatch)
    recorder = Again()
    monkeypatch.setattr(adaptive, "why_unrecorded", lambda policy: None)  # there is no GPU here
    monkeypatch.setattr(adaptive, "CudaRecorder", lambda device: recorder)
    settings["lora"]["dropout"] = 0.0
    settings |= {"algorithm": algorithm, "probes": {"steps": 0}}
    settings["train"] |= {"gradient_checkpointing": True, "micro_batch_tokens": 40, "max_steps": 4}
    runs = []
    for recorded in (False, True):
        changed = {**settings, "name": f"recorded-{recorded}", "train": {**settings["train"], "cuda_graphs": recorded}}
        folder = lydite.train(changed, display="none").folder
        runs.append(figures_of(folder))
        assert (recorder.replayed > 0) == recorded
    assert recorder.recorded >= 4, "two layers, forward and backward"
    for without, with_recording in zip(*runs, strict=True):
        assert without.keys() == with_recording.keys()
        for name, value in without.items():
            assert with_recording[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def figures_of(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    assert all(line["grad_norm"] > 0 for line in lines)
    return [{name: one for name, one in line.items() if isinstance(one, float | int)} for line in lines]
