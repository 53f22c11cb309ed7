"""The longest completion that fits: as planned, and as trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.planned_runs import card, run_config

from lydite.dryrun import longest as by_trial
from lydite.errors import ConfigError
from lydite.planner import ModelShapes
from lydite.planner.longest import Longest, largest, largest_near, longest, with_completions
from lydite.planner.plan import plan_memory


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([0.0, 0.02, 0.3]))
def test_bisections_find_where_it_ends(end: int, guess: int, within: float) -> None:
    found = largest_near(lambda size: size <= end, guess, 500, within=within)
    assert end * (1 - within) - 1 <= found <= end
    assert largest(lambda size: size <= end, 0, 500) == end


def test_one_token_more_does_not_fit(llama_8b: ModelShapes) -> None:
    config = run_config(train={"per_device_train_batch_size": 4, "num_generations": 4, "steps_per_generation": 1})
    lengths = []
    for gib in (12, 24):
        found = longest(config, llama_8b, card(gib), "vllm")
        assert plan_memory(with_completions(config, found.completion), llama_8b, card(gib), "vllm").fits
        assert not plan_memory(with_completions(config, found.completion + 1), llama_8b, card(gib), "vllm").fits
        lengths.append(found.tokens)
    assert lengths == sorted(set(lengths))


def test_layers_that_compute_again_and_offload_make_room_for_longer_ones(llama_8b: ModelShapes) -> None:
    settings = {"per_device_train_batch_size": 4, "num_generations": 4, "steps_per_generation": 1}
    choices = ({"gradient_checkpointing": False}, {}, {"activation_offloading": True})
    lengths = [
        longest(run_config(train={**settings, **choice}), llama_8b, card(40), "vllm").tokens for choice in choices
    ]
    assert lengths[0] * 4 < lengths[1] < lengths[2]


def test_the_model_s_context_is_an_end_too(llama_8b: ModelShapes) -> None:
    config = run_config(train={"micro_batch_tokens": 8192})
    found = longest(config, llama_8b, card(1000), "vllm")
    assert found == Longest(512, 131072 - 512, 131072)
    assert found.is_whole_context
    with pytest.raises(ConfigError, match="leaves no room"):
        longest(run_config(data={"max_prompt_length": 131072}), llama_8b, card(80), "vllm")


def test_nothing_may_fit(llama_8b: ModelShapes) -> None:
    assert longest(run_config(), llama_8b, card(3), "vllm").completion == 0


def test_real_passes_are_tried_until_one_has_no_room(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []

    def trial(config: object, *rest: object) -> int:
        lengths.append(config.train.max_completion_length)  # type: ignore[attr-defined]
        if lengths[-1] > 47:
            raise torch.OutOfMemoryError
        return int(real(config, *rest))  # type: ignore[arg-type]

    real = by_trial.train_once
    monkeypatch.setattr(by_trial, "train_once", trial)
    config = run_config(
        model={"path": str(tiny("llama")), "device": "cpu", "quantization": "none"},
        data={"max_prompt_length": 20},
        train={"per_device_train_batch_size": 2, "num_generations": 2, "steps_per_generation": 1},
    )
    tried = by_trial.longest_trained(config, 60)
    assert lengths[:2] == [60, 45], "the guess, and a quarter less"
    assert 46 <= tried.found.completion <= 47
    assert tried.found.tokens == tried.found.completion + 20
    assert (tried.trials, tried.layers) == (len(lengths), 3)
