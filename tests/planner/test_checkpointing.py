"""Of how many layers the activations are computed again, and how what is seen corrects it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.planned_runs import GIB, run_config

from lydite.errors import ModelError
from lydite.planner import ModelShapes
from lydite.planner.adaptive import AdaptiveActivations
from lydite.planner.checkpointing import SHARE, layers_to_recompute, pass_bytes, plan_activations
from lydite.planner.workload import PassSize, Workload, workload
from lydite.policy.activations import Activations

SIZE = PassSize.of_packed([(512, [512] * 8)])


def work_of(config: Any, shapes: ModelShapes) -> Workload:
    return workload(config, shapes, sequences=4, prefill_tokens=64, graph_sizes=())


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(0, 1000), st.integers(0, 1000))
def test_more_room_never_means_more_layers(needs: list[int], first: int, second: int) -> None:
    less, more = sorted((first, second))
    few, many = layers_to_recompute(tuple(needs), more), layers_to_recompute(tuple(needs), less)
    assert few <= many
    assert needs[few] <= more or needs[few] == min(needs) > more
    assert all(needed > more for needed in needs[:few]) or needs[few] == min(needs)


def test_every_number_of_layers_is_the_right_one_for_some_room(llama_8b: ModelShapes) -> None:
    config = run_config()
    needs = pass_bytes(config, llama_8b, work_of(config, llama_8b), device="cuda", packed=True)
    assert len(needs) == 33
    assert list(needs[:32]) == sorted(needs[:32], reverse=True)
    chosen = [
        plan_activations(config, llama_8b, work_of(config, llama_8b), room * GIB / 4, device="cuda", packed=True)
        for room in range(120)
    ]
    counts = [plan.recomputed for plan in chosen]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == needs.index(min(needs))
    assert counts[-1] == 0
    assert all(plan.needed <= room * GIB / 4 for room, plan in enumerate(chosen) if plan.recomputed < counts[0])
    assert "layers are computed again" in chosen[0].line
    assert "all 32 layers keep theirs" in chosen[-1].line


@pytest.mark.parametrize(("choice", "layers"), [(True, 32), (False, 0)])
def test_what_the_configuration_says_is_done_whatever_is_free(llama_8b: ModelShapes, choice: bool, layers: int) -> None:
    config = run_config(train={"gradient_checkpointing": choice})
    for room in (0, 10**15):
        plan = plan_activations(config, llama_8b, work_of(config, llama_8b), room, device="cuda", packed=True)
        assert plan.recomputed == layers


class Free:
    """A device whose free memory is what a test says."""

    def __init__(self) -> None:
        self.bytes = 10**12

    def __call__(self, device: torch.device) -> int:
        return self.bytes


@pytest.fixture
def adaptive(load: Callable[..., Any]) -> Callable[..., tuple[AdaptiveActivations, Free, list[Any]]]:
    """A tiny policy's choice, the memory that it is told of, and the policy's layers."""

    def make(**train: Any) -> tuple[AdaptiveActivations, Free, list[Any]]:
        config, policy = load("llama", train=train)
        free = Free()
        return AdaptiveActivations(policy, config, free=free), free, list(policy.causal.model.layers)

    return make


def switched(layers: list[Any]) -> list[bool]:
    return [layer.gradient_checkpointing for layer in layers]


def test_the_lowest_layers_are_switched_as_memory_comes_and_goes(
    adaptive: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chosen, free, layers = adaptive()
    caplog.set_level(logging.INFO, "lydite")
    seen = []
    for free.bytes in (10**9, 0, 10**9, 0):
        chosen.before_update(SIZE)
        seen.append(switched(layers))
        assert sum(seen[-1]) == chosen.recomputed
    assert seen[0] == seen[2] == [False, False, False]
    assert seen[1] == seen[3] == [True, True, False]  # of the last one, all would be computed again at once
    (said,) = caplog.messages  # once, and on a CPU not that all is kept
    assert "2 of 3 layers are computed again" in said


def test_what_a_pass_was_seen_to_take_corrects_the_next_plan(adaptive: Any) -> None:
    def layers_after(taken_share: float) -> int:
        chosen, free, _ = adaptive()
        chosen.before_update(SIZE)
        planned = chosen.planned
        free.bytes = int(planned / SHARE["cpu"]) + chosen.gradient_bytes * 2
        chosen.before_update(SIZE)
        assert chosen.recomputed == 0
        chosen.saw(int(taken_share * planned))
        chosen.before_update(SIZE)
        return int(chosen.recomputed)

    assert layers_after(1.0) == 0
    assert layers_after(1.3) >= 1
    assert layers_after(3.0) == 2


def test_where_memory_had_to_be_given_back_more_layers_compute_again(adaptive: Any) -> None:
    chosen, free, _ = adaptive()
    chosen.before_update(SIZE)
    planned = chosen.planned
    free.bytes = int(1.05 * planned / SHARE["cpu"]) + chosen.gradient_bytes * 2
    chosen.before_update(SIZE)
    assert chosen.recomputed == 0
    chosen.gave_back()
    chosen.saw(planned)  # what a pass takes is as planned: there is only no piece of it in one
    chosen.before_update(SIZE)
    assert chosen.recomputed >= 1
    chosen.saw(int(chosen.planned / 1.2))  # nor does a plan that is kept to take the slack away again
    chosen.before_update(SIZE)
    assert chosen.recomputed >= 1


def test_after_a_pass_without_room_all_layers_are_computed_again(adaptive: Any) -> None:
    chosen, _, layers = adaptive()
    chosen.before_update(SIZE)
    assert chosen.recompute_all()
    assert switched(layers) == [True, True, True]
    assert not chosen.recompute_all(), "there is nothing more to do"


def test_a_fixed_choice_is_never_changed(adaptive: Any) -> None:
    for choice in (True, False):
        chosen, free, layers = adaptive(gradient_checkpointing=choice)
        free.bytes = 0
        chosen.before_update(SIZE)
        assert not chosen.recompute_all()
        assert switched(layers) == [choice] * 3


def test_offloading_on_a_cpu_is_said_to_change_nothing(adaptive: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lydite")
    adaptive(activation_offloading=True)
    assert "train.activation_offloading changes nothing here" in caplog.text


def test_recording_on_a_cpu_is_said_to_change_nothing(adaptive: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lydite")
    _, _, layers = adaptive(cuda_graphs=True, gradient_checkpointing=True, micro_batch_tokens=64)
    assert "train.cuda_graphs changes nothing here: " in caplog.text
    assert switched(layers) == [True] * 3


def test_more_layers_than_there_are_is_an_error(load: Callable[..., Any]) -> None:
    _, policy = load("llama")
    with pytest.raises(ModelError, match=r"3 layers of a model of type 'llama' .* and 4 are to"):
        Activations(policy).recompute(4)
