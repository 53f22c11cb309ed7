"""Work on a GPU that is recorded once, and then asked for again in one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

Work: TypeAlias = Callable[[], None]
"""Reads and writes tensors that stay where they are, and waits for nothing."""
Recorder: TypeAlias = Callable[[Work], Work]
"""From work to what does it again, on the same tensors."""


class CudaRecorder:
    """Records CUDA graphs, whose memory is one pool.

    They are to be replayed one after the other, on one stream: what one has computed on its way lies where the next one
    computes. What is to last is copied to tensors outside.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        """What does `work` again.

        It must have been done before, so that programs are compiled and loaded. Nothing is computed now.

        Raises:
            RuntimeError: when CUDA cannot record it.
        """
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._device)
        # Not `torch.cuda.graph`, which gives all that torch holds back to the driver, each time anew.
        with torch.cuda.stream(self._stream):
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        return graph.replay
