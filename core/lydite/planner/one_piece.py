"""Memory for an update's passes, asked of CUDA's driver at once instead of tensor by tensor."""

from __future__ import annotations

import torch

from lydite.planner.checkpointing import SHARE


def hold_in_one_piece(device: torch.device, wanted: int) -> bool:
    """Makes torch hold `wanted` bytes that are unused, in one piece; False where that is not needed or not possible.

    An engine that wakes up takes back all that torch does not use, so that the first pass of every step would ask the
    driver for each tensor anew, and pieces of a hundred sizes would lie between those of the passes that follow. Torch
    cuts its tensors from a piece that is large enough. Where it has as much unused, in whatever pieces, they stay.
    """
    if torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device) >= wanted:
        return False
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    try:
        torch.empty(min(wanted, int(SHARE["cuda"] * free)), dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:  # less than is free where torch was given a limit
        return False
    return True
