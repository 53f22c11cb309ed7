"""What vLLM samples is the policy: the tokens and log-probabilities of the engine `hf`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.rollouts import assert_same, flat, prompts_of
from support.vllm_policies import trained

from lydite.errors import EngineError, ModelError
from lydite.policy import Policy
from lydite.rollout import Sampling
from lydite.rollout.hf import HfEngine
from lydite.rollout.vllm.drawing import Drawer
from lydite.rollout.vllm.engine import VllmEngine
from lydite.types import Prompt, Sample

SAMPLING = Sampling(num_generations=4, max_completion_length=10)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "phi3"])
def test_tokens_and_log_probs_are_those_of_hf(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine], architecture: str, quantization: str
) -> None:
    policy = trained(make_policy(architecture, quantization=quantization))
    engine = start(policy)
    engine.take_adapter(policy)
    slow = HfEngine(policy, max_batch_size=64)
    for sampling in (
        replace(SAMPLING, temperature=0.0),
        SAMPLING,
        replace(SAMPLING, temperature=0.7, top_k=20, top_p=0.9),
    ):
        prompts = prompts_of(policy)
        assert_same(engine.generate(prompts, sampling, 5), slow.generate(prompts, sampling, 5))


def test_four_bit_weights_are_multiplied_without_a_copy_too(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine]
) -> None:
    policy = trained(make_policy(quantization="nf4"))
    engine = start(policy, unpack_weights=False)
    prompts = prompts_of(policy)
    assert_same(
        engine.generate(prompts, SAMPLING, 5), HfEngine(policy, max_batch_size=64).generate(prompts, SAMPLING, 5)
    )


@pytest.mark.parametrize("unpack", [True, False])
def test_some_layers_unpacked_for_good_and_some_without_adapter(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine], unpack: bool
) -> None:
    """As dynamic 4-bit checkpoints have it: here k of every q, k, v, and the whole first layer, stay as they are."""
    targets = ("q_proj", "v_proj", "down_proj")
    policy = trained(make_policy(quantization="nf4", keep_16bit=("k_proj", "layers.0."), target_modules=targets))
    engine = start(policy, unpack_weights=unpack)
    prompts = prompts_of(policy)
    assert_same(
        engine.generate(prompts, SAMPLING, 5), HfEngine(policy, max_batch_size=64).generate(prompts, SAMPLING, 5)
    )


# Seeds, order, limits


def test_a_completion_depends_on_seed_sample_and_place_alone(tiny: VllmEngine) -> None:
    prompts = prompts_of(tiny.policy, 6)
    whole = tiny.generate(prompts, SAMPLING, 5)
    assert tiny.generate(prompts, SAMPLING, 5) == whole
    turned = tiny.generate(prompts[::-1], SAMPLING, 5)[::-1]
    alone = [tiny.generate([prompt], SAMPLING, 5)[0] for prompt in prompts]
    for other in (turned, alone):
        assert [one.token_ids for one in flat(other)] == [one.token_ids for one in flat(whole)]
    assert tiny.generate(prompts, SAMPLING, 6) != whole


def test_more_sequences_than_are_decoded_at_once(tiny: VllmEngine) -> None:
    prompts = prompts_of(tiny.policy, 10)
    made = tiny.generate(prompts, SAMPLING, 5)  # 40 sequences, 16 at once
    assert_same(made, HfEngine(tiny.policy, max_batch_size=64).generate(prompts, SAMPLING, 5))


@pytest.mark.parametrize("limit", [1, 2])
def test_very_short_completions(tiny: VllmEngine, limit: int) -> None:
    prompts = prompts_of(tiny.policy)
    sampling = replace(SAMPLING, max_completion_length=limit)
    made = tiny.generate(prompts, sampling, 5)
    assert all(len(one.token_ids) <= limit and len(one.logps or ()) == len(one.token_ids) for one in flat(made))
    assert_same(made, HfEngine(tiny.policy, max_batch_size=64).generate(prompts, sampling, 5))


def test_a_completion_that_is_only_its_end(tiny: VllmEngine) -> None:
    prompt = prompts_of(tiny.policy, 1)[0]
    first = tiny.generate([prompt], replace(SAMPLING, num_generations=1, temperature=0.0), 0)[0].completions[0]
    before, tiny.policy.stop_token_ids = tiny.policy.stop_token_ids, (first.token_ids[0],)
    try:
        made = tiny.generate([prompt], replace(SAMPLING, num_generations=1, temperature=0.0), 0)[0].completions[0]
    finally:
        tiny.policy.stop_token_ids = before
    assert (made.token_ids, made.finish_reason) == (first.token_ids[:1], "stop")


def test_prompts_at_the_limit(tiny: VllmEngine) -> None:
    ids = prompts_of(tiny.policy, 1)[0].token_ids
    fits = Prompt(Sample("long", "long"), "long", (ids * 40)[:253])
    made = tiny.generate([fits], SAMPLING, 5)[0].completions
    assert all(len(one.token_ids) <= 3 for one in made)
    with pytest.raises(ModelError, match="has 256 tokens, and the engine was started for 256"):
        tiny.generate([Prompt(Sample("longer", "longer"), "longer", (ids * 40)[:256])], SAMPLING, 5)
    with pytest.raises(ModelError, match="has no tokens"):
        tiny.generate([Prompt(Sample("empty", ""), "", ())], SAMPLING, 5)


def test_a_batch_that_fails_leaves_nothing_behind(tiny: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = prompts_of(tiny.policy)
    expected = tiny.generate(prompts, SAMPLING, 5)
    drawn, apply = 0, Drawer.apply

    def fails_at_the_third(self: Drawer, logits: torch.Tensor) -> torch.Tensor:
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            raise RuntimeError("out of memory, say")
        return apply(self, logits)

    monkeypatch.setattr(Drawer, "apply", fails_at_the_third)
    with pytest.raises(EngineError, match="out of memory, say"):
        tiny.generate(prompts, SAMPLING, 5)
    assert tiny.generate(prompts, SAMPLING, 5) == expected
