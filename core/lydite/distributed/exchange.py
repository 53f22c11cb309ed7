"""How bytes and gradients go from process to process, and the seconds that it takes.

Bytes go from host to host through gloo, also where gradients go from GPU to GPU through NCCL: a pickle that first went
to a GPU, or waited behind its queue, would be slower, and gloo notices within moments that a process is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
from torch import Tensor, nn

_BUCKET: Final = 2**26  # numbers that are summed at once: 256 MiB, so that full fine-tuning needs no second gradient
PARTS: Final = ("wait", "exchange", "gradients")
"""Waiting for the slowest process; what is handed on by then; the sum of gradients."""
_last: list[Tensor] = []
"""What gloo was given last. Its thread lets go of a tensor a moment after the call is back. Were it the last to hold
one, it would need Python for that, and a process that is about to end would be aborted."""


class Exchange:
    """The process group that this process is in, as far as a run uses it."""

    def __init__(self, timeout: timedelta | None = None) -> None:
        self._timeout = timeout
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._host_group: torch.distributed.ProcessGroup | None = None

    def take_spent(self) -> dict[str, float]:
        """Seconds since the last call, by `PARTS`."""
        spent, self._spent = self._spent, dict.fromkeys(PARTS, 0.0)
        return spent

    def all_gather(self, content: bytes) -> list[bytes]:
        """What every process gave, in their order.

        Raises:
            RuntimeError: when another process is gone, or does not answer in time.
        """
        group = self._through_hosts()
        own = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        length = torch.tensor([len(own)])
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(group.size())]
        with self._timed("wait"):
            torch.distributed.all_gather(lengths, length, group=group)
        sizes = [int(one) for one in lengths]
        with self._timed("exchange"):
            sent = torch.zeros(max(sizes), dtype=torch.uint8)
            sent[: len(own)] = own
            received = [torch.empty_like(sent) for _ in sizes]
            torch.distributed.all_gather(received, sent, group=group)
            _last[:] = [length, *lengths, sent, *received]
            return [one[:size].numpy().tobytes() for one, size in zip(received, sizes, strict=True)]

    def from_first(self, content: bytes) -> bytes:
        """What the first process gave; that of the others is not looked at.

        Raises:
            RuntimeError: as `all_gather`.
        """
        group = self._through_hosts()
        length = torch.tensor([len(content)])
        with self._timed("wait"):
            torch.distributed.broadcast(length, 0, group=group)
        with self._timed("exchange"):
            if group.rank() == 0:
                sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            else:
                sent = torch.empty(int(length), dtype=torch.uint8)
            torch.distributed.broadcast(sent, 0, group=group)
            _last[:] = [length, sent]
            return sent.numpy().tobytes()

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replaces each parameter's gradient by the sum of all processes', in float32, a few large sums for all.

        The sum has the same bits in all of them.

        Raises:
            RuntimeError: as `all_gather`.
        """
        with self._timed("gradients"):
            for bucket in _buckets(parameters):
                gradients = [_gradient(one) for one in bucket]
                flat = torch.cat([one.reshape(-1) for one in gradients])
                torch.distributed.all_reduce(flat)
                sums = flat.split([one.numel() for one in gradients])
                for gradient, part in zip(gradients, sums, strict=True):
                    gradient.copy_(part.view_as(gradient))
            if parameters and parameters[0].device.type == "cuda":
                torch.cuda.synchronize(parameters[0].device)  # what comes next is its norm, which waits as well

    def _through_hosts(self) -> torch.distributed.ProcessGroup:
        """The group of all processes through which tensors on the CPU go.

        It is that of the run, unless a program of the user's has made one for GPUs alone before.
        """
        if self._host_group is None:
            whole = torch.distributed.group.WORLD
            assert whole is not None
            covered = "cpu:" in torch.distributed.distributed_c10d.get_backend_config(whole)
            self._host_group = whole if covered else torch.distributed.new_group(backend="gloo", timeout=self._timeout)
        return self._host_group

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._spent[part] += time.perf_counter() - begun


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """The parameters in order, in lists of at most `_BUCKET` numbers; a larger one has a list of its own."""
    bucket: list[nn.Parameter] = []
    size = 0
    for one in parameters:
        if bucket and size + one.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(one)
        size += one.numel()
    if bucket:
        yield bucket
