"""Tiles of a head's products to draw from, and what belongs to them in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from lydite.kernels.logps import LogitShape

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
ROUNDING = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-10, torch.float32: 0.0}
"""Of a number of the type, relative."""


@dataclass(frozen=True)
class LogitTile:
    """Products [n, V] with the tokens that are asked about, the first and the last of the vocabulary among them."""

    product: Tensor
    ids: Tensor
    shape: LogitShape
    kind: torch.dtype
    """The type of the slopes."""
    factor: Tensor | None
    """What the slopes are multiplied by, or None."""

    @property
    def size(self) -> float:
        """How large a logit is before the softmax, at most."""
        return float(self.product.abs().max()) * max(1.0, self.shape.logit_scale) / self.shape.temperature

    def scaled(self, slope: Tensor) -> Tensor:
        return slope if self.factor is None else slope * self.factor.double()[:, None]


@st.composite
def logit_tiles(draw: st.DrawFn, *, rows: int, vocabulary: int) -> LogitTile:
    """Tiles of up to so many rows of up to so many products, in float32."""
    n, v = draw(st.integers(1, rows)), draw(st.integers(2, vocabulary))
    source = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    ids = torch.randint(v, (n,), generator=source)
    ids[0], ids[-1] = v - 1, 0
    return LogitTile(
        torch.randn(n, v, generator=source) * draw(st.floats(0.1, 12.0)),
        ids,
        LogitShape(
            draw(st.sampled_from([1.0, 0.0625, 1.5])),
            draw(st.sampled_from([None, 2.0, 30.0])),
            draw(st.sampled_from([1.0, 0.7, 1.3])),
        ),
        draw(st.sampled_from(DTYPES)),
        torch.linspace(-3.0, 0.5, n) if draw(st.booleans()) else None,
    )


def exact_logps(product: Tensor, ids: Tensor, shape: LogitShape) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, entropies and slopes of the former in float64, all of whose digits are right."""
    x = product.double().requires_grad_()
    z = x * shape.logit_scale
    if shape.softcap is not None:
        z = shape.softcap * torch.tanh(z / shape.softcap)
    z = z / shape.temperature
    target = torch.nn.functional.one_hot(ids, z.shape[1]).bool()
    others = z.masked_fill(target, -torch.inf).logsumexp(1)
    logps = -torch.nn.functional.softplus(others - z[target], threshold=500.0)
    (slope,) = torch.autograd.grad(logps.sum(), x)
    every = z.log_softmax(1)
    return logps.detach(), -(every.exp() * every).sum(1).detach(), slope


def exact_entropy_slope(product: Tensor, shape: LogitShape) -> Tensor:
    """The slope of the entropies in float64, by its formula: autograd's is rounded by their cancelling parts."""
    z = product.double() * shape.logit_scale
    bend = torch.ones_like(z)
    if shape.softcap is not None:
        bend = 1 - torch.tanh(z / shape.softcap).square()
        z = shape.softcap * torch.tanh(z / shape.softcap)
    every = (z / shape.temperature).log_softmax(1)
    entropy = -(every.exp() * every).sum(1, keepdim=True)
    return -every.exp() * (every + entropy) * bend * shape.logit_scale / shape.temperature
