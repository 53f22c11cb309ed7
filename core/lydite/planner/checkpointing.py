"""Of how many layers the activations are computed again: of as few as the memory that is free allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from lydite.config import RunConfig
from lydite.planner.activations import (
    ITEMSIZE,
    activation_bytes,
    backward_bytes,
    head_tile_bytes,
    offloaded_bytes,
    offloads,
)
from lydite.planner.memory import in_units
from lydite.planner.parts import adapter_parameters
from lydite.planner.shapes import ModelShapes
from lydite.planner.workload import Workload

# Of the memory that is free, what is planned for. CUDA's allocator leaves gaps between tensors of ragged sizes; a CPU's
# keeps blocks that were freed, so that a process takes 1.3 to 1.4 times its tensors.
SHARE: Final = {"cuda": 0.9, "cpu": 0.6}


@dataclass(frozen=True, slots=True)
class ActivationPlan:
    """What the layers of a model keep of a micro-batch."""

    layers: int
    """L."""
    recomputed: int
    """Layers, from the lowest, that compute their activations again in the backward pass."""
    offloaded: bool
    """True: the inputs of those layers wait in the host's memory."""
    needed: int
    """Bytes of the micro-batch at the peak of forward and backward pass."""
    host: int
    """Bytes in the host's memory."""

    @property
    def line(self) -> str:
        """The choice in a sentence."""
        if not self.recomputed:
            return f"activations: all {self.layers} layers keep theirs, {in_units(self.needed)} at the peak of a pass"
        line = (
            f"activations: {self.recomputed} of {self.layers} layers are computed again, so that a pass takes "
            f"{in_units(self.needed)} at its peak"
        )
        return f"{line}; their inputs wait in {in_units(self.host)} of the host's memory" if self.offloaded else line


def pass_bytes(
    config: RunConfig, shapes: ModelShapes, work: Workload, *, device: Literal["cpu", "cuda"], packed: bool
) -> tuple[int, ...]:
    """Bytes at the peak of a micro-batch's forward and backward pass, with 0, 1, ... L layers computed again.

    What is there before the pass, and the gradients of what is trained, are no part of it.
    """
    itemsize = ITEMSIZE[config.model.dtype]
    adapter = adapter_parameters(config, shapes) if config.lora.enabled else 0
    tile = head_tile_bytes(config, shapes, work, device=device)
    return tuple(
        activation_bytes(config, shapes, work, itemsize=itemsize, adapter=adapter, device=device, recomputed=count)
        + max(
            tile,
            backward_bytes(config, shapes, work, itemsize=itemsize, packed=packed, device=device, recomputed=count),
        )
        for count in range(shapes.layers + 1)
    )


def layers_to_recompute(needs: tuple[int, ...], room: float) -> int:
    """The fewest layers with which a pass that needs so many bytes has room; the most thrifty number if none has.

    More room never means more layers.
    """
    return next((count for count, needed in enumerate(needs) if needed <= room), needs.index(min(needs)))


def plan_activations(
    config: RunConfig,
    shapes: ModelShapes,
    work: Workload,
    room: float,
    *,
    device: Literal["cpu", "cuda"],
    packed: bool,
    scale: float = 1.0,
) -> ActivationPlan:
    """What `train.gradient_checkpointing` comes to where a pass may take `room` bytes.

    `scale`: bytes that a pass was seen to take for each that was planned. `packed`: the model has 4-bit weights.
    """
    needs = tuple(int(one * scale) for one in pass_bytes(config, shapes, work, device=device, packed=packed))
    chosen = config.train.gradient_checkpointing
    fixed = shapes.layers if chosen else 0
    recomputed = layers_to_recompute(needs, room) if chosen == "auto" else fixed
    offloaded = offloads(config, device)
    host = offloaded_bytes(config, shapes, work, itemsize=ITEMSIZE[config.model.dtype], recomputed=recomputed)
    return ActivationPlan(shapes.layers, recomputed, offloaded, needs[recomputed], host if offloaded else 0)
