"""Bytes in use, now and at most, of a device or of this process."""

from __future__ import annotations

import ctypes
import gc
import threading
from types import TracebackType
from typing import Final, Self

import psutil
import torch

_EVERY: Final = 0.01  # seconds between two looks; what lives shorter than that on a CPU is missed


class Peak:
    """The most that was used while it was open, looked at from a thread."""

    def __init__(self, device: torch.device) -> None:
        self.bytes = 0
        self._device = device
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lydite-peak", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self.bytes, used(self._device))

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self.bytes = max(self.bytes, used(self._device))


def used(device: torch.device) -> int:
    """Bytes in use: of the whole GPU, CUDA's own included, or by this process."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(total - free)
    return int(psutil.Process().memory_info().rss)


def tidy(device: torch.device) -> None:
    """Gives back what is held without being used."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; elsewhere what was freed stays with the process
    if trim is not None:
        trim(0)
