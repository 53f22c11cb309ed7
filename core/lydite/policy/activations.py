"""What the layers of a policy keep of a forward pass until its backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lydite.errors import ModelError
from lydite.policy.offload import Offload
from lydite.policy.policy import Policy, trunk_of
from lydite.policy.recompute import computed_again, computes_plainly
from lydite.policy.recording import Recording


class Activations:
    """The layers of a policy, each of which keeps its activations or computes them again from its input.

    The lowest layers are those that compute again: the backward pass has used up what the layers above kept when it
    comes to them, so that what a layer computes anew never stands beside all that is kept.
    """

    def __init__(self, policy: Policy, *, offload: Offload | None = None, recording: Recording | None = None) -> None:
        """`offload` takes the inputs of layers that compute again to the host's memory; None: they stay.

        `recording` has layers that compute again recorded and replayed.
        """
        from transformers.modeling_layers import GradientCheckpointingLayer

        self._layers: list[Any] = [
            one for one in trunk_of(policy.causal).modules() if isinstance(one, GradientCheckpointingLayer)
        ]
        self._trained = [_trained(one) if computes_plainly(one) else None for one in self._layers]
        self._model_type = policy.config.model_type
        self._offload = offload
        self._recording = policy.recording = recording

    @property
    def layers(self) -> int:
        """How many layers can compute again (L); 0 for an architecture that transformers has no such layers of."""
        return len(self._layers)

    def recompute(self, count: int) -> None:
        """From now on the lowest `count` layers keep their input alone, and the others everything.

        Raises:
            ModelError: when there are not so many layers that can.
        """
        if not 0 <= count <= self.layers:
            raise ModelError(
                f"{self.layers} layers of a model of type {self._model_type!r} can compute their activations again, "
                f"and {count} are to; set train.gradient_checkpointing = false"
            )
        for place, layer in enumerate(self._layers):
            # transformers' own switch; attribute by attribute, since its method knows every n-th layer only.
            layer.gradient_checkpointing = place < count
            layer._gradient_checkpointing_func = partial(self._computed_again, layer, self._trained[place])

    def _computed_again(
        self, layer: nn.Module, trained: Sequence[Tensor] | None, forward: partial[Any], *inputs: Any
    ) -> Any:
        # The inputs are saved under the hooks that are open here, and what is inside under none of them.
        with nullcontext() if self._offload is None or not torch.is_grad_enabled() else self._offload.hooks():
            if trained is not None and len(inputs) == 1 and not torch.is_autocast_enabled(inputs[0].device.type):
                if self._recording is not None:
                    replayed = self._recording.run(layer, trained, forward, *inputs)
                    if replayed is not None:
                        return replayed
                return computed_again(forward, *inputs, trained)
            return checkpoint(forward, *inputs, use_reentrant=False)


def _trained(layer: nn.Module) -> list[Tensor]:
    return [one for one in layer.parameters() if one.requires_grad]
