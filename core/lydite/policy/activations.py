"""What the layers of a policy keep of a forward pass until its backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from lydite.errors import ModelError
from lydite.policy.offload import Offload
from lydite.policy.policy import Policy, trunk_of


class Activations:
    """The layers of a policy, each of which keeps its activations or computes them again from its input.

    The lowest layers are those that compute again: the backward pass has used up what the layers above kept when it
    comes to them, so that what a layer computes anew never stands beside all that is kept.
    """

    def __init__(self, policy: Policy, *, offload: Offload | None = None) -> None:
        """`offload` takes the inputs of layers that compute again to the host's memory; None: they stay."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        self._layers: list[Any] = [
            one for one in trunk_of(policy.causal).modules() if isinstance(one, GradientCheckpointingLayer)
        ]
        self._model_type = policy.config.model_type
        self._offload = offload

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
            layer._gradient_checkpointing_func = self._computed_again

    def _computed_again(self, forward: Callable[..., Any], *inputs: Any) -> Any:
        if self._offload is None or not torch.is_grad_enabled():
            return checkpoint(forward, *inputs, use_reentrant=False)
        # torch saves the inputs under the hooks that are open here, and what is inside under none but its own.
        with self._offload.hooks():
            return checkpoint(forward, *inputs, use_reentrant=False)
