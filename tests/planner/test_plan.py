"""A run's memory as a whole, and what to change when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.planned_runs import card, run_config

from lydite.errors import ConfigError
from lydite.planner import ModelShapes, plan_engine, shapes_of_policy
from lydite.planner.advice import advise
from lydite.planner.plan import MemoryPlan, plan_memory

Load = Callable[..., Any]


def by_name(plan: MemoryPlan) -> dict[str, tuple[int, int]]:
    return {one.name: (one.rollout, one.training) for one in plan.parts}


def test_a_plan_is_its_parts_and_the_engines_sizes(llama_8b: ModelShapes) -> None:
    config = run_config(train={"gradient_checkpointing": True})
    plan = plan_memory(config, llama_8b, card(80), "vllm")
    engine = plan_engine(config, llama_8b, card(80))
    named = by_name(plan)
    assert plan.fits
    assert named["KV cache"] == (engine.kv_cache_bytes, 0 if engine.release_kv_cache else engine.kv_cache_bytes)
    assert named["4-bit weights"][0] == named["4-bit weights"][1] == pytest.approx(6.98e9 * 0.516, rel=0.01)
    assert named["activations"][0] == 0 < named["activations"][1]
    assert plan.rollout == sum(one.rollout for one in plan.parts)
    assert plan.training == sum(one.training for one in plan.parts)
    assert plan.lines[: len(engine.lines)] == engine.lines
    assert "512 tokens (data.max_prompt_length)" in plan.lines[-1]


def test_a_cache_that_stays_is_there_while_it_trains(llama_8b: ModelShapes) -> None:
    train = {"gradient_checkpointing": True}
    stays, goes = (
        plan_memory(run_config(engine={"release_kv_cache": choice}, train=train), llama_8b, card(80), "vllm")
        for choice in ("never", "always")
    )
    both = ("KV cache", "16-bit copy of the 4-bit weights")
    assert all(by_name(stays)[name][0] == by_name(stays)[name][1] > 0 for name in both)
    assert all(by_name(goes)[name][1] == 0 for name in both)
    assert stays.training - goes.training == sum(by_name(stays)[name][1] for name in both)


def test_the_engine_hf_keeps_nothing_while_it_trains(load: Load) -> None:
    config, policy = load("llama")
    shapes = shapes_of_policy(policy)
    plan = plan_memory(config, shapes, card(4, device="cpu"), "hf")
    named = by_name(plan)
    assert named["KV cache"][1] == 0
    assert "CUDA context and libraries" not in named
    scripted = plan_memory(config, shapes, card(4, device="cpu"), "scripted")
    assert "KV cache" not in by_name(scripted)
    assert by_name(scripted)["activations"] == named["activations"]


def test_what_fits_needs_no_advice(llama_8b: ModelShapes) -> None:
    config = run_config(train={"gradient_checkpointing": True})
    advice = advise(config, llama_8b, card(80), "vllm")
    assert advice.changes == ()
    assert advice.plan.fits


def test_the_cheapest_change_comes_first_and_no_more_than_needed(llama_8b: ModelShapes) -> None:
    config = run_config(train={"max_completion_length": 1024, "gradient_checkpointing": False})
    plan = plan_memory(config, llama_8b, card(32), "vllm")
    assert not plan.fits
    assert plan.missing == plan.training - 32 * 2**30
    advice = advise(config, llama_8b, card(32), "vllm")
    assert advice.plan.fits
    (only,) = advice.changes
    assert only.startswith('train.gradient_checkpointing = "auto": training ')


def test_changes_are_in_the_order_of_what_they_cost(llama_8b: ModelShapes) -> None:
    config = run_config(
        model={"quantization": "none"},
        train={"max_completion_length": 2048, "logprob_chunk_size": 4096, "gradient_checkpointing": False},
    )
    advice = advise(config, llama_8b, card(9), "vllm")
    keys = [change.partition(" = ")[0] for change in advice.changes]
    order = [
        "train.gradient_checkpointing", "train.activation_offloading", "train.per_device_train_batch_size",
        "model.quantization", "train.optim", "train.logprob_chunk_size", "engine.kv_cache_dtype",
        "data.max_prompt_length", "train.max_completion_length",
    ]  # fmt: skip
    assert keys == [key for key in order if key in keys]
    assert {"train.gradient_checkpointing", "model.quantization"} <= set(keys)
    assert advice.plan.fits


def test_a_smaller_micro_batch_leaves_the_step_as_it_was(llama_8b: ModelShapes) -> None:
    config = run_config(train={"gradient_checkpointing": True, "max_completion_length": 4096})
    advice = advise(config, llama_8b, card(12), "vllm")
    (change,) = (one for one in advice.changes if "per_device_train_batch_size" in one)
    said = dict(part.split(" = ") for part in change.partition(":")[0].split(", "))
    size, passes = int(said["train.per_device_train_batch_size"]), int(said["train.steps_per_generation"])
    assert size < 8
    assert size * passes == config.train.generation_batch_size
    assert int(said["train.gradient_accumulation_steps"]) * size == 8 * config.train.gradient_accumulation_steps


def test_a_budget_of_tokens_is_made_smaller(llama_8b: ModelShapes) -> None:
    train = {"micro_batch_tokens": 32768, "gradient_accumulation_steps": 8, "gradient_checkpointing": True}
    advice = advise(run_config(train=train), llama_8b, card(12), "vllm")
    (change,) = (one for one in advice.changes if "micro_batch" in one)
    budget = int(change.removeprefix("train.micro_batch_tokens = ").partition(":")[0])
    assert budget in (16384, 8192, 4096, 2048, 1024)
    assert advice.plan.fits


def test_an_engine_without_room_is_a_problem_of_the_plan(llama_8b: ModelShapes) -> None:
    config = run_config(model={"quantization": "none"})
    plan = plan_memory(config, llama_8b, card(12), "vllm")
    assert plan.problem is not None
    assert "no room" in plan.problem
    assert not plan.fits
    assert plan.missing > 0


def test_what_can_never_fit_is_said_so(llama_8b: ModelShapes) -> None:
    advice = advise(run_config(), llama_8b, card(4), "vllm")
    assert not advice.plan.fits
    assert advice.plan.missing > 0


def test_a_context_that_is_too_short_is_an_error(llama_8b: ModelShapes) -> None:
    with pytest.raises(ConfigError, match="the model's context has 131072"):
        plan_memory(run_config(train={"max_completion_length": 200_000}), llama_8b, card(80), "vllm")
