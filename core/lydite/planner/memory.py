"""How much memory a device has free, and sizes as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lydite.errors import ConfigError

if TYPE_CHECKING:
    import torch

_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """The memory of the device that a run uses, in bytes."""

    device: Literal["cpu", "cuda"]
    free: int
    total: int
    policy_loaded: bool
    """True when weights and adapter are on the device already, so that `free` is what is left beside them."""


def free_memory(device: torch.device, *, policy_loaded: bool) -> FreeMemory:
    """What is free now: of the GPU's memory as its driver has it, or of this machine's.

    On a GPU torch first gives back what it holds in reserve without using it.
    """
    import psutil
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(device)
        return FreeMemory("cuda", free, total, policy_loaded)
    held = psutil.virtual_memory()
    return FreeMemory("cpu", int(held.available), int(held.total), policy_loaded)


def in_units(size: float) -> str:
    """A number of bytes for people: `1.50 GiB`, `24.0 MiB`, `512 B`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1000 or unit == "GiB":
            break
        size /= 1024
    if unit == "B":
        return f"{size:.0f} B"
    return f"{size:.2f} {unit}" if unit == "GiB" and abs(size) < 100 else f"{size:.1f} {unit}"


def bytes_of(text: str) -> int:
    """The number of bytes that a text such as `24GiB`, `16 GB` or `800MiB` means.

    Raises:
        ConfigError: when it is no size.
    """
    found = _SIZE.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise ConfigError(f"a size such as 24GiB, 16GB or 800MiB was expected, got {text!r}")
    number, power, binary = float(found[1]), _POWERS[found[2].upper()], bool(found[3])
    if binary and not power:
        raise ConfigError(f"a size such as 24GiB, 16GB or 800MiB was expected, got {text!r}")
    return int(number * (1024 if binary else 1000) ** power)
