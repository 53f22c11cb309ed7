"""Which layers of a policy compute their activations again, chosen before each update from what is free then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

import torch

from lydite.config import RunConfig
from lydite.planner.checkpointing import SHARE, ActivationPlan, plan_activations
from lydite.planner.one_piece import hold_in_one_piece
from lydite.planner.shapes import shapes_of_policy
from lydite.planner.workload import PassSize, workload
from lydite.policy import Policy
from lydite.policy.activations import Activations
from lydite.policy.capture import CudaRecorder
from lydite.policy.offload import Offload
from lydite.policy.recording import Recording, why_unrecorded

logger = logging.getLogger("lydite")

_AFTER_FAILURE: Final = 1.25  # a pass that had no room is taken to need so much more than was planned
_AFTER_GIVING_BACK: Final = 1.2
_SCALES: Final = (0.25, 4.0)  # a plan is never further from what is seen; beyond lies something else than a pass


class AdaptiveActivations:
    """Keeps the activations of as many layers as there is room for, where the configuration leaves it to the run.

    The room is measured before each update, since an engine may have left more or less of it, and what passes were
    seen to take corrects what is planned for the next ones. A pass that has no room after all is for the caller to
    do once more, after `recompute_all`.
    """

    def __init__(self, policy: Policy, config: RunConfig, *, free: Callable[[torch.device], int] | None = None) -> None:
        """Applies what the configuration fixes; `free` tells the bytes that are free on a device.

        Raises:
            ModelError: when all layers are to compute again, and the architecture has none that can.
        """
        self._device = policy.device
        self._config = config
        self._free = free or _free_bytes
        self._cuda = policy.device.type == "cuda"
        offloading = config.train.activation_offloading and self._cuda
        if config.train.activation_offloading and not self._cuda:
            logger.info("activations: train.activation_offloading changes nothing here, a CPU has one memory only")
        offload = Offload(policy.device) if offloading else None
        recording = _recording(policy, config) if config.train.cuda_graphs else None
        self._activations = Activations(policy, offload=offload, recording=recording)
        # A pass on a base that is shared out needs all processes, so none can be done once more: the least room.
        self._auto = config.train.gradient_checkpointing == "auto" and config.distributed.strategy == "ddp"
        self._layers = self._activations.layers
        self._recomputed = 0
        self._said = -1
        self._scale = 1.0
        self._slack = 1.0
        self._expected = 0.0  # bytes of the plan's largest pass, without slack
        self._plan: ActivationPlan | None = None
        self._before = (0, 0, 0)
        # Whether there has been an update, in which the optimiser made its state: that would lie in the piece of memory
        # that passes are cut from, and keep it from an engine that wants it back.
        self._lasting = False
        # Not there yet before an update: its optimiser has dropped those of the one before.
        self.gradient_bytes = sum(4 * one.numel() for one in policy.trainable().values())
        if self._auto:
            self._shapes = shapes_of_policy(policy)
            self._work = workload(config, self._shapes, sequences=1, prefill_tokens=0, graph_sizes=())
        elif config.train.gradient_checkpointing:
            self._recompute(max(1, self._layers))  # an architecture with none is told so
            logger.info("activations: all %d layers are computed again, as the configuration says", self._layers)
        else:
            self._recompute(0)

    @property
    def recomputed(self) -> int:
        """How many layers compute their activations again now."""
        return self._recomputed

    @property
    def planned(self) -> int:
        """Bytes that the largest pass of the update was planned to take; 0 before there was one."""
        return self._plan.needed if self._plan is not None else 0

    @property
    def layers(self) -> int:
        """How many there are that can."""
        return self._layers

    def before_update(self, size: PassSize) -> None:
        """Chooses for an update whose largest pass has this size."""
        if not self._auto or not self._layers:
            return
        work = replace(self._work, training=size)
        room = SHARE[self._kind] * self._free(self._device) - self.gradient_bytes
        plan = plan_activations(
            self._config,
            self._shapes,
            work,
            room,
            device=self._kind,
            packed=self._packed,
            scale=self._scale * self._slack,
        )
        self._plan, self._expected = plan, plan.needed / self._slack
        self._recompute(min(plan.recomputed, self._layers))
        if self._recomputed > self._said:  # fewer than was said needs no words, and lengths change with every step
            self._said = self._recomputed
            # On a CPU that all is kept goes without saying: nobody runs short there before the plan says so.
            logger.log(logging.INFO if self._cuda or self._recomputed else logging.DEBUG, "%s", plan.line)
        if self._cuda:
            if self._lasting:
                hold_in_one_piece(self._device, plan.needed)
            self._lasting = True
            self._before = (
                torch.cuda.memory_allocated(self._device),
                torch.cuda.max_memory_allocated(self._device),
                _given_back(self._device),
            )

    def after_passes(self) -> None:
        """Compares the peak of an update's passes with what was planned, and plans the next by it."""
        if not self._cuda or self._plan is None:
            return
        (held, highest, given_back), peak = self._before, torch.cuda.max_memory_allocated(self._device)
        if _given_back(self._device) > given_back:
            self.gave_back()
        if peak > highest:  # else it was lower than something before, which tells nothing
            self.saw(peak - held - self.gradient_bytes)

    def saw(self, taken: int) -> None:
        """Takes note that the last update's largest pass took so many bytes."""
        if self._plan is not None and self._expected > 0:
            low, high = _SCALES
            self._scale = min(max(self._scale * taken / self._expected, low), high)

    def gave_back(self) -> None:
        """Takes note that torch, short of a piece of memory, gave back all that it held unused and asked anew.

        It waits for the device each time, which costs more than another layer that computes again.
        """
        self._slack = min(self._slack * _AFTER_GIVING_BACK, _SCALES[1])

    def recompute_all(self) -> bool:
        """After a pass that had no room: from now on all layers compute again; False when all did already."""
        if not self._auto or self._recomputed == self._layers:
            return False
        logger.warning(
            "activations: an update had no room with %d of %d layers computed again; it is done once more with all",
            self._recomputed,
            self._layers,
        )
        self._scale = min(self._scale * _AFTER_FAILURE, _SCALES[1])
        self._plan = None  # what it takes now is not what was planned
        self._said = self._layers
        self._recompute(self._layers)
        return True

    def _recompute(self, count: int) -> None:
        self._activations.recompute(count)
        self._recomputed = count

    @property
    def _kind(self) -> Literal["cpu", "cuda"]:
        return "cuda" if self._cuda else "cpu"

    @property
    def _packed(self) -> bool:
        return self._config.model.quantization == "nf4"


def _recording(policy: Policy, config: RunConfig) -> Recording | None:
    tokens = config.train.micro_batch_tokens
    assert tokens is not None, "TrainConfig asks for both"
    why = why_unrecorded(policy)
    if why is not None:
        logger.info("train.cuda_graphs changes nothing here: %s", why)
        return None
    logger.info("passes of up to %d tokens are recorded layer by layer, and replayed", tokens)
    return Recording(policy, tokens, CudaRecorder(policy.device))


def _given_back(device: torch.device) -> int:
    """How often torch has given memory back to find room, on a CUDA device."""
    return int(torch.cuda.memory_stats(device).get("num_alloc_retries", 0))


def _free_bytes(device: torch.device) -> int:
    """Bytes that torch can still have: what is free, and what it holds without using it."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    import psutil

    return int(psutil.virtual_memory().available)
