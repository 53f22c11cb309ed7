"""One copy of the weights, the adapter overwritten in place, and a cache that forgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.vllm_policies import trained

from lydite.errors import EngineError
from lydite.policy import Policy
from lydite.policy.adapter_files import load_adapter
from lydite.policy.nf4 import is_nf4, unpacked_copy
from lydite.rollout import Sampling
from lydite.rollout.chat_batches import ChatBatches
from lydite.rollout.chat_protocol import ChatRequest
from lydite.rollout.hf import HfEngine
from lydite.rollout.vllm import engine as engine_module
from lydite.rollout.vllm import selftest
from lydite.rollout.vllm.engine import VllmEngine
from lydite.types import Prompt, Sample

SAMPLING = Sampling(num_generations=2, max_completion_length=8)
LONG = "A question that fills more than one block of the prefix cache, so that a second one like it finds it there."


def prompt_of(policy: Policy, text: str = LONG) -> Prompt:
    return policy.encode(Sample("one", text))


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_every_weight_of_vllm_is_the_trainers_own_memory(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine], quantization: str
) -> None:
    policy = make_policy(quantization=quantization)
    engine = start(policy, unpack_weights=False)
    own = {parameter.untyped_storage().data_ptr() for parameter in policy.causal.parameters()}
    theirs = dict(engine.vllm_model().named_parameters())
    assert len(theirs) > 10
    assert [name for name, one in theirs.items() if one.untyped_storage().data_ptr() not in own] == []
    # In 4 bit the packed bytes themselves: half a byte a weight.
    linear = theirs["model.layers.0.mlp.down_proj.weight"]
    assert (linear.dtype is torch.uint8) == (quantization == "nf4")


def test_fused_layers_are_views_of_one_storage_and_training_still_works(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine]
) -> None:
    policy = make_policy()
    ids = torch.arange(1, 9)[None]
    before = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(8)[None]).detach()
    start(policy)
    q, k = (policy.causal.get_submodule(f"model.layers.0.self_attn.{one}_proj").base_layer.weight for one in "qk")
    assert k.data_ptr() == q.data_ptr() + q.numel() * q.element_size()
    after = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(8)[None])
    assert torch.equal(before, after)
    after.sum().backward()
    assert all(one.grad is not None for name, one in policy.trainable().items() if "lora_B" in name)


def test_training_multiplies_by_the_copies_that_stay(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine]
) -> None:
    policy = trained(make_policy(quantization="nf4"))
    ids = torch.arange(1, 9)[None]

    def learned() -> list[torch.Tensor]:
        hidden = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(8)[None])
        return [hidden.detach(), *torch.autograd.grad(hidden.square().sum(), list(policy.trainable().values()))]

    layers = [module for module in policy.causal.modules() if is_nf4(module)]
    before = learned()
    engine = start(policy, unpack_weights=True, release_kv_cache=True)
    assert not any(unpacked_copy(layer) is not None for layer in layers), "they go when the engine gives memory back"
    engine.close()
    engine = start(policy, unpack_weights=True, release_kv_cache=False)
    held = {group.whole.untyped_storage().data_ptr() for group in engine._binding.groups.values() if group.packed}
    for _ in range(2):
        copies = [unpacked_copy(layer) for layer in layers]
        assert {copy.untyped_storage().data_ptr() for copy in copies if copy is not None} == held
        assert None not in copies
        for own, other in zip(learned(), before, strict=True):
            torch.testing.assert_close(own, other, atol=0.0, rtol=1e-6)
        with policy.sampling():
            pass  # the engine hf makes copies of its own, unless they are there
    engine.close()
    assert not any(unpacked_copy(layer) is not None for layer in layers)


def test_a_new_adapter_is_sampled_from_and_leaves_nothing_of_the_old(tiny: VllmEngine) -> None:
    policy, prompt = tiny.policy, prompt_of(tiny.policy)
    slow = HfEngine(policy, max_batch_size=8)
    answers = []
    for seed in (3, 4, 3):
        trained(policy, seed=seed)
        tiny.take_adapter(policy)
        made = tiny.generate([prompt], SAMPLING, 1)
        expected = slow.generate([prompt], SAMPLING, 1)
        for one, other in zip(made[0].completions, expected[0].completions, strict=True):
            assert one.token_ids == other.token_ids
            assert one.logps == pytest.approx(other.logps, abs=1e-4)
        answers.append(made)
    assert answers[0] == answers[2] != answers[1]  # bit for bit: the adapter came back, and no trace of the other


def test_in_place_is_bit_equal_to_an_engine_that_starts_with_the_adapter(
    tiny: VllmEngine,
    tmp_path: Path,
    make_policy: Callable[..., Policy],
    start: Callable[..., VllmEngine],
) -> None:
    trained(tiny.policy, seed=11)
    tiny.take_adapter(tiny.policy)
    tiny.policy.save_adapter(tmp_path)
    fresh = make_policy()
    load_adapter(fresh, tmp_path)
    engine = start(fresh)
    prompts = [prompt_of(fresh), prompt_of(fresh, "Why?")]
    assert engine.generate(prompts, SAMPLING, 1) == tiny.generate(prompts, SAMPLING, 1)


def test_the_prefix_cache_is_used_within_a_step_and_empty_after_a_new_adapter(tiny: VllmEngine) -> None:
    prompt = prompt_of(tiny.policy)
    tiny.take_adapter(tiny.policy)
    first, second = tiny.canary(prompt, 4), tiny.canary(prompt, 4)
    assert first is not None
    assert second is not None
    assert (first.cached_tokens, second.cached_tokens >= 32) == (0, True)
    assert first.token_ids == second.token_ids
    tiny.take_adapter(tiny.policy)
    third = tiny.canary(prompt, 4)
    assert third is not None
    assert third.cached_tokens == 0


def test_inside_reference_it_samples_from_the_base(tiny: VllmEngine) -> None:
    policy, prompt = trained(tiny.policy), prompt_of(tiny.policy)
    slow = HfEngine(policy, max_batch_size=8)
    tiny.take_adapter(policy)
    own = tiny.generate([prompt], SAMPLING, 1)
    with policy.reference():
        base, expected = tiny.generate([prompt], SAMPLING, 1), slow.generate([prompt], SAMPLING, 1)
    assert [one.token_ids for one in base[0].completions] == [one.token_ids for one in expected[0].completions]
    assert base != own
    assert tiny.generate([prompt], SAMPLING, 1) == own


def test_it_judges_as_the_base_and_as_the_policy(tiny: VllmEngine) -> None:
    """The judge `engine` asks from a thread of its own, between two rollouts of the run."""
    policy = trained(tiny.policy)
    tiny.take_adapter(policy)
    slow = HfEngine(policy, max_batch_size=8)
    batches = ChatBatches(tiny, policy, always=True)
    said, expected = {}, {}
    greedy = Sampling(num_generations=1, max_completion_length=6, temperature=0.0)
    try:
        for model in ("base", "policy", "base"):
            asked = {"model": model, "messages": [{"role": "user", "content": "Is that so?"}], "max_tokens": 6}
            said[model] = batches.ask(ChatRequest.model_validate(asked)).result(timeout=60).text
    finally:
        batches.close()
    prompt = policy.encode(Sample("x", ({"role": "user", "content": "Is that so?"},)))
    expected["policy"] = slow.generate([prompt], greedy, 0)[0].completions[0].text
    with policy.reference():
        expected["base"] = slow.generate([prompt], greedy, 0)[0].completions[0].text
    assert said == expected
    assert said["base"] != said["policy"]


def test_a_model_without_adapter_is_handed_over_whole(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine]
) -> None:
    policy = make_policy(enabled=False)
    engine = start(policy)
    prompt = prompt_of(policy)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.mul_(1.1)
    engine.take_adapter(policy)
    made = engine.generate([prompt], SAMPLING, 1)[0].completions
    expected = HfEngine(policy, max_batch_size=8).generate([prompt], SAMPLING, 1)[0].completions
    for one, other in zip(made, expected, strict=True):
        assert one.token_ids == other.token_ids
        assert one.logps == pytest.approx(other.logps, abs=1e-4)


def test_another_policy_is_refused(tiny: VllmEngine, make_policy: Callable[..., Policy]) -> None:
    with pytest.raises(EngineError, match="the policy that it was made with"):
        tiny.take_adapter(make_policy())


# The test at the start


def test_an_adapter_that_goes_nowhere_stops_the_start(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module.Handover, "copy", lambda self: None)
    with pytest.raises(EngineError, match="log-probabilities"):
        start(make_policy())


def test_other_weights_than_the_trainers_stop_the_start(
    make_policy: Callable[..., Policy], start: Callable[..., VllmEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = selftest.answer_logps
    monkeypatch.setattr(selftest, "answer_logps", lambda *given: honest(*given) - 0.7)
    with pytest.raises(EngineError, match=r"differ by 0\.7"):
        start(make_policy())
