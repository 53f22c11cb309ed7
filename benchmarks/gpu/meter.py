"""Memory, sampled all the while, and the seconds that the parts of a start take."""

from __future__ import annotations

import itertools
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

EVERY: Final = 0.02
"""Seconds between samples: peaks of a training step last longer than this."""
LISTING: Final = 25
"""Of so many samples one asks what each process holds as well, which keeps the driver from its work for longer."""
_GIB: Final = 2**30
# What vLLM says of its own start, at its log level INFO.
_SAID: Final = (
    ("weights", re.compile(r"Model loading took .*? ([\d.]+) seconds")),
    ("profile, KV cache, compile and graphs", re.compile(r"init engine .*? took ([\d.]+) s")),
    ("compile", re.compile(r"torch\.compile took ([\d.]+) s in total")),
    ("graph capture", re.compile(r"Graph capturing finished in ([\d.]+) secs")),
)


class Meter:
    """Peaks of memory since the last `reset`, in GiB, from a thread that asks NVML every 20 ms.

    `device` is what is in use on the whole GPU, `device beyond idle` what came since this meter was made, `process`
    the same by what NVML ascribes to processes, `torch` what torch has given out. Without a GPU: `process` is this
    process's resident memory.
    """

    def __init__(self) -> None:
        self._nvml, self._handle = _open()
        self._peaks: dict[str, float] = {}
        self._lock = threading.Lock()
        self.idle = self._sample(processes=True) if self._nvml is not None else {}
        """GiB that were in use already."""
        self._thread = threading.Thread(target=self._watch, daemon=True, name="memory")
        self._thread.start()

    def reset(self) -> None:
        """Forgets the peaks."""
        import torch

        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        with self._lock:
            self._peaks = {}

    def peaks(self) -> dict[str, float]:
        """The peaks since the last `reset`, in GiB."""
        import torch

        self._take(self._sample(processes=True))
        with self._lock:
            found = dict(self._peaks)
        if "device" in found:
            found["device beyond idle"] = found["device"] - self.idle["device"]
        if "process" in found:
            found["process"] -= self.idle.get("process", 0.0)
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["torch allocated"] = torch.cuda.max_memory_allocated() / _GIB
            found["torch reserved"] = torch.cuda.max_memory_reserved() / _GIB
        return found

    def _watch(self) -> None:
        for number in itertools.count():
            self._take(self._sample(processes=number % LISTING == 0))
            time.sleep(EVERY)

    def _take(self, sample: dict[str, float]) -> None:
        with self._lock:
            for name, value in sample.items():
                self._peaks[name] = max(value, self._peaks.get(name, 0.0))

    def _sample(self, *, processes: bool) -> dict[str, float]:
        if self._nvml is None:
            import psutil

            return {"process": psutil.Process().memory_info().rss / _GIB}
        found = {"device": self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used / _GIB}
        if not processes:
            return found
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        own = [one.usedGpuMemory for one in running if one.usedGpuMemory is not None]
        if own:  # not told on every machine
            found["process"] = sum(own) / _GIB
        return found


def device_name() -> str:
    """The GPU's name, or how many threads of a CPU are used. Asked of NVML, since torch would take memory for it."""
    nvml, handle = _open()
    if nvml is None:
        import torch

        return f"CPU, {torch.get_num_threads()} threads"
    name = nvml.nvmlDeviceGetName(handle)
    return name if isinstance(name, str) else name.decode()


def _open() -> tuple[Any, Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
        # The first GPU that this process may use: NVML counts all of the machine's.
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
        if first.isdigit():
            return pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(first))
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(first)
    except Exception:  # noqa: BLE001 - no driver, no library, no device: each raises something else
        return None, None


class Parts:
    """Seconds of the parts of a start, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"interpreter": _age()}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds what is done inside."""
        begun = now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + now() - begun

    def read_log(self) -> None:
        """Takes from this arm's log what vLLM said there of its own start."""
        log = os.environ.get("LYDITE_BENCHMARK_LOG")
        text = Path(log).read_text(errors="replace") if log else ""
        for name, pattern in _SAID:
            if found := pattern.findall(text):
                self.seconds[f"vllm: {name}"] = float(found[-1])


def now() -> float:
    """Seconds on a clock that only runs forward, once the GPU has done all it was given."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def _age() -> float:
    """Seconds since this process was started."""
    import psutil

    return time.time() - psutil.Process(os.getpid()).create_time()
