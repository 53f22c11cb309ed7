"""The 16-bit copies of 4-bit weights, as the engine's layers hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from support.vllm_groups import FUSED, group_of

from lydite.policy import Policy
from lydite.rollout.vllm.binding import Binding, Group


def groups_of(policy: Policy) -> tuple[Binding, list[Group]]:
    """All of the model's groups, each with room for a copy."""
    binding, made = Binding(policy, unpack=True), []
    for layer in range(policy.config.num_hidden_layers):
        for name in FUSED:
            made.append(group_of(binding, layer, name))
            binding.make_copy(made[-1])
    return binding, made


def storages(groups: Iterable[Group]) -> set[int]:
    return {group.whole.untyped_storage().data_ptr() for group in groups if group.whole is not None}


def test_all_copies_are_of_one_piece_and_none_overwrites_another(make_policy: Callable[..., Policy]) -> None:
    binding, groups = groups_of(make_policy(quantization="nf4"))
    assert len(storages(groups)) == 1
    binding.unpack_all()
    for group in groups:
        alone = torch.empty(group.shape)
        group.unpack_into(alone)
        assert torch.equal(group.whole, alone)
        assert group.whole.storage_offset() * group.whole.element_size() % 256 == 0
    held = sum(group.whole.numel() for group in groups)
    assert groups[0].whole.untyped_storage().nbytes() <= 4 * held * 1.01
    binding.drop_copies()
    assert all(group.whole is None for group in groups)


def test_a_group_that_is_partly_in_16_bit_has_a_copy_too(make_policy: Callable[..., Policy]) -> None:
    binding, groups = groups_of(make_policy(quantization="nf4", keep_16bit=("k_proj",)))
    binding.unpack_all()
    for group in groups:
        alone = torch.empty(group.shape)
        group.unpack_into(alone)
        assert torch.equal(group.whole, alone)
