"""Whether the Triton kernels are on, and why not.

They run on CUDA where triton can be imported, and on a CPU in Triton's interpreter, for tests
(`TRITON_INTERPRET=1`, set before triton is imported). The environment variable `LYDITE_KERNELS` turns them off:
`off` all of them, else the names that it lists, separated by commas. What is off is computed by bitsandbytes and
torch instead: the same weights and rotations bit for bit, and results that differ only by the order of their sums
and by the last bit of an exponential. The name `layers` turns off what is put together from them: the layers of
transformers then compute as they came (`lydite.policy.fused`).
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from typing import Final

import torch

from lydite.errors import ConfigError
from lydite.suggest import did_you_mean

# Weights unpacked, and multiplied; log-probs and entropy of logits; then what a layer does between its products, what
# packed attention does between its calls, and what draws a token.
KERNELS: Final = ("nf4_dequantise", "nf4_linear", "logps", "rmsnorm", "rope", "glu", "merge", "draw")
LAYERS: Final = "layers"  # no kernel of its own: the layers of a model that are put together from kernels
VARIABLE: Final = "LYDITE_KERNELS"
OLDEST: Final = (8, 0)  # compute capability: the first with bfloat16 in its matrix units


def kernel_states() -> list[tuple[str, bool, str]]:
    """For each kernel its name, whether it is on, and why.

    Raises:
        ConfigError: when `LYDITE_KERNELS` names a kernel that does not exist.
    """
    off = _turned_off()
    runs, why = _triton_runs()
    return [(name, False, f"{VARIABLE} turns it off") if name in off else (name, runs, why) for name in KERNELS]


def is_on(name: str, device: torch.device) -> bool:
    """True when tensors on `device` go through the Triton kernel of that name."""
    runs, _ = _triton_runs()
    here = device.type == ("cpu" if interpreted() else "cuda")
    return runs and here and name not in _turned_off()


def is_turned_off(name: str) -> bool:
    """True when `LYDITE_KERNELS` names it, or says `off`."""
    return name in _turned_off()


def interpreted() -> bool:
    """True when Triton runs its programs in Python, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _turned_off() -> frozenset[str]:
    return _read(os.environ.get(VARIABLE, ""))


@cache
def _read(given: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in given.split(",") if name.strip())
    if names == {"off"}:
        return frozenset((*KERNELS, LAYERS))
    for name in sorted(names):
        if name not in KERNELS and name != LAYERS:
            known = ("off", *KERNELS, LAYERS)
            raise ConfigError(f"{VARIABLE}={given}: there is no kernel {name!r}{did_you_mean(name, known)}")
    return names


def _triton_runs() -> tuple[bool, str]:
    return (True, "in Triton's interpreter (TRITON_INTERPRET=1)") if _has_triton() and interpreted() else _on_cuda()


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


@cache
def _on_cuda() -> tuple[bool, str]:
    if not torch.cuda.is_available():
        return False, "there is no CUDA device"
    if not _has_triton():
        return False, "triton is not installed"
    capability = torch.cuda.get_device_capability()
    if capability < OLDEST:
        has, needs = (".".join(map(str, one)) for one in (capability, OLDEST))
        return False, f"the GPU has compute capability {has}, and {needs} is needed"
    return True, f"on {torch.cuda.get_device_name()}"
