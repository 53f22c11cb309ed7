"""Completions with holes: what an environment inserted is attended to and not trained on, on every road to the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tiny_model import make_tiny_model
from torch import Tensor

from lydite.config import LoraConfig, ModelConfig, TrainConfig
from lydite.objective import Batch, build_batch, micro_batch_loss, policy_logps, update_totals
from lydite.objective.micro_batches import micro_batches
from lydite.objective.packed import pack
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.types import (
    Completion,
    Episode,
    Generated,
    Parsed,
    Prompt,
    Sample,
    Scored,
    ScoredCompletion,
    ScoredGroup,
)

# Prompt, and the completions as (tokens, whether the model said each).
GROUPS: list[tuple[list[int], list[tuple[list[int], str]]]] = [
    ([5, 6, 7, 8], [([9, 10, 40, 41, 42, 43], "110011"), ([11, 12], "11"), ([12, 13, 14, 15, 16], "10110")]),
    ([20, 21], [([21, 22, 23, 24], "0011"), ([24], "1"), ([25, 26, 27], "000")]),
]
ADVANTAGES = [0.7, -0.4, 0.3, 1.0, -1.2, 0.2]


def generated(ids: list[int], said: str, *, ended: Any = "done") -> Generated:
    own = tuple(one == "1" for one in said)
    logps = tuple(-1.0 if kept else 0.0 for kept in own)
    return Generated(tuple(ids), "", "", "stop", logps, own, Episode((), (), ended))


def batch_of(groups: Any = GROUPS, **how: Any) -> Batch:
    scored, advantages = [], iter(ADVANTAGES)
    for number, (prompt, answers) in enumerate(groups):
        made = tuple(
            ScoredCompletion(generated(*answer, **how), Completion("", Parsed("x")), {}, 1.0, next(advantages))
            for answer in answers
        )
        scored.append(ScoredGroup(Prompt(Sample(str(number), "?"), "?", tuple(prompt)), made))
    return build_batch(Scored(tuple(scored), {}, {}), pad_token_id=0, device="cpu", mask_truncated_completions=True)


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = make_tiny_model(tmp_path_factory.mktemp("masks") / "model", request.param)
    plugins = load_plugins(allow=["lydite-families"])
    made = load_policy(ModelConfig(path=str(folder), dtype="float32", device="cpu"), LoraConfig(r=4), plugins, 0)
    with torch.no_grad():
        for index, parameter in enumerate(made.trainable().values()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)) * 0.1)
    return made


def reference_logps(policy: Policy, prompt: list[int], ids: list[int], said: str) -> list[Tensor]:
    """One completion alone, one token at a time, by the model's own forward."""
    whole = torch.tensor([[*prompt, *ids]])
    logits = policy.causal(input_ids=whole).logits[0].float()
    logps = logits.log_softmax(-1)
    return [logps[len(prompt) + place - 1, ids[place]] for place, one in enumerate(said) if one == "1"]


def gradients(policy: Policy, loss: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(policy.trainable().values()))
    return [one.detach() for one in found]


def test_the_mask_has_holes_and_attention_has_none() -> None:
    batch = batch_of()
    assert batch.completion_mask.int().tolist() == [
        [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0],
    ]  # fmt: skip
    # Up to the last token that is trained on: what is behind it changes nothing.
    assert batch.attention_mask[:, 4:].sum(1).tolist() == [6, 2, 4, 4, 1, 0]
    assert batch.position_ids[0].tolist() == list(range(10))
    assert batch.rows(3, 6).completion_mask.shape == (3, 4)


@pytest.mark.parametrize("share", [True, False])
def test_log_probs_and_gradients_are_those_of_each_completion_alone(policy: Policy, share: bool) -> None:
    assert policy.packs
    batch, config = batch_of(), TrainConfig(share_prompts=share, vllm_importance_sampling_correction=False)
    rows = [(prompt, *answer) for prompt, answers in GROUPS for answer in answers]
    alone = [reference_logps(policy, *row) for row in rows]
    logps = policy_logps(policy, batch, config).logps
    for own, mask, expected in zip(logps, batch.completion_mask, alone, strict=True):
        if expected:
            torch.testing.assert_close(own[mask], torch.stack(expected), atol=1e-5, rtol=1e-5)
        assert not own[~mask].any()

    totals = update_totals(batch, 0, batch.size, max_completion_length=8)
    assert totals.tokens == sum(map(len, alone)) == 12
    # At the start the ratio is 1 and its gradient that of the log-probability: dapo divides by the update's tokens.
    terms = [-advantage * logp for advantage, row in zip(ADVANTAGES, alone, strict=True) for logp in row]
    expected = gradients(policy, torch.stack(terms).sum() / 12)
    found = gradients(
        policy, micro_batch_loss(policy, batch, totals, config.model_copy(update={"loss_type": "dapo"}))[0].loss
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4 * float(theirs.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("tokens", [12, 20, None])
def test_micro_batches_add_up_to_the_whole(policy: Policy, tokens: int | None) -> None:
    batch, config = batch_of(), TrainConfig()
    totals = update_totals(batch, 0, batch.size, max_completion_length=8)
    whole = gradients(policy, micro_batch_loss(policy, batch, totals, config)[0].loss)
    spans = micro_batches(batch, 0, batch.size, rows=2, tokens=tokens)
    assert len(spans) > 1
    parts = [
        gradients(policy, micro_batch_loss(policy, batch.rows(*span), totals, config)[0].loss)
        for span in spans
        if batch.rows(*span).completion_mask.any()
    ]
    for summed, one in zip(map(sum, zip(*parts, strict=True)), whole, strict=True):
        torch.testing.assert_close(summed, one, atol=1e-4 * float(one.abs().max()), rtol=1e-3)


def test_inserted_tokens_matter_as_context_and_their_log_probs_do_not(policy: Policy) -> None:
    batch, config = batch_of(), TrainConfig()
    totals = update_totals(batch, 0, batch.size, max_completion_length=8)
    before, logps = micro_batch_loss(policy, batch, totals, config)
    assert batch.sampler_logps is not None
    nonsense = torch.where(batch.completion_mask, batch.sampler_logps, 50.0)
    again, _ = micro_batch_loss(policy, replace(batch, sampler_logps=nonsense), totals, config)
    assert torch.equal(before.loss, again.loss)
    other = [(GROUPS[0][0], [([9, 10, 50, 51, 42, 43], "110011"), *GROUPS[0][1][1:]]), GROUPS[1]]
    moved = policy_logps(policy, batch_of(other), config).logps.detach() - logps
    assert moved[0, :2].abs().max() < 1e-5
    assert moved[0, 4:].abs().min() > 1e-5
    assert moved[1:].abs().max() < 1e-5


def test_the_packed_states_are_one_for_each_trained_token() -> None:
    batch = batch_of()
    packed = pack(batch)
    assert len(packed.predictors) == int(batch.completion_mask.sum())
    # The token behind each predictor, or behind the prompt's end, is the trained one.
    following = packed.input_ids[packed.predictors].tolist()
    assert following == [8, 9, 41, 42, 8, 11, 8, 13, 14, 22, 23, 21]


@pytest.mark.parametrize(("ended", "kept"), [("done", 12), ("deadline", 12), ("error", 0)])
def test_an_episode_whose_environment_broke_is_left_out(ended: str, kept: int) -> None:
    batch = batch_of(ended=ended)
    assert int(batch.completion_mask.sum()) == kept
    assert bool(batch.attention_mask[:, 4:].any()) is bool(kept)
