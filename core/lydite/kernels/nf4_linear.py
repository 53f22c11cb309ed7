"""x times the transpose of an NF4 weight, unpacked in registers: for the few rows of a decoding step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import torch
from torch.nn import functional as F

from lydite.kernels.nf4 import BLOCK, Nf4Weight
from lydite.kernels.nf4_dequantise import dequantise_into
from lydite.kernels.switch import interpreted, is_on

# A weight is unpacked once for every BM rows, so that its cost grows with them, while unpacking into memory costs
# the same for any number and cuBLAS then runs near the matrix units' peak. Measured on an H100 with the shapes of 1.5B
# and 8B models: at 32 rows the fused product is up to 2.6 times as fast, at 64 still ahead in all but two of seven
# shapes, at 128 behind in four (benchmarks/results/kernels-h100.jsonl).
FUSED_ROWS: Final = 64
WARPS_A_PROCESSOR: Final = 16  # what fits by the registers; fewer leave memory idle while they all unpack
SHORTEST_PART: Final = 256  # features: four tiles, as many as are on their way at once
MOST_PARTS: Final = 16  # what is written and read again to add parts up stays below what the weight takes


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program computes: BM rows and BN columns, BK features at a time."""

    bm: int
    bn: int
    bk: int
    warps: int
    stages: int


def tile_for(rows: int) -> Tile:
    """The block sizes for a number of rows.

    BM is the smallest that holds the rows, and not below 16, the least that Triton's product takes. Every program
    reads its rows of x again: 128 columns halve what 64 would cost, which from 32 rows on is as much as the weight
    itself. 64 features are one block of every column, so that any weight divides into tiles. Four warps then unpack
    64 weights a thread and leave room for three to five programs on a multiprocessor (compiled for sm_90: 96, 124
    and 146 registers at 16, 32 and 64 rows); 128 rows of sums need eight. Four stages keep three tiles on their way:
    12 KiB a program, where memory's latency needs 16 to 20 a multiprocessor.
    """
    if rows <= 64:
        bm = next(size for size in (16, 32, 64) if rows <= size)
        return Tile(bm=bm, bn=128, bk=64, warps=4, stages=4)
    return Tile(bm=128, bn=128, bk=64, warps=8, stages=3)


def parts_for(rows: int, weight: Nf4Weight, tile: Tile, processors: int) -> tuple[int, int]:
    """Into how many parts the features are split, and the features of a part, a multiple of the tile's.

    With few output features a weight has fewer tiles than the GPU has room for; then several programs share a tile,
    each summing its own part of the features, and a second kernel adds their sums up, always in the same order.
    """
    tiles = -(-rows // tile.bm) * -(-weight.out_features // tile.bn)
    room = WARPS_A_PROCESSOR // tile.warps * processors
    wanted = max(1, min(room // tiles, weight.in_features // SHORTEST_PART, MOST_PARTS))
    steps = weight.in_features // tile.bk
    features = -(-steps // wanted) * tile.bk
    return -(-weight.in_features // features), features


def nf4_linear(x: torch.Tensor, weight: Nf4Weight, out: torch.Tensor | None = None) -> torch.Tensor:
    """The product [..., out] of x [..., in] and the transpose of the weight, in x's type and summed in float32.

    Up to `FUSED_ROWS` rows the weight is unpacked as it is multiplied; beyond, it is unpacked into memory first.
    Both multiply by the same rounded weights, those of `dequantise_into`. `out`, when given, is [rows, out], may be
    a range of columns of something larger, and is returned.
    """
    flat = x.reshape(-1, x.shape[-1])
    fused = weight.whole_blocks and flat.shape[0] <= FUSED_ROWS and is_on("nf4_linear", x.device)
    # On a GPU float32 has no product in its matrix units that rounds as float32.
    if fused and (x.dtype.itemsize == 2 or interpreted()):
        result = nf4_linear_fused(flat, weight, out)
    else:
        result = nf4_linear_unfused(flat, weight, out)
    return result if out is not None else result.view(*x.shape[:-1], weight.out_features)


def nf4_linear_unfused(x: torch.Tensor, weight: Nf4Weight, out: torch.Tensor | None = None) -> torch.Tensor:
    """The product [rows, out] by a weight that is first unpacked into memory, 2 bytes a weight for that long."""
    unpacked = torch.empty((weight.out_features, weight.in_features), dtype=x.dtype, device=x.device)
    dequantise_into(weight, unpacked)
    if out is None:
        return F.linear(x, unpacked)
    return out.copy_(F.linear(x, unpacked))


def nf4_linear_fused(
    x: torch.Tensor, weight: Nf4Weight, out: torch.Tensor | None = None, tile: Tile | None = None
) -> torch.Tensor:
    """The product [rows, out] by the Triton kernel, for any number of rows; `tile` is for measuring others."""
    rows, (columns, features) = x.shape[0], (weight.out_features, weight.in_features)
    assert x.shape[1] == features, f"x has {x.shape[1]} features, the weight {features}"
    if out is None:
        out = torch.empty((rows, columns), dtype=x.dtype, device=x.device)
    assert out.shape == (rows, columns), (out.shape, rows, columns)
    assert out.stride(1) == 1, f"the numbers of a row are {out.stride(1)} apart"
    if rows == 0:
        return out
    tile = tile or tile_for(rows)
    assert features % tile.bk == 0, f"{features} features do not divide into tiles of {tile.bk}"
    x = x if x.stride(1) == 1 else x.contiguous()
    parts, part_features = parts_for(rows, weight, tile, _processors(x.device))
    if parts == 1:
        _launch(x, weight, out, tile, 1, part_features)
    else:
        sums = torch.empty((parts * rows, columns), dtype=torch.float32, device=x.device)
        _launch(x, weight, sums, tile, parts, part_features)
        _add_parts(sums, out, parts)
    return out


def _launch(x: torch.Tensor, weight: Nf4Weight, out: torch.Tensor, tile: Tile, parts: int, part_features: int) -> None:
    from lydite.kernels import programs

    rows, columns, features = x.shape[0], weight.out_features, weight.in_features
    programs.linear[(-(-columns // tile.bn), -(-rows // tile.bm), parts)](
        x, *weight.kernel_tensors, out, rows, columns, features,
        features // 8, features // BLOCK, x.stride(0), out.stride(0), rows * out.stride(0), part_features,
        part_features // 8,
        NESTED=weight.nested, BM=tile.bm, BN=tile.bn, BK=tile.bk, STAGES=tile.stages,
        num_warps=tile.warps, enable_fp_fusion=False,
    )  # fmt: skip


def _add_parts(sums: torch.Tensor, out: torch.Tensor, parts: int) -> None:
    from lydite.kernels import programs

    rows, columns = out.shape
    width = 512  # four numbers for each of a program's 128 threads: 16 bytes a load
    programs.add_parts[(-(-columns // width), rows)](
        sums, out, columns, out.stride(0), rows * columns,
        PARTS=parts, TILE=width, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip


@cache
def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1  # the interpreter
    count: int = torch.cuda.get_device_properties(device).multi_processor_count
    return count
