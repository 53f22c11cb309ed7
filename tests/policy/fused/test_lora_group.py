"""A group of linear layers against peft's own layers, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lora_layers import make_lora_layers as layers
from torch import Tensor

from lydite.kernels import switch as kernels
from lydite.policy.adapter import ADAPTER, Switch
from lydite.policy.fused import frozen
from lydite.policy.fused.lora_group import LinearGroup
from lydite.policy.nf4 import unpacked, unpacked_copies


def masters(parts: Sequence[Any]) -> list[Tensor]:
    return [one for layer in parts for one in layer.parameters() if one.requires_grad]


def run(compute: Any, parts: Sequence[Any], x: Tensor, used: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs, and the gradients of x and of every A and B for a loss of some of the outputs."""
    x = x.detach().clone().requires_grad_()
    outputs = list(compute(x))
    loss = sum((outputs[place].double() * (1.0 + place)).square().mean() for place in used)
    wanted = [x, *masters(parts)]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [one.detach() for one in outputs], [
        torch.zeros_like(one) if by is None else by for one, by in zip(wanted, found, strict=True)
    ]


def assert_near(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype is other.dtype
        assert one.shape == other.shape
        assert float((one - other).norm()) <= tolerance * float(other.norm())


def agree(parts: list[Any], x: Tensor, tolerance: float, used: Sequence[int] | None = None) -> None:
    used = range(len(parts)) if used is None else used
    outputs, gradients = run(LinearGroup(parts, Switch()), parts, x, used)
    expected, by_hand = run(lambda given: [layer(given) for layer in parts], parts, x, used)
    assert_near(outputs, expected, tolerance)
    assert_near(gradients, by_hand, tolerance)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_outputs_and_gradients_are_pefts(data: st.DataObject) -> None:
    outs = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    places = st.integers(0, len(outs) - 1)
    parts = layers(
        outs,
        width=data.draw(st.integers(1, 8)),
        rank=data.draw(st.integers(1, 5)),
        adapted=sorted(data.draw(st.sets(places))),
        bias=data.draw(st.booleans()),
        dtype=torch.float64,
    )
    used = sorted(data.draw(st.sets(places, min_size=1)))
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=2))
    width = parts[0].in_features
    agree(parts, torch.randn(*shape, width, dtype=torch.float64), 1e-10, used)


# bfloat16 keeps 8 bits: half a per cent of a number, here of what has been rounded three times on its way.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("nf4", [False, True])
def test_in_every_type(dtype: torch.dtype, tolerance: float, nf4: bool) -> None:
    parts = layers([96, 32, 32], rank=8, dtype=dtype, nf4=nf4)
    agree(parts, torch.randn(2, 50, 64).to(dtype), tolerance)


@pytest.mark.parametrize("rows", [1, 100])  # the second is more than the fused product takes
def test_with_packed_weights_a_part_may_have_no_adapter(rows: int) -> None:
    agree(layers([96, 32], nf4=True, adapted=[1]), torch.randn(rows, 64), 1e-5)


def test_adapters_gradients_are_float32_and_summed_in_it() -> None:
    parts = layers([64], dtype=torch.bfloat16)
    x = torch.ones(1, 2000, 64, dtype=torch.bfloat16)
    (output,) = LinearGroup(parts, Switch())(x)
    output.sum().backward()
    down, up = parts[0].lora_A[ADAPTER].weight, parts[0].lora_B[ADAPTER].weight
    assert {down.grad.dtype, up.grad.dtype} == {torch.float32}
    row = 2000 * float((down.detach().bfloat16().float().sum(1)).bfloat16()[0]) * 3.0
    assert float(up.grad[0, 0]) == pytest.approx(row, rel=0.005), "a sum in bfloat16 stops growing at 256 terms"


def test_off_it_is_the_base_and_keeps_nothing() -> None:
    parts, switch = layers([32, 16]), Switch()
    group, x = LinearGroup(parts, switch), torch.randn(3, 64, requires_grad=True)
    switch.on = False
    kept = kept_by(lambda: group(x))
    assert kept == []
    outputs = group(x)
    for output, layer in zip(outputs, parts, strict=True):
        torch.testing.assert_close(output, layer.base_layer(x), rtol=0, atol=0)
    (outputs[0].sum() + outputs[1].sum()).backward()
    expected = parts[0].base_layer.weight.sum(0) + parts[1].base_layer.weight.sum(0)
    torch.testing.assert_close(x.grad, expected.expand(3, -1))
    assert all(one.grad is None for one in masters(parts))


def test_it_keeps_the_input_one_small_product_and_the_adapter_as_it_was_cast() -> None:
    parts = layers([32, 16, 8], rank=4, nf4=True)
    group, x = LinearGroup(parts, Switch()), torch.randn(5, 64, requires_grad=True)
    kept = kept_by(lambda: group(x))
    adapter = [(3 * 4, 64), (32, 4), (16, 4), (8, 4)]
    assert sorted(tuple(one.shape) for one in kept) == sorted([(5, 3 * 4), (5, 64), *adapter])


def test_an_input_without_a_gradient_gets_none() -> None:
    parts = layers([32])
    (output,) = LinearGroup(parts, Switch())(torch.randn(3, 64))
    output.sum().backward()
    assert all(one.grad is not None for one in masters(parts))


def test_a_copy_is_multiplied_by_while_it_is_open() -> None:
    parts = layers([32], nf4=True, bias=False, adapted=[])
    group, x = LinearGroup(parts, Switch()), torch.randn(3, 64, requires_grad=True)
    plain = unpacked(parts[0])
    with unpacked_copies(parts[0]):
        parts[0].unpacked_copy.mul_(2.0)
        (output,) = group(x)
        output.sum().backward()
    torch.testing.assert_close(output, x @ (2.0 * plain).t())
    torch.testing.assert_close(x.grad, (2.0 * plain).sum(0).expand(3, -1))
    torch.testing.assert_close(group(x)[0], x @ plain.t())


def test_one_piece_of_memory_serves_all_packed_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "is_on", lambda _name, _device: True)
    monkeypatch.setattr(frozen, "_scratch", {})
    parts = layers([96, 32, 64], nf4=True)
    agree(parts, torch.randn(70, 64), 1e-5)
    (memory,) = frozen._scratch.values()
    assert memory.numel() == 96 * 64
    assert kernels.KERNELS[0] == "nf4_dequantise", "the kernel whose state decides"


@pytest.mark.parametrize("what", ["dropout", "hook", "another type"])
def test_what_does_more_than_multiply_goes_layer_by_layer(what: str) -> None:
    parts = layers([32], lora_dropout=0.5 if what == "dropout" else 0.0)
    group, x = LinearGroup(parts, Switch()), torch.randn(3, 64)
    called: list[int] = []
    if what == "hook":
        parts[0].lora_A[ADAPTER].register_forward_hook(lambda *_: called.append(1))
    elif what == "another type":
        x = x.bfloat16().double()
        parts[0].base_layer.double()
        parts[0].base_layer.weight.data = parts[0].base_layer.weight.data.float()
        x = x.float().requires_grad_().bfloat16()
    assert group.lora(x.dtype) is None
    if what == "hook":
        group(x)
        assert called == [1]
    if what == "dropout":
        assert not torch.equal(group(x)[0], group(x)[0])
        parts[0].eval()
        assert group.lora(x.dtype) is not None
    if what == "another type":
        assert group.lora(torch.float32) is not None


def test_a_held_adapter_is_cast_once_and_computes_the_same() -> None:
    switch, x = Switch(), torch.randn(5, 64).bfloat16()
    parts = layers([32, 48])
    for part in parts:
        part.base_layer.to(torch.bfloat16)
    group = LinearGroup(parts, switch)

    def results() -> list[Tensor]:
        given = x.clone().requires_grad_()
        outputs = group(given)
        masters = [one.lora_A[ADAPTER].weight for one in parts] + [one.lora_B[ADAPTER].weight for one in parts]
        return [*outputs, *torch.autograd.grad(sum(one.float().square().sum() for one in outputs), (given, *masters))]

    apart = results()
    with switch.held():
        for _ in range(2):
            assert all(torch.equal(one, other) for one, other in zip(results(), apart, strict=True))
        lora = group.lora(torch.bfloat16)
        assert lora is not None
        assert lora is group.lora(torch.bfloat16)
        switch.on = False
        off = group(x)
        switch.on = True
        assert not any(torch.equal(one, other) for one, other in zip(off, apart, strict=False)), "off is not on"
    with torch.no_grad():
        parts[0].lora_B[ADAPTER].weight.add_(1.0)
    assert not torch.equal(results()[0], apart[0]), "what changes after it is seen"


def kept_by(compute: Any) -> list[Tensor]:
    """What autograd keeps of a computation."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        compute()
    return kept
