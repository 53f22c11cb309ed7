"""Several decode steps for each plan of vLLM's scheduler give what one at a time gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.rollouts import assert_same, flat, prompts_of
from support.vllm_policies import plan, trained

from lydite.config import EngineConfig
from lydite.policy import Policy
from lydite.rollout import Sampling
from lydite.rollout.hf import HfEngine
from lydite.rollout.vllm.engine import VllmEngine
from lydite.types import Prompt, Sample

STEPS = 4
SAMPLING = Sampling(num_generations=4, max_completion_length=18)


@pytest.fixture(scope="module")
def bursts(make_policy: Callable[..., Policy]) -> Iterator[VllmEngine]:
    engine = VllmEngine(trained(make_policy()), EngineConfig(use="vllm", num_scheduler_steps=STEPS), plan())
    yield engine
    engine.close()


def plans(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens that each further plan of the engine's scheduler asks for, as it makes them."""
    scheduler = engine._llm.llm_engine.engine_core.engine_core.scheduler
    schedule = scheduler.schedule
    seen: list[int] = []

    def counted(*given: Any) -> Any:
        made = schedule(*given)
        seen.append(made.total_num_scheduled_tokens)
        return made

    monkeypatch.setattr(scheduler, "schedule", counted)
    return seen


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("limit", [1, 2, STEPS, STEPS + 1, 18])
def test_tokens_and_log_probs_are_those_of_hf(bursts: VllmEngine, limit: int, temperature: float) -> None:
    prompts = prompts_of(bursts.policy, 6)  # 24 sequences, 16 at once
    sampling = replace(SAMPLING, max_completion_length=limit, temperature=temperature)
    slow = HfEngine(bursts.policy, max_batch_size=64)
    assert_same(bursts.generate(prompts, sampling, 5), slow.generate(prompts, sampling, 5))


def test_the_scheduler_plans_once_for_several_tokens(bursts: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    before, bursts.policy.stop_token_ids = bursts.policy.stop_token_ids, ()
    seen = plans(bursts, monkeypatch)
    try:
        made = bursts.generate(prompts_of(bursts.policy, 1), SAMPLING, 5)
    finally:
        bursts.policy.stop_token_ids = before
    assert [len(one.token_ids) for one in flat(made)] == [18] * 4
    # One token with the prompt, and 17 in bursts of 4, 4, 4, 4 and 1.
    assert len([count for count in seen if count]) == 6


def test_completions_end_where_they_end_without(bursts: VllmEngine) -> None:
    """With stop tokens that come at all places of a burst."""
    free = HfEngine(bursts.policy, max_batch_size=64)
    before, bursts.policy.stop_token_ids = bursts.policy.stop_token_ids, ()
    try:
        prompts = prompts_of(bursts.policy, 4)
        whole = flat(free.generate(prompts, SAMPLING, 5))
        bursts.policy.stop_token_ids = tuple(
            {one.token_ids[place] for one, place in zip(whole, range(9), strict=False)}
        )
        made = bursts.generate(prompts, SAMPLING, 5)
        assert len({len(one.token_ids) for one in flat(made)}) > 3
        assert_same(made, free.generate(prompts, SAMPLING, 5))
    finally:
        bursts.policy.stop_token_ids = before


def test_sequences_that_reach_the_engines_length(bursts: VllmEngine) -> None:
    ids = prompts_of(bursts.policy, 1)[0].token_ids
    prompts = [Prompt(Sample(str(length), ""), "", (ids * 40)[:length]) for length in (245, 250, 253, 254, 255)]
    made = bursts.generate(prompts, SAMPLING, 5)
    slow = HfEngine(bursts.policy, max_batch_size=64)
    for rollout, prompt in zip(made, prompts, strict=True):
        room = replace(SAMPLING, max_completion_length=256 - len(prompt.token_ids))
        assert_same([rollout], slow.generate([prompt], room, 5))


def test_a_cache_that_is_too_small_for_all(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine]
) -> None:
    """Sequences lose their places in the cache and are read again."""
    policy = trained(make_policy())
    policy.stop_token_ids = ()
    sampling = replace(SAMPLING, max_completion_length=60)
    few = start(policy, EngineConfig(use="vllm", num_scheduler_steps=STEPS), kv_cache_bytes=2**20)
    few.take_adapter(policy)
    prompts = prompts_of(policy, 4)
    made = few.generate(prompts, sampling, 5)
    assert_same(made, HfEngine(policy, max_batch_size=64).generate(prompts, sampling, 5))


def test_a_canary_and_the_prefix_cache(bursts: VllmEngine) -> None:
    (prompt,) = prompts_of(bursts.policy, 4)[3:]
    bursts.take_adapter(bursts.policy)
    first, again = bursts.canary(prompt, 9), bursts.canary(prompt, 9)
    assert first is not None
    assert again is not None
    assert (first.token_ids, first.cached_tokens) == (again.token_ids, 0)
    assert again.cached_tokens > 0
    assert first.logps == pytest.approx(again.logps, abs=1e-4)
