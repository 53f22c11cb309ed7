"""Log-probabilities and entropies of tokens from a tile of the head's products, and the slope of the former.

The head's products [n, V] are the largest numbers of a training step. With Triton they are read once for the sums of
a softmax and once more, where a gradient is wanted, to write the slope in the 16 bits that the next product takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from lydite.kernels.switch import is_on

# Vocabulary entries that one program sums: 128 KiB of float32. Five programs for each row of Qwen's 152k fill a GPU
# from 128 rows on, and since the parts depend on nothing but V, a token's sums are the same in any company.
PART: Final = 32768
# 16 entries a thread: four loads of 16 bytes at once, and 96 registers for three sums of each; with 32, 255.
FOLD_BLOCK: Final = 2048
SLOPE_BLOCK: Final = 4096  # 32 a thread; nothing is summed, so that registers allow it
WARPS: Final = 4

# Bytes for a tile's products and its slope together, on a GPU. 512 rows of 152k entries take 0.43 GiB of them.
TILE_BYTES: Final = 512 << 20
# The same on a CPU, where products are in the weight's type and the slope takes their place.
CPU_TILE_BYTES: Final = 32 << 20
# Each of the two float32 tiles of the way without Triton: both in a CPU's cache, and on a GPU a few launches a chunk.
CPU_SCRATCH_BYTES: Final = 8 << 20
SCRATCH_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class LogitShape:
    """What happens to the head's product x before the softmax.

    z = logit_scale * x, then softcap * tanh(z / softcap) where there is a softcap, then z / temperature.
    """

    logit_scale: float = 1.0
    softcap: float | None = None
    temperature: float = 1.0

    @property
    def factor(self) -> float:
        """The derivative d z / d x, without the capping."""
        return self.logit_scale / self.temperature

    def logits(self, product: Tensor) -> Tensor:
        """The z [n, V] of products x [n, V], with their gradient; for few rows, since each step makes a new tensor."""
        z = product if self.logit_scale == 1.0 else product * self.logit_scale
        if self.softcap is not None:
            z = torch.tanh(z.float() / self.softcap) * self.softcap
        return z if self.temperature == 1.0 else z / self.temperature

    def apply_(self, x: Tensor, *, bend: bool) -> Tensor | None:
        """Turns float32 products x [n, V] into z in place; with `bend`, returns the derivative of the capping.

        None where nothing is capped or the derivative is not wanted.
        """
        if self.softcap is None:
            if self.factor != 1.0:
                x.mul_(self.factor)
            return None
        x.mul_(self.logit_scale / self.softcap).tanh_()
        derivative = (x * x).neg_().add_(1.0) if bend else None
        x.mul_(self.softcap / self.temperature)
        return derivative


def tile_rows(vocabulary: int, weight_bytes: int, cap: int, *, cuda: bool) -> int:
    """Rows of a tile: as many as its bytes allow, a power of two, and at most `cap`.

    A power of two, because a product's tiles are 128 rows or 256, and the product with the slope, [n, V] x [V, H],
    is split evenly over the multiprocessors only along V. Not below 128: a product of fewer rows takes as long as
    reading the head.
    """
    row = vocabulary * (4 + weight_bytes if weight_bytes < 4 else 4) if cuda else vocabulary * weight_bytes
    fitting = (TILE_BYTES if cuda else CPU_TILE_BYTES) // row
    return min(cap, 1 << max(7, fitting.bit_length() - 1))


@dataclass(frozen=True, slots=True)
class _Tile:
    """The tensors of a call of `tile_logps`."""

    product: Tensor
    ids: Tensor
    logps: Tensor
    entropy: Tensor
    slope: Tensor | None
    scale: Tensor | None
    entropy_slope: Tensor | None
    entropy_scale: Tensor | None

    def part(self, own: slice) -> _Tile:
        """A few of the rows."""

        def rows(one: Tensor | None) -> Tensor | None:
            return None if one is None else one[own]

        return _Tile(
            self.product[own], self.ids[own], self.logps[own], self.entropy[own],
            rows(self.slope), rows(self.scale), rows(self.entropy_slope), rows(self.entropy_scale),
        )  # fmt: skip


def tile_logps(
    product: Tensor,
    ids: Tensor,
    shape: LogitShape,
    logps: Tensor,
    entropy: Tensor,
    *,
    slope: Tensor | None = None,
    scale: Tensor | None = None,
    entropy_slope: Tensor | None = None,
    entropy_scale: Tensor | None = None,
) -> None:
    """Fills `logps` and `entropy`, float32 [n], for products [n, V] in any type and the tokens `ids` [n].

    `slope` [n, V], where it is given, is filled with d logp / d product times `scale` [n], rounded once to its own
    type; it may be `product` itself. `entropy_slope` [n, V] is filled likewise with d entropy / d product times
    `entropy_scale` [n], and may not be `product`. Rows may lie apart in memory, the numbers of a row may not.

    Source: p(v) = softmax(z)[v]; d logp_t / d z_v = [v = t] - p_v; d entropy / d z_v = -p_v (log p_v + entropy); see
    `lydite.kernels.programs_logps`.
    """
    rows, vocabulary = product.shape
    assert ids.shape == logps.shape == entropy.shape == (rows,), (product.shape, ids.shape, logps.shape, entropy.shape)
    for one in (slope, entropy_slope):
        assert one is None or one.shape == product.shape, (product.shape, one)
    if rows == 0:
        return
    tile = _Tile(product, ids, logps, entropy, slope, scale, entropy_slope, entropy_scale)
    if is_on("logps", product.device):
        _launch(tile, shape)
        return
    scratch = SCRATCH_BYTES if product.is_cuda else CPU_SCRATCH_BYTES
    several = max(1, min(rows, scratch // (4 * vocabulary)))
    z = torch.empty((several, vocabulary), dtype=torch.float32, device=product.device)
    e = torch.empty_like(z)
    for start in range(0, rows, several):
        _plain(tile.part(slice(start, start + several)), shape, z[: rows - start], e[: rows - start])


def _plain(tile: _Tile, shape: LogitShape, z: Tensor, e: Tensor) -> None:
    """A few rows in torch's own operations; float32 [n, V] `z` and `e` take logits and their exponentials."""
    z.copy_(tile.product)
    bend = shape.apply_(z, bend=tile.slope is not None or tile.entropy_slope is not None)
    z.sub_(z.amax(dim=1, keepdim=True))
    target = tile.ids[:, None]
    z_target = z.gather(1, target).squeeze(1)
    torch.exp(z, out=e)
    own = e.gather(1, target).squeeze(1)
    away = None if tile.entropy_slope is None else z.clone()
    weighted = z.mul_(e).sum(dim=1)
    # Others apart from the target: log p and 1 - p keep their digits where the model is nearly certain,
    # which is where a difference from log(1) would round them away.
    e.scatter_(1, target, 0.0)
    others = e.sum(dim=1)
    total = others + own
    tile.logps.copy_(-F.softplus(others.log() - z_target))
    tile.entropy.copy_(total.log() - weighted / total)
    if tile.entropy_slope is not None and away is not None:
        factor = _scaled(shape.factor, tile.entropy_scale) / total
        away.sub_((weighted / total)[:, None])  # log p + entropy, in which log(total) cancels
        towards = e.scatter(1, target, own[:, None]).mul_(away).mul_(-factor[:, None])
        tile.entropy_slope.copy_(towards if bend is None else towards.mul_(bend))
    if tile.slope is not None:
        factor = _scaled(shape.factor, tile.scale) / total
        e.mul_(-factor[:, None])
        e.scatter_(1, target, (factor * others)[:, None])
        tile.slope.copy_(e if bend is None else e.mul_(bend))


def _scaled(factor: float, scale: Tensor | None) -> Tensor | float:
    return factor if scale is None else factor * scale


def _launch(tile: _Tile, shape: LogitShape) -> None:
    from lydite.kernels import programs_logps

    product = tile.product
    rows, vocabulary = product.shape
    assert product.stride(1) == 1, f"the numbers of a row are {product.stride(1)} apart"
    capped = shape.softcap is not None
    cap = 1.0 if shape.softcap is None else shape.softcap
    first, last = (shape.logit_scale / cap, 1.0 / shape.temperature) if capped else (shape.factor, 1.0)
    parts = -(-vocabulary // PART)
    partial = torch.empty((3, rows, parts), dtype=torch.float32, device=product.device)
    terms = torch.empty((rows, 4), dtype=torch.float32, device=product.device)
    ids, stride = tile.ids.contiguous(), product.stride(0)
    programs_logps.fold[(rows * parts,)](
        product, ids, partial, vocabulary, stride, parts, first, last, cap,
        CAPPED=capped, PART=PART, BLOCK=FOLD_BLOCK, num_warps=WARPS, enable_fp_fusion=True,
    )  # fmt: skip
    programs_logps.merge[(rows,)](
        product, ids, partial, tile.logps, tile.entropy, terms, stride, parts, first, last, cap,
        CAPPED=capped, PARTS=1 << (parts - 1).bit_length(), num_warps=1, enable_fp_fusion=True,
    )  # fmt: skip
    blocks = -(-vocabulary // SLOPE_BLOCK)
    # The entropy's first: the other may take the products' place.
    for out, factors, of_entropy in (
        (tile.entropy_slope, tile.entropy_scale, True),
        (tile.slope, tile.scale, False),
    ):
        if out is None:
            continue
        assert out.stride(1) == 1, f"the numbers of a row are {out.stride(1)} apart"
        programs_logps.slopes[(rows * blocks,)](
            product, ids, terms, terms if factors is None else factors.contiguous(), out,
            vocabulary, stride, out.stride(0), blocks, first, last, cap, shape.factor,
            CAPPED=capped, SCALED=factors is not None, ENTROPY=of_entropy, BLOCK=SLOPE_BLOCK,
            num_warps=WARPS, enable_fp_fusion=True,
        )  # fmt: skip
