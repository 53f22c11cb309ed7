"""Layers that compute their activations again, with their inputs here or elsewhere: the same gradients."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from lydite.config import LoraConfig
from lydite.policy import Policy
from lydite.policy.activations import Activations
from lydite.policy.offload import AT_ONCE, Offload, Stored

Load = Callable[..., Policy]
Tokens = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
CPU = torch.device("cpu")


def gradients(policy: Policy, tokens: Tokens) -> list[torch.Tensor]:
    for one in policy.trainable().values():
        one.grad = None
    torch.manual_seed(0)  # of dropout
    policy.train_mode()
    policy.hidden_states(*tokens).square().mean().backward()
    found = [one.grad for one in policy.trainable().values() if one.grad is not None]
    assert len(found) == len(policy.trainable())
    return found


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [LoraConfig(r=4), LoraConfig(r=4, dropout=0.3), LoraConfig(enabled=False)])
def test_gradients_are_the_same_whatever_is_computed_again(
    load: Load, tokens: Tokens, lora: LoraConfig, dtype: str, offload: bool
) -> None:
    policy = load(lora=lora, dtype=dtype, trained=True)
    expected = gradients(policy, tokens)
    activations = Activations(policy, offload=Offload(CPU) if offload else None)
    runs: list[int] = []
    for place, layer in enumerate(policy.causal.model.layers):
        layer.mlp.register_forward_pre_hook(lambda *_, place=place: runs.append(place))
    for count in (0, 1, activations.layers):
        activations.recompute(count)
        runs.clear()
        for ours, plain in zip(gradients(policy, tokens), expected, strict=True):
            torch.testing.assert_close(ours, plain, rtol=0, atol=0)
        assert sorted(runs) == sorted([0, 1, 2, *range(count)]), "the lowest ones, once more each"


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_what_waits_elsewhere_are_the_inputs_of_the_layers_that_compute_again(
    load: Load, tokens: Tokens, dropout: float
) -> None:
    policy, watched = load(lora=LoraConfig(r=4, dropout=dropout), trained=True), Watched()
    Activations(policy, offload=watched).recompute(2)
    gradients(policy, tokens)
    assert [place for what, place in watched.order if what == "out"] == [0, 1]
    assert [place for what, place in watched.order if what == "used"] == [1, 0]


def test_the_switch_can_be_turned_back(load: Load, tokens: Tokens) -> None:
    policy = load()
    activations = Activations(policy)
    activations.recompute(3)
    activations.recompute(0)
    assert not any(layer.gradient_checkpointing for layer in policy.causal.model.layers)


class Watched(Offload):
    """Notes what goes out and comes back, and when a copy is fetched."""

    def __init__(self) -> None:
        super().__init__(CPU)
        self.order: list[tuple[str, int]] = []
        self.stored: list[weakref.ref[Stored]] = []

    def _place(self, stored: Stored) -> int:
        return [one() for one in self.stored].index(stored)

    def near(self) -> int:
        """Tensors that the device holds now."""
        return sum(one() is not None and one().near is not None for one in self.stored)  # type: ignore[union-attr]

    def _send(self, stored: Stored) -> None:
        self.stored.append(weakref.ref(stored))
        self.order.append(("out", self._place(stored)))
        super()._send(stored)

    def _fetch(self, stored: Stored) -> None:
        self.order.append(("back", self._place(stored)))
        super()._fetch(stored)

    def _unpack(self, stored: Any) -> torch.Tensor:
        if isinstance(stored, Stored):
            self.order.append(("used", self._place(stored)))
        return super()._unpack(stored)


def chain(offload: Offload, depth: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """A deep function of a leaf through hooks, and how many tensors were near after each layer."""
    leaf = torch.linspace(-1, 1, 6, requires_grad=True)
    value, near = leaf, []
    for _ in range(depth):
        with offload.hooks():
            value = checkpoint(lambda x: torch.sin(3 * x) + x, value, use_reentrant=False)
        near.append(offload.near() if isinstance(offload, Watched) else 0)
    return leaf, value.sum(), near


def test_two_are_on_their_way_and_the_next_one_is_fetched_before_it_is_used() -> None:
    watched = Watched()
    leaf, loss, near = chain(watched, 6)
    assert near == [1, *[AT_ONCE] * 5], "the others are in the host's memory only"
    loss.backward()
    assert watched.order[:6] == [("out", place) for place in range(6)]
    assert watched.order[6:] == [
        ("used", 5), ("used", 4), ("back", 3), ("used", 3), ("back", 2), ("used", 2), ("back", 1), ("used", 1),
        ("back", 0), ("used", 0),
    ]  # fmt: skip
    assert watched.near() == 0
    plain = torch.linspace(-1, 1, 6, requires_grad=True)
    value = plain
    for _ in range(6):
        value = torch.sin(3 * value) + value
    value.sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, plain.grad, rtol=0, atol=0)


def test_a_pass_that_is_given_up_leaves_nothing_behind() -> None:
    watched = Watched()
    leaf, loss, _ = chain(watched, 4)
    del leaf, loss
    gc.collect()
    assert all(one() is None for one in watched.stored)
    leaf, loss, _ = chain(watched, 3)
    loss.backward()
    assert leaf.grad is not None
    assert ("back", 3) not in watched.order


def test_numbers_that_are_no_floats_stay_where_they_are() -> None:
    offload, whole = Offload(CPU), torch.arange(3)
    assert offload._pack(whole) is whole
    assert offload._unpack(whole) is whole
