"""Numbers of the host on a device, without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sent(numbers: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The numbers as a tensor [n] on the device.

    A GPU fetches them from pinned memory when it comes to it; from other memory, the host would wait until it has.
    """
    if device.type != "cuda":
        return torch.tensor(numbers, dtype=dtype, device=device)
    return torch.tensor(numbers, dtype=dtype, pin_memory=True).to(device, non_blocking=True)
