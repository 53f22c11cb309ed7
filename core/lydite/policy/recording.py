"""Layers whose forward and backward pass are recorded once and then replayed, so that a pass costs the host little.

A pass of a small model takes the host longer than the GPU: some 140 launches a layer, each by Python. Here a layer that
keeps its input alone (`policy.recompute`) is two recordings,

    forward     Y = layer(X)
    backward    layer(X) again, then dX and the gradients of what is trained

on tensors that all layers share. Each pass is filled up to a size (`policy.fixed_layout`), and what tells its tokens
apart is copied to where the recordings read it. The first pass of a size runs unrecorded, which compiles the kernels,
the second records, and from then on a layer is a copy in, a replay and a copy out.

Source: CUDA graphs of single layers, with static inputs, as in torch.cuda.make_graphed_callables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lydite.policy.adapter import Switch
from lydite.policy.capture import Recorder, Work
from lydite.policy.dtypes import name_of
from lydite.policy.fixed_layout import Size, copied, filled_layout, filled_places, size_for, tensors_of
from lydite.policy.fused.families import KEYWORDS, known_as
from lydite.policy.fused.frozen import scratch
from lydite.policy.layout import Layout, Places
from lydite.policy.nf4 import unpacked_copy
from lydite.policy.policy import Policy, trunk_of
from lydite.policy.recompute import computes_plainly

logger = logging.getLogger("lydite")

Forward: TypeAlias = Callable[[Tensor], Tensor]
Shapes: TypeAlias = tuple[torch.Size | None, ...]
_SIZES: Final = 4  # that are recorded; passes of others run as ever
_ALIGNED: Final = 128  # tokens: products are fastest at multiples of their tiles
_TRIALS: Final = 2  # passes that are also computed unrecorded: the one that was recorded, and one with other numbers
_TOLERANCE: Final = 0.02  # of the norm: the same kernels, but products may choose others, and sums another order


class Recording:
    """The recordings of a policy's layers, and the pass that is going on."""

    def __init__(self, policy: Policy, tokens: int, recorder: Recorder) -> None:
        """Passes of fewer than `tokens` tokens are recorded, of a policy with an adapter.

        A micro-batch of so many has fewer in its pass, for the last token of a completion predicts nothing.
        """
        assert policy.switch is not None, "why_unrecorded says what can be recorded"
        self._tokens = -(-tokens // _ALIGNED) * _ALIGNED
        self._device, self._switch, self._recorder = policy.device, policy.switch, recorder
        self._slots: dict[Size, _Slot] = {}
        self._pass: _Pass | None = None
        self._trials = _TRIALS
        self.failed = ""
        """Why nothing is recorded any more; empty while all is well."""

    def begin(self, layout: Layout) -> Layout | None:
        """The filled layout for a pass over these tokens, which may be recorded; None where it is to run as it is."""
        self._pass = None
        recorded = not self.failed and self._switch.on and torch.is_grad_enabled()
        size = size_for(layout, self._tokens) if recorded else None
        if size is None or (size not in self._slots and len(self._slots) == _SIZES):
            return None
        slot = self._slots.setdefault(size, _Slot())
        if slot.moved():
            self._slots[size] = slot = _Slot()
        places, filled = filled_places(layout, size, self._device), filled_layout(layout, size)
        filled.hold(places, self._device)
        self._pass = _Pass(slot, filled, places, layout.tokens)
        return filled

    def run(
        self, layer: nn.Module, trained: Sequence[Tensor], forward: partial[Tensor], hidden: Tensor
    ) -> Tensor | None:
        """What the layer makes of hidden states [1, S, H] of the pass that was begun; None where it is to run itself.

        `forward` is the layer with its other arguments, as transformers hands them over.
        """
        now = self._pass
        if now is None or forward.keywords.get("layout") is not now.layout or not now.turns_by(forward):
            return None
        if layer not in now.slot.seen:
            now.slot.seen.add(layer)
            return None
        kept = now.slot.layers.get(layer)
        try:
            if kept is None:
                kept = _record(layer, forward, hidden, now, self._switch, self._recorder)
                now.slot.layers[layer] = kept
            if self._trials and kept is next(iter(now.slot.layers.values())):
                self._try(kept, trained, forward, hidden, now)
        except RuntimeError as error:
            self._give_up(str(error))
            return None
        found: Tensor = _Replayed.apply(hidden, kept, now, *trained)  # type: ignore[no-untyped-call]
        return found

    @torch.no_grad()
    def _try(self, kept: _Layer, trained: Sequence[Tensor], forward: Forward, hidden: Tensor, now: _Pass) -> None:
        self._trials -= 1
        x, slope = hidden.detach(), torch.randn_like(hidden)
        slope[:, now.tokens :] = 0.0
        expected_x, expected = _gradients(forward, x, slope, trained)
        by_x, found = kept.backward(x, slope, now)
        pairs = [(kept.forward(x, now)[:, : now.tokens], forward(x)[:, : now.tokens]), (by_x, expected_x)]
        pairs.append((_joined(found), _joined(expected)))
        for what, (ours, own) in zip(("output", "slope by its input", "slope by its adapter"), pairs, strict=True):
            gap, norm = float((ours.float() - own.float()).norm()), float(own.float().norm())
            if not gap <= _TOLERANCE * norm:
                raise RuntimeError(f"a replayed layer's {what} is {gap:.3g} off, of {norm:.3g}")

    def _give_up(self, why: str) -> None:
        self.failed = why.partition("\n")[0]
        self._slots.clear()
        self._pass = None
        logger.warning("passes are not recorded: %s; they run as with train.cuda_graphs = false", self.failed)


def why_unrecorded(policy: Policy) -> str | None:
    """What stands in the way of recording this policy's layers; None where nothing does."""
    if not policy.adapted:
        return "lora.enabled = false trains every weight under autocast"
    if policy.device.type != "cuda":
        return "it needs a CUDA device"
    if policy.dtype.itemsize != 2:
        return f"attention that can be recorded takes 16-bit types, and the model is held in {name_of(policy.dtype)}"
    from transformers.modeling_layers import GradientCheckpointingLayer

    trunk = trunk_of(policy.causal)
    layers = [one for one in trunk.modules() if isinstance(one, GradientCheckpointingLayer)]
    if not layers or not all(map(computes_plainly, layers)):
        return f"layers of a {policy.config.model_type!r} model are unknown here, or draw numbers"
    attentions = [(one, known) for one in trunk.modules() if (known := known_as(one, "Attention")) is not None]
    if any(value is not None for one, known in attentions for value in KEYWORDS[known](one).values()):
        return "its attention has a window or bounded scores"
    return None if policy.packs else "its passes are not packed"


@dataclass(slots=True, eq=False)
class _Pass:
    """What tells one pass from another, beside its hidden states."""

    slot: _Slot
    layout: Layout
    places: Places
    tokens: int
    """Without the filling."""
    embeddings: tuple[Tensor, ...] | None = None
    """Cosines and sines of the positions."""

    def turns_by(self, forward: partial[Tensor]) -> bool:
        """Whether the layer turns queries and keys as the layers before it do, which the recordings share."""
        given = forward.keywords.get("position_embeddings")
        if given is None:
            return False
        if self.embeddings is None:
            self.embeddings = tuple(given)
        return all(one is other for one, other in zip(given, self.embeddings, strict=True))


@dataclass(slots=True, eq=False)
class _Shared:
    """The tensors that all recordings of a size read and write."""

    places: Places
    layout: Layout
    embeddings: tuple[Tensor, ...]
    hidden: Tensor
    output: Tensor
    slope: Tensor
    """The loss by the output."""
    by_hidden: Tensor
    slopes: dict[Shapes, Tensor] = field(default_factory=dict)
    """The loss by everything that a layer trains, end to end, by what it trains."""

    @classmethod
    def of(cls, now: _Pass, hidden: Tensor) -> _Shared:
        """Room for passes like this one."""
        assert now.embeddings is not None
        places, layout = copied(now.places), Layout(now.layout.groups)
        layout.hold(places, hidden.device)
        room = [torch.zeros_like(hidden) for _ in range(4)]
        return cls(
            places, layout, tuple(one.clone() for one in now.embeddings),
            hidden=room[0], output=room[1], slope=room[2], by_hidden=room[3],
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class _Slot:
    """The recordings of passes of one size."""

    seen: set[nn.Module] = field(default_factory=set)
    """Layers that have run unrecorded."""
    layers: dict[nn.Module, _Layer] = field(default_factory=dict)
    shared: _Shared | None = None
    holds: _Pass | None = None
    """The pass whose numbers lie where the recordings read them."""

    def moved(self) -> bool:
        """True when a parameter is no longer where a recording reads it."""
        return any(layer.addresses != _addresses(layer.readers) for layer in self.layers.values())

    def hold(self, now: _Pass) -> _Shared:
        """The shared tensors, with this pass's numbers in them."""
        assert self.shared is not None
        assert now.embeddings is not None
        if self.holds is not now:
            ours = (*tensors_of(self.shared.places), *self.shared.embeddings)
            for room, value in zip(ours, (*tensors_of(now.places), *now.embeddings), strict=True):
                room.copy_(value)
            self.holds = now
        return self.shared


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """The two recordings of a layer."""

    slot: _Slot
    readers: tuple[nn.Module, ...]
    """The modules that have parameters: to look for them in the layer anew for each pass takes milliseconds."""
    addresses: tuple[int, ...]
    ahead: Work
    back: Work
    slopes: Tensor
    """The loss by everything that is trained, end to end."""
    shapes: Shapes
    """Of what is trained; None for what has no gradient."""
    holds: tuple[Tensor, ...]
    """What both compute in, outside of their own memory."""

    def forward(self, hidden: Tensor, now: _Pass) -> Tensor:
        shared = self.slot.hold(now)
        shared.hidden.copy_(hidden)
        self.ahead()
        return shared.output.clone()

    def backward(self, hidden: Tensor, gradient: Tensor, now: _Pass) -> tuple[Tensor, list[Tensor | None]]:
        """The loss by the input, and by each that is trained."""
        shared = self.slot.hold(now)
        shared.hidden.copy_(hidden)
        shared.slope.copy_(gradient)
        self.back()
        pieces = iter(self.slopes.clone().split([shape.numel() for shape in self.shapes if shape is not None]))
        return shared.by_hidden.clone(), [None if one is None else next(pieces).view(one) for one in self.shapes]


class _Replayed(torch.autograd.Function):
    """As `recompute.computed_again`: autograd keeps the input, under the hooks that are open, and nothing else."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, kept: _Layer, now: _Pass, *trained: Tensor) -> Tensor:
        ctx.save_for_backward(hidden)
        ctx.kept, ctx.now = kept, now
        return kept.forward(hidden, now)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (hidden,) = ctx.saved_tensors
        by_hidden, by_trained = ctx.kept.backward(hidden, gradient, ctx.now)
        return by_hidden if ctx.needs_input_grad[0] else None, None, None, *by_trained


def _record(
    layer: nn.Module, forward: partial[Tensor], hidden: Tensor, now: _Pass, switch: Switch, record: Recorder
) -> _Layer:
    """Records both passes of a layer on the slot's shared tensors.

    What is made of the adapter while it is held is made in the recordings instead, which outlive that.
    """
    slot = now.slot
    if slot.shared is None:
        slot.shared = _Shared.of(now, hidden.detach())
    shared = slot.hold(now)
    shared.hidden.copy_(hidden.detach())
    given = {**forward.keywords, "layout": shared.layout, "position_embeddings": shared.embeddings}
    call = partial(forward.func, *forward.args, **given)
    with switch.anew(), _aliases(layer) as own:  # as it is recorded below
        _, found = _gradients(call, shared.hidden, shared.slope, own)
    shapes = tuple(None if one is None else one.shape for one in found)
    del found
    sizes = [shape.numel() for shape in shapes if shape is not None]
    slopes = shared.slopes.setdefault(shapes, torch.zeros(sum(sizes), dtype=torch.float32, device=hidden.device))

    def ahead() -> None:
        with switch.anew(), torch.no_grad():
            shared.output.copy_(call(shared.hidden))

    def back() -> None:
        with switch.anew(), _aliases(layer) as own:
            by_hidden, values = _gradients(call, shared.hidden, shared.slope, own)
        shared.by_hidden.copy_(by_hidden)
        pieces = slopes.split(sizes)
        present = [value for value in values if value is not None]
        torch._foreach_copy_([piece.view_as(value) for piece, value in zip(pieces, present, strict=True)], present)

    readers = tuple(one for one in layer.modules() if any(True for _ in one.parameters(recurse=False)))
    return _Layer(slot, readers, _addresses(readers), record(ahead), record(back), slopes, shapes, scratch())


@contextmanager
def _aliases(layer: nn.Module) -> Iterator[list[Tensor]]:
    """While open, what the layer trains is in it as other parameters, on the same memory; they are given.

    Autograd takes a parameter's gradient on the stream on which the parameter was first used, as long as a graph with
    it lives: work that is recorded must not reach for another stream.
    """
    places = [
        (module, name, one)
        for module in layer.modules()
        for name, one in module.named_parameters(recurse=False)
        if one.requires_grad
    ]
    try:
        for module, name, one in places:
            module.register_parameter(name, nn.Parameter(one.detach()))
        yield [module.get_parameter(name) for module, name, _ in places]
    finally:
        for module, name, one in places:
            module.register_parameter(name, one)


def _gradients(
    call: Forward, hidden: Tensor, slope: Tensor, trained: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor | None]]:
    """The loss by a layer's input and by each that is trained, from that by its output; None where there is none."""
    x = hidden.detach().requires_grad_()
    with torch.enable_grad():
        output = call(x)
    found: tuple[Tensor | None, ...] = torch.autograd.grad(output, (x, *trained), slope, allow_unused=True)
    assert found[0] is not None, "a layer's output follows from its input"
    return found[0], list(found[1:])


def _joined(slopes: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([one.flatten() for one in slopes if one is not None])


def _addresses(readers: Sequence[nn.Module]) -> tuple[int, ...]:
    """Where the numbers lie that a recording reads: parameters, and the copies of packed ones that are lent."""
    copies = (copy for one in readers if (copy := unpacked_copy(one)) is not None)
    own = (parameter for one in readers for parameter in one.parameters(recurse=False))
    return tuple(one.data_ptr() for one in (*own, *copies))
