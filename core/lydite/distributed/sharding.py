"""FSDP2: the layers of the frozen base shared out among the processes, and fetched one by one as they are needed.

Only the base is shared out. The adapter, which is small, stays whole in every process, so that its gradient, its
optimiser and its checkpoints are those of a run that holds everything everywhere; so do embeddings, norms and head.

A pass then needs all processes at once, each to give its part of every layer. They have passes of their own, of
other lengths and numbers: while one still decodes, another that has finished runs passes beside it (`Lockstep`).

Source: Zhao et al. 2023, PyTorch FSDP (arXiv 2304.11277), and torch's `fully_shard`, its second version.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

from lydite.distributed.processes import Processes, reason_of
from lydite.errors import LyditeError, ModelError, ProcessError
from lydite.policy import Policy
from lydite.policy.policy import trunk_of

_DONE, _FORWARD, _BACKWARD = range(3)  # what a process is about to do; the largest decides what idle ones join in
_TOKEN: Final = 0  # what a pass is over that is run for others alone; nobody reads what comes of it


def share_out(causal: Any, device: torch.device, processes: Processes) -> None:
    """Leaves this process its part of each layer's frozen weights, on `device`, and all else of the model whole.

    Raises:
        ModelError: when the architecture has no layers that can be told apart.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    trunk: nn.Module = trunk_of(causal)
    layers = [one for one in trunk.modules() if isinstance(one, GradientCheckpointingLayer)]
    if not layers:
        raise ModelError(
            f"the layers of a model of type {causal.config.model_type!r} cannot be told apart, and "
            'distributed.strategy = "fsdp2" shares them out; take "ddp"'
        )
    mesh = init_device_mesh(device.type, (processes.count,))
    trained = {one for one in causal.parameters() if one.requires_grad}
    for layer in layers:
        fully_shard(layer, mesh=mesh, ignored_params=trained)
    # The root has nothing of its own: it lets layers be fetched ahead of their turn.
    fully_shard(trunk, mesh=mesh, ignored_params=set(causal.parameters()))
    causal.to(device)


class Lockstep:
    """Lets processes that have finished take part in the passes of those that have not."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._open = False
        trunk_of(policy.causal).register_forward_pre_hook(self._before_pass)

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Open in all processes at once: inside, each runs the passes that it needs, however many.

        It closes when the last process has run its last one. A pass with a gradient is followed by its backward
        pass before the next one.

        Raises:
            ProcessError: when another process is gone.
        """
        self._open = True
        try:
            yield
        except ProcessError:
            raise
        except LyditeError:  # the others are told once they have finished
            self._stay()
            raise
        else:
            self._stay()
        finally:
            self._open = False

    def _before_pass(self, trunk: nn.Module, inputs: Any) -> None:
        if self._open:
            _agree(_BACKWARD if torch.is_grad_enabled() else _FORWARD)

    def _stay(self) -> None:
        while (step := _agree(_DONE)) != _DONE:
            self._open = False  # this pass is run for the others, who have announced it
            with torch.set_grad_enabled(step == _BACKWARD):
                self._idle_pass(backward=step == _BACKWARD)
            self._open = True

    def _idle_pass(self, *, backward: bool) -> None:
        ids = torch.full((1, 1), _TOKEN, device=self._policy.device)
        hidden = self._policy.hidden_states(ids, torch.ones_like(ids), torch.zeros_like(ids))
        if backward:
            (hidden.sum() * 0.0).backward()


def _agree(step: int) -> int:
    """The most that any process is about to do."""
    told = torch.tensor(step)
    try:
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
    except RuntimeError as error:
        raise ProcessError(f"another process is gone: {reason_of(error)}") from error
    return int(told)
