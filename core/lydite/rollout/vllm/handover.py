"""From the trainer's parameters to the engine's buffers: a plan made once, one batched copy after each update."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lydite.rollout.vllm.binding import Binding


class Handover:
    """Where each trained parameter goes. CUDA graphs hold the buffers' addresses, so they are only ever written to."""

    def __init__(self, binding: Binding, model: Any) -> None:
        """`model` is the one inside vLLM."""
        adapted = binding.policy.adapted
        plan: list[tuple[Tensor, nn.Parameter]] = [
            pair
            for group in binding.groups.values()
            for pair in (group.adapter_plan() if adapted else group.weight_plan())
        ]
        # Norms and biases are trained where all is; vLLM's model knows which of its own each of them belongs to.
        self._rest = None if adapted else lambda: model.load_weights(binding.other_weights_in(binding.policy.dtype))
        plan += [] if adapted else binding.embedding_plan
        self._to = [place for place, _ in plan]
        self._from: list[Tensor] = [parameter for _, parameter in plan]
        self._buffers = [
            buffer for group in binding.groups.values() for buffer in (group.lora_a, group.lora_b) if buffer is not None
        ]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._recorded: list[int] = []

    @property
    def tensors(self) -> int:
        """How many parameters are handed over."""
        return len(self._to)

    @torch.no_grad()
    def copy(self) -> None:
        """Rounds every parameter that is trained to the engine's type, into its place.

        On a GPU the copies are recorded the first time and replayed after: hundreds of small tensors cost more to
        launch than to copy (420 of them 4 ms on an H100).
        """
        if self._rest is not None:
            self._rest()
        if not self._to or not self._to[0].is_cuda:
            torch._foreach_copy_(self._to, self._from)
            return
        where = [parameter.data_ptr() for parameter in self._from]
        if self._graph is None or where != self._recorded:
            torch._foreach_copy_(self._to, self._from)  # kernels are loaded before they are recorded
            self._graph, self._recorded = torch.cuda.CUDAGraph(), where
            with torch.cuda.graph(self._graph):
                torch._foreach_copy_(self._to, self._from)
        self._graph.replay()

    @torch.no_grad()
    def clear(self) -> None:
        """Turns the adapter off: zeros everywhere."""
        torch._foreach_zero_(self._buffers)
