"""Completions behind one copy of their prompt: the same log-probs and gradients as each on its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig, TrainConfig
from lydite.objective import Batch, build_batch, micro_batch_loss, policy_logps, update_totals
from lydite.objective.shared import share_prompts
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.types import Completion, Generated, Parsed, Prompt, Sample, Scored, ScoredCompletion, ScoredGroup

Group = tuple[list[int], list[list[int]]]


def batch_of(groups: list[Group], masked: frozenset[tuple[int, int]] = frozenset()) -> Batch:
    scored = []
    for number, (prompt, answers) in enumerate(groups):
        made = tuple(
            ScoredCompletion(
                Generated(tuple(ids), "", "", "length" if (number, place) in masked else "stop"),
                Completion("", Parsed("x"), index=place),
                {},
                1.0,
                0.5 - place,
            )
            for place, ids in enumerate(answers)
        )
        scored.append(ScoredGroup(Prompt(Sample(str(number), "?"), "?", tuple(prompt)), made))
    return build_batch(Scored(tuple(scored), {}, {}), pad_token_id=0, device="cpu", mask_truncated_completions=True)


def policy_of(folder: Path, architecture: str) -> Policy:
    make_tiny_model(folder, architecture, dtype=torch.float32)
    policy = load_policy(
        ModelConfig(path=str(folder), dtype="float32"), LoraConfig(r=4), load_plugins(allow=["lydite-families"]), 0
    )
    with torch.no_grad():
        for index, parameter in enumerate(policy.trainable().values()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)) * 0.1)
    return policy


GROUPS: list[Group] = [
    ([5, 6, 7, 8], [[9, 10], [11], [12, 13, 14, 15]]),
    ([20], [[21, 22, 23], [24]]),
    ([30, 31], [[32], [33, 34]]),
]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3"])
def test_log_probs_and_gradients_are_those_of_the_padded_path(tmp_path: Path, architecture: str) -> None:
    policy = policy_of(tmp_path / "model", architecture)
    batch = batch_of(GROUPS, masked=frozenset({(0, 1)}))
    gradients, logps = [], []
    for share in (True, False):
        config = TrainConfig(share_prompts=share)
        totals = update_totals(batch, 0, batch.size, max_completion_length=8)
        output, seen = micro_batch_loss(policy, batch, totals, config)
        output.loss.backward()
        logps.append(seen)
        gradients.append([one.grad.clone() for one in policy.trainable().values() if one.grad is not None])
        for one in policy.trainable().values():
            one.grad = None
    torch.testing.assert_close(logps[0], logps[1], atol=1e-5, rtol=1e-5)
    assert gradients[0]
    for shared, padded in zip(*gradients, strict=True):
        torch.testing.assert_close(shared, padded, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("architecture", "shares"), [("llama", True), ("qwen3", True), ("gemma2", False)])
def test_layers_with_a_window_keep_their_own_mask(tmp_path: Path, architecture: str, shares: bool) -> None:
    assert policy_of(tmp_path / "model", architecture).shares_prompts is shares


def test_the_rows_of_a_micro_batch_may_begin_and_end_inside_a_group(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "model", "llama")
    batch = batch_of(GROUPS)
    whole = policy_logps(policy, batch, TrainConfig()).logps
    part = policy_logps(policy, batch.rows(1, 5), TrainConfig()).logps
    torch.testing.assert_close(part, whole[1:5, : part.shape[1]], atol=1e-5, rtol=1e-5)


tokens = st.lists(st.integers(1, 50), min_size=1, max_size=5)
groups = st.lists(st.tuples(tokens, st.lists(tokens, min_size=1, max_size=4)), min_size=1, max_size=4)


@given(groups)
def test_every_token_sees_its_prompt_and_its_own_past_and_nothing_else(made: list[Group]) -> None:
    batch = batch_of(made)
    shared = share_prompts(batch)
    width = shared.input_ids.shape[1]
    kept = batch.completion_mask.nonzero().tolist()
    assert len(kept) == len(shared.predictors)
    answers = [(prompt, answer) for prompt, several in made for answer in several]
    for (index, place), predictor in zip(kept, shared.predictors.tolist(), strict=True):
        row, column = divmod(predictor, width)
        seen = shared.allowed[row, column].nonzero().flatten().tolist()
        prompt, answer = answers[index]
        assert shared.input_ids[row, seen].tolist() == [*prompt, *answer[:place]]
        assert shared.position_ids[row, seen].tolist() == list(range(len(prompt) + place))
