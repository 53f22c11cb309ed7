"""Torch's memory on a CUDA device; nothing of it is to be had without one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lydite.planner.one_piece import hold_in_one_piece

MIB = 2**20
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def device() -> Iterator[torch.device]:
    torch.cuda.empty_cache()
    yield torch.device("cuda", torch.cuda.current_device())
    torch.cuda.empty_cache()


def asked(device: torch.device) -> int:
    """How often torch has asked the driver for memory."""
    return int(torch.cuda.memory_stats(device)["num_device_alloc"])


def test_tensors_are_cut_from_the_piece(device: torch.device) -> None:
    assert hold_in_one_piece(device, 900 * MIB)
    before = asked(device)
    sizes = (20, 70, 33, 150, 11)
    for _ in range(3):
        held = [torch.empty(size * MIB, dtype=torch.uint8, device=device) for size in sizes * 2]
        del held
    assert asked(device) == before


def test_what_is_held_already_stays(device: torch.device) -> None:
    assert hold_in_one_piece(device, 500 * MIB)
    before = asked(device)
    assert not hold_in_one_piece(device, 400 * MIB)
    assert asked(device) == before


def test_more_than_there_is_leaves_room_for_others(device: torch.device) -> None:
    free, total = torch.cuda.mem_get_info(device)
    assert hold_in_one_piece(device, 2 * total)
    left, _ = torch.cuda.mem_get_info(device)
    assert 0 < left < free
