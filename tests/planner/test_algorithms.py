"""An update of each algorithm against its plan: the micro-batch that is tried is the algorithm's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.live_bytes import LiveBytes
from support.planned_runs import run_config

from lydite.config import ALGORITHM_NAMES, RunConfig
from lydite.dryrun.training import largest_micro_batch, started_learner, train_once
from lydite.planner import ModelShapes, shapes_of_policy
from lydite.planner.activations import backward_bytes, value_head_bytes
from lydite.planner.parts import Parts, parts_of
from lydite.planner.workload import Workload, workload
from lydite.plugins import load_plugins
from lydite.policy import Policy
from lydite.types import Scored

Load = Callable[..., tuple[RunConfig, Policy]]
SHAPE = {
    "per_device_train_batch_size": 8, "num_generations": 4, "gradient_accumulation_steps": 2,
    "max_completion_length": 48,
}  # fmt: skip
RANKED = {"online_dpo": {"pairs": "ranked"}}
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("grpo", {}), ("rloo", {}), ("online_dpo", {}), ("online_dpo", RANKED), ("ppo", {}),
    ("ppo", {"ppo": {"bootstrap_truncated": True}}),
]  # fmt: skip


def work_of(config: RunConfig, shapes: ModelShapes) -> Workload:
    return workload(config, shapes, sequences=4, prefill_tokens=64, graph_sizes=())


def parts(config: RunConfig, shapes: ModelShapes) -> Parts:
    return parts_of(config, shapes, work_of(config, shapes), device="cpu", vllm=False)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("algorithm", "own"), RUNS)
def test_an_update_takes_what_is_planned_for_it(
    load: Load, algorithm: str, own: dict[str, Any], checkpointing: bool
) -> None:
    train = {**SHAPE, "gradient_checkpointing": checkpointing}
    config, policy = load(model={"dtype": "bfloat16"}, lora={"r": 4}, algorithm=algorithm, train=train, **own)
    planned = parts(config, shapes_of_policy(policy))
    learner = started_learner(config, policy, load_plugins(allow=()))
    with LiveBytes(ignored=policy.model.parameters()) as live:
        trained = train_once(config, learner, policy)
    assert trained == 8
    assert 0.8 * planned.learning <= live.peak <= 1.02 * planned.learning


def shape(step: Scored) -> list[int]:
    return [len(group.completions) for group in step.groups]


@pytest.mark.parametrize(
    ("algorithm", "own", "train", "expected"),
    [
        ("grpo", {}, {}, [4, 4]),
        ("ppo", {}, {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}, [4, 2]),
        ("online_dpo", {}, {}, [2, 2, 2, 2]),
        ("online_dpo", {}, {"gradient_accumulation_steps": 1}, [2, 2]),
        ("online_dpo", RANKED, {}, [4, 4]),
        ("online_dpo", RANKED, {"micro_batch_tokens": 100}, [2]),
        ("rloo", {}, {"micro_batch_tokens": 10_000}, [4, 4, 4, 4]),
        ("online_dpo", {}, {"micro_batch_tokens": 10_000}, [2, 2, 2, 2]),
    ],
)
def test_the_largest_micro_batch_is_the_one_that_is_planned(
    load: Load, algorithm: str, own: dict[str, Any], train: dict[str, Any], expected: list[int]
) -> None:
    config, policy = load(algorithm=algorithm, train={**SHAPE, **train}, **own)
    learner = started_learner(config, policy, load_plugins(allow=()))
    step = largest_micro_batch(config, learner, policy)
    assert shape(step) == expected
    packed = sum(24 + 48 * count for count in expected)
    assert work_of(config, shapes_of_policy(policy)).training.tokens == packed


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_a_reference_is_planned_for_where_the_algorithm_has_one(llama_8b: ModelShapes, algorithm: str) -> None:
    full = {"lora": {"enabled": False}, "model": {"quantization": "none"}}
    without = {"rloo": {"rloo": {"beta": 0.0}}, "ppo": {"ppo": {"kl_coef": 0.0}}}.get(algorithm)
    assert parts(run_config(algorithm=algorithm), llama_8b).reference == 0, "the adapter is switched off"
    weights = 2 * llama_8b.parameters
    assert parts(run_config(algorithm=algorithm, **full), llama_8b).reference == (weights if algorithm != "grpo" else 0)
    if without is not None:
        assert parts(run_config(algorithm=algorithm, **full, **without), llama_8b).reference == 0
    paid = run_config(train={"beta": 0.1, "use_kl_in_reward": True}, **full)
    assert parts(paid, llama_8b).reference == weights


def test_a_value_head_is_planned_for(llama_8b: ModelShapes, load: Load) -> None:
    config, policy = load(algorithm="ppo", train=SHAPE)
    learner = started_learner(config, policy, load_plugins(allow=()))
    (own,) = [group["params"] for group in learner.optimizer.param_groups][1:]
    numbers = sum(one.numel() for one in own)
    assert parts(config, shapes_of_policy(policy)).value_head == 4 * 4 * numbers
    assert parts(run_config(), llama_8b).value_head == 0
    # Where its pass takes more than that of a layer, it sets the peak: here a narrow feed-forward.
    ppo, narrow = run_config(algorithm="ppo"), narrow_of(llama_8b)
    of_layers = backward_bytes(
        run_config(), narrow, work_of(ppo, narrow), itemsize=2, packed=False, device="cuda", recomputed=0
    )
    with_head = backward_bytes(ppo, narrow, work_of(ppo, narrow), itemsize=2, packed=False, device="cuda", recomputed=0)
    assert with_head == value_head_bytes(ppo, narrow, work_of(ppo, narrow)) > of_layers


def narrow_of(shapes: ModelShapes) -> ModelShapes:
    from dataclasses import replace

    return replace(shapes, intermediate=16)
