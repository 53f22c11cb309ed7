"""A micro-batch packed into one sequence: the same log-probs and gradients as each completion on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scored_steps import scored_step
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig, TrainConfig
from lydite.objective import Batch, build_batch, micro_batch_loss, policy_logps, reference_logps, update_totals
from lydite.objective.packed import pack
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.policy.activations import Activations
from lydite.policy.layout import Layout, PackedGroup
from lydite.policy.packed_attention import packed_attention

Group = tuple[list[int], list[list[int]]]


def batch_of(groups: list[Group], masked: frozenset[tuple[int, int]] = frozenset()) -> Batch:
    step = scored_step(
        [[1.0] * len(answers) for _, answers in groups],
        prompts=[prompt for prompt, _ in groups],
        tokens=[answers for _, answers in groups],
        finish=[
            ["length" if (number, place) in masked else "stop" for place in range(len(answers))]
            for number, (_, answers) in enumerate(groups)
        ],
        advantages=[[0.5 - place for place in range(len(answers))] for _, answers in groups],
    )
    return build_batch(step, pad_token_id=0, device="cpu", mask_truncated_completions=True)


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
    ([5, 6, 7, 8, 9, 10, 11, 12], [[9, 10, 40, 41, 42], [11], [12, 13, 14, 15]]),
    ([20], [[21, 22, 23], [24]]),
    ([30, 31], [[32]]),
    ([30, 32, 33, 34, 35, 36, 37, 38, 39], [[33, 34], [50, 51, 52]]),
]
"""The tiny models' windows of 6 tokens end inside the longer prompts; answers of one token write none."""
ARCHITECTURES = ["llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3_text", "granite", "smollm3", "cohere"]


def logps_and_gradients(
    policy: Policy, batch: Batch, *, share: bool, old: torch.Tensor | None = None, **train: Any
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    config = TrainConfig(share_prompts=share, **train)
    totals = update_totals(batch, 0, batch.size, max_completion_length=8)
    output, seen = micro_batch_loss(policy, batch, totals, config, old)
    output.loss.backward()
    gradients = [one.grad.clone() for one in policy.trainable().values() if one.grad is not None]
    for one in policy.trainable().values():
        one.grad = None
    return seen, gradients


def assert_packed_is_padded(policy: Policy, batch: Batch) -> None:
    assert policy.packs
    packed, padded = (logps_and_gradients(policy, batch, share=share) for share in (True, False))
    torch.testing.assert_close(packed[0], padded[0], atol=1e-5, rtol=1e-5)
    assert packed[1]
    for ours, theirs in zip(packed[1], padded[1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_log_probs_and_gradients_are_those_of_the_padded_path(tmp_path: Path, architecture: str) -> None:
    policy = policy_of(tmp_path / "model", architecture)
    batch = batch_of(GROUPS, masked=frozenset({(0, 2)}))
    assert_packed_is_padded(policy, batch)
    activations = Activations(policy)
    activations.recompute(activations.layers)
    policy.train_mode()
    assert_packed_is_padded(policy, batch)


@pytest.mark.parametrize("level", ["sequence", "sequence_token"])
def test_the_ratio_of_a_sequence_is_that_of_its_own_tokens_packed_or_padded(tmp_path: Path, level: Any) -> None:
    policy = policy_of(tmp_path / "model", "llama")
    batch = batch_of(GROUPS, masked=frozenset({(0, 2)}))
    old = policy_logps(policy, batch, TrainConfig()).logps.detach()
    noise = torch.randn(old.shape, generator=torch.Generator().manual_seed(4)) * 0.1
    gspo = {"loss_type": "grpo", "importance_sampling_level": level, "epsilon": 0.5, "epsilon_high": 0.5}
    packed, padded = (
        logps_and_gradients(policy, batch, share=share, old=old + noise, **gspo) for share in (True, False)
    )
    assert any(bool(one.any()) for one in packed[1])
    for ours, theirs in zip(packed[1], padded[1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    # Garbage behind the completions plays no part, whatever it is.
    garbage = torch.where(batch.completion_mask, old + noise, 7.0)
    for ours, theirs in zip(
        logps_and_gradients(policy, batch, share=True, old=garbage, **gspo)[1], packed[1], strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_model_of_text_and_pictures_packs_its_text(tmp_path: Path) -> None:
    assert_packed_is_padded(policy_of(tmp_path / "model", "gemma3"), batch_of(GROUPS))


def test_full_fine_tuning_packs_its_frozen_start_too(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "model", "qwen3")
    policy = load_policy(
        ModelConfig(path=str(tmp_path / "model"), dtype="float32"), LoraConfig(enabled=False),
        load_plugins(allow=["lydite-families"]), 0,
    )  # fmt: skip
    batch = batch_of(GROUPS)
    assert_packed_is_padded(policy, batch)
    first = policy_logps(policy, batch, TrainConfig()).logps.detach()
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.mul_(0.9)
    for share in (True, False):
        reference = reference_logps(policy, batch, TrainConfig(share_prompts=share))
        torch.testing.assert_close(reference, first, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["qwen3", "gemma2"])
@pytest.mark.parametrize("adapted", [True, False])
def test_16_bit_packs_within_its_rounding(tmp_path: Path, architecture: str, adapted: bool) -> None:
    make_tiny_model(tmp_path / "model", architecture)
    policy = load_policy(
        ModelConfig(path=str(tmp_path / "model"), dtype="bfloat16"), LoraConfig(r=4, enabled=adapted),
        load_plugins(allow=["lydite-families"]), 0,
    )  # fmt: skip
    assert policy.packs
    batch = batch_of(GROUPS)
    packed, padded = (logps_and_gradients(policy, batch, share=share) for share in (True, False))
    assert float((packed[0] - padded[0]).abs().mean()) < 0.05  # of log-probs around -5
    assert {one.dtype for one in packed[1]} == {torch.float32}


def test_a_recurrence_that_would_run_over_the_groups_is_padded(tmp_path: Path) -> None:
    assert not policy_of(tmp_path / "model", "qwen3_next").packs


def test_a_model_that_hands_no_layout_through_is_padded_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of(tmp_path / "model", "llama")
    trunk, forward = policy.causal.get_decoder(), type(policy.causal.get_decoder()).forward

    def without_layout(self: Any, *, layout: Any = None, **given: Any) -> Any:
        return forward(self, **given)

    monkeypatch.setattr(type(trunk), "forward", without_layout)
    assert not policy.packs
    assert trunk.config._attn_implementation == "sdpa"
    batch = batch_of(GROUPS)
    expected = policy_logps(policy, batch, TrainConfig(share_prompts=False)).logps
    assert torch.equal(policy_logps(policy, batch, TrainConfig()).logps, expected)


@pytest.mark.parametrize("forgets", [True, False])
def test_a_window_that_a_layer_does_not_hand_to_its_attention_shows_in_the_trial(tmp_path: Path, forgets: bool) -> None:
    policy = policy_of(tmp_path / "model", "gemma3_text")
    trunk = policy.causal.get_decoder()
    windowed = [layer.self_attn for layer in trunk.layers if layer.self_attn.sliding_window]
    for holder in (trunk.config, *windowed):
        holder.sliding_window = 4096  # longer than a trial may be, so that only a shorter one can tell
    if forgets:
        windowed[0].sliding_window = None
    assert policy.packs is not forgets
    assert trunk.config.sliding_window == 4096
    assert trunk.config._attn_implementation == ("sdpa" if forgets else "lydite")


@pytest.mark.parametrize("groups", [GROUPS, [([5, 6, 7, 8, 9, 10, 11, 12], [[9, 10, 40]])]])
def test_without_a_layout_nothing_changes(tmp_path: Path, groups: list[Group]) -> None:
    batch = batch_of(groups)  # of the second, no token is padding, so that there is no mask
    for architecture in ("mistral", "gemma2", "gemma3_text"):
        policy = policy_of(tmp_path / architecture, architecture)
        written = policy.config.to_dict()
        before = policy.hidden_states(batch.input_ids, batch.attention_mask, batch.position_ids)
        answer = greedy(policy)
        assert policy.packs
        after = policy.hidden_states(batch.input_ids, batch.attention_mask, batch.position_ids)
        seen = batch.attention_mask.bool()
        torch.testing.assert_close(after[seen], before[seen], atol=1e-6, rtol=1e-6)
        assert greedy(policy) == answer
        assert policy.config.to_dict() == written
        policy.save_adapter(tmp_path / "saved")
        assert "lydite" not in (tmp_path / "saved" / "adapter_config.json").read_text().replace(str(tmp_path), "")


def greedy(policy: Policy) -> list[list[int]]:
    """Five likeliest tokens behind prompts of different lengths, by transformers' own decoding."""
    prompts = torch.tensor([[0, 0, 5, 6, 7, 8, 9, 10], [1, 2, 3, 4, 5, 6, 7, 8]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8])
    made = policy.causal.generate(
        input_ids=prompts, attention_mask=mask, max_new_tokens=5, min_new_tokens=5, do_sample=False, pad_token_id=0
    )
    return made.tolist()


def test_the_rows_of_a_micro_batch_may_begin_and_end_inside_a_group(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "model", "llama")
    batch = batch_of(GROUPS)
    whole = policy_logps(policy, batch, TrainConfig()).logps
    part = policy_logps(policy, batch.rows(1, 5), TrainConfig()).logps
    torch.testing.assert_close(part, whole[1:5, : part.shape[1]], atol=1e-5, rtol=1e-5)


tokens = st.lists(st.integers(1, 50), min_size=1, max_size=5)
groups = st.lists(st.tuples(tokens, st.lists(tokens, min_size=1, max_size=4)), min_size=1, max_size=4)


@given(groups, st.none() | st.integers(1, 6))
def test_every_token_sees_its_prompt_and_its_own_past_and_nothing_else(made: list[Group], window: int | None) -> None:
    batch = batch_of(made)
    packed = pack(batch)
    kept = batch.completion_mask.nonzero().tolist()
    assert len(kept) == len(packed.predictors)
    assert packed.layout.tokens == len(packed.input_ids) == len(packed.position_ids)
    length = packed.layout.tokens
    even, marks = torch.zeros(1, 1, length, length), torch.eye(length)[None, None]
    weights = packed_attention(even, even, marks, packed.layout, scale=1.0, window=window)[0, :, 0]
    answers = [(prompt, answer) for prompt, several in made for answer in several]
    for (index, place), predictor in zip(kept, packed.predictors.tolist(), strict=True):
        prompt, answer = answers[index]
        visible = weights[predictor].nonzero().flatten()
        past = [*prompt, *answer[:place]]
        reach = len(past) if window is None else window
        assert packed.input_ids[visible].tolist() == past[-reach:]
        assert packed.position_ids[visible].tolist() == list(range(len(past)))[-reach:]


def test_a_micro_batch_has_no_token_that_is_not_needed() -> None:
    packed = pack(batch_of([([1, 2, 3], [[4, 5, 6], [7, 8]]), ([1, 2], [[9]])]))
    assert packed.input_ids.tolist() == [1, 2, 3, 4, 5, 7, 1, 2]
    assert packed.position_ids.tolist() == [0, 1, 2, 3, 4, 3, 0, 1]
    assert packed.predictors.tolist() == [2, 3, 4, 2, 5, 7]
    assert packed.layout.groups == (PackedGroup(3, (2, 1)), PackedGroup(2, (0,)))
    assert packed.layout.longest == 5


@pytest.mark.parametrize("groups", [(), (PackedGroup(0, (1,)),), (PackedGroup(1, (-1,)),)])
def test_a_layout_that_cannot_be_is_refused(groups: tuple[PackedGroup, ...]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Layout(groups)
