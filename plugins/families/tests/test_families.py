"""Each family on a small random model of its architecture: forward, decoding, and one update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.rollout import Sampling
from lydite.rollout.hf import HfEngine
from lydite.types import Prompt, Sample
from lydite_families import BY_MODEL_TYPE

PROMPTS = ("What is 2 + 3?", "Name a colour that is neither red nor green, please.", "Why?")


@pytest.fixture(scope="module", params=sorted(BY_MODEL_TYPE))
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = make_tiny_model(tmp_path_factory.mktemp(request.param), request.param)
    return load(folder)


def load(folder: Path) -> Policy:
    config = ModelConfig(path=str(folder), dtype="float32", device="cpu")
    policy = load_policy(config, LoraConfig(r=4, alpha=8), load_plugins(allow=("lydite-families",)), seed=1)
    draws = torch.Generator().manual_seed(5)
    for name, parameter in policy.trainable().items():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=draws)
    return policy


def encoded(policy: Policy) -> list[Prompt]:
    return [policy.encode(Sample(str(place), text)) for place, text in enumerate(PROMPTS)]


def batch(prompts: list[Prompt]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, mask and positions, padded on the left."""
    widest = max(len(one.token_ids) for one in prompts)
    tokens = torch.tensor([[0] * (widest - len(one.token_ids)) + list(one.token_ids) for one in prompts])
    mask = torch.tensor([[0] * (widest - len(one.token_ids)) + [1] * len(one.token_ids) for one in prompts])
    return tokens, mask, (mask.cumsum(1) - 1).clamp(min=0)


def test_the_adapter_is_on_every_layer_that_the_family_names(policy: Policy) -> None:
    assert policy.family is not None
    layers = policy.config.get_text_config(decoder=True).num_hidden_layers
    adapted = [name.split(".lora_A")[0].rpartition(".")[2] for name in policy.trainable() if "lora_A" in name]
    assert {one: adapted.count(one) for one in adapted} == dict.fromkeys(policy.family.lora_targets, layers)
    assert not any("vision" in name for name in policy.trainable())


def test_hidden_states_and_head_give_the_models_own_logits(policy: Policy) -> None:
    tokens, mask, positions = batch(encoded(policy))
    with torch.no_grad():
        ours = policy.logits(policy.hidden_states(tokens, mask, positions))
        theirs = policy.model(input_ids=tokens, attention_mask=mask, position_ids=positions).logits
    real = mask.bool()
    # theirs keeps a cache, and so goes through transformers' own layers, whose sums have another order than fused ones
    torch.testing.assert_close(ours[real], theirs[real], rtol=1e-4, atol=3e-5)


def test_the_engine_decodes_what_transformers_decodes(policy: Policy) -> None:
    prompts = encoded(policy)
    length = 12
    rollouts = HfEngine(policy, max_batch_size=64).generate(prompts, Sampling(2, length, temperature=0.0), seed=0)
    for prompt, rollout in zip(prompts, rollouts, strict=True):
        given = torch.tensor([prompt.token_ids])
        made: Any = policy.model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            max_new_tokens=length,
            eos_token_id=list(policy.stop_token_ids),
            pad_token_id=policy.pad_token_id,
        )
        expected = tuple(made[0, given.shape[1] :].tolist())
        assert [one.token_ids for one in rollout.completions] == [expected, expected]


def test_an_update_changes_the_adapter_and_nothing_else(policy: Policy) -> None:
    before = {name: one.detach().clone() for name, one in policy.model.named_parameters()}
    tokens, mask, positions = batch(encoded(policy))
    optimizer = torch.optim.SGD(policy.trainable().values(), lr=0.1)
    logps = torch.log_softmax(policy.logits(policy.hidden_states(tokens, mask, positions)[:, :-1]), dim=-1)
    chosen = logps.gather(-1, tokens[:, 1:, None])[..., 0]
    advantages = torch.tensor([1.0, -0.5, -0.5])
    ratio = torch.exp(chosen - chosen.detach())
    loss = -(ratio * advantages[:, None] * mask[:, 1:]).sum() / mask[:, 1:].sum()
    loss.backward()
    optimizer.step()
    changed = {name for name, one in policy.model.named_parameters() if not torch.equal(one, before[name])}
    assert changed == set(policy.trainable())
    policy.load_adapter_state({name: before[name] for name in policy.trainable()})
