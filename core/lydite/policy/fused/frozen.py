"""A frozen linear layer as an operand: its product, and its weight as a matrix for as long as one product takes."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from lydite.kernels.nf4 import Nf4Weight, nf4_weight_of
from lydite.kernels.nf4_dequantise import dequantise_into
from lydite.kernels.nf4_linear import FUSED_ROWS, nf4_linear
from lydite.kernels.switch import is_on
from lydite.policy.nf4 import is_nf4, unpacked, unpacked_copy

_scratch: Final[dict[tuple[torch.device, torch.dtype], Tensor]] = {}


class FrozenLinear:
    """One linear layer [out, in] whose weight and bias are not trained."""

    def __init__(self, linear: Any) -> None:
        self.linear = linear
        self.packed = is_nf4(linear)
        self._nf4: Nf4Weight | None = None

    @property
    def dtype(self) -> torch.dtype | None:
        """The type that it multiplies in; None where a packed layer takes that from its first input."""
        dtype: torch.dtype | None = self.linear.compute_dtype if self.packed else self.linear.weight.dtype
        return dtype

    def product(self, x: Tensor) -> Tensor:
        """The product x W^T + b [rows, out] of x [rows, in]. Few rows multiply a packed weight as it is unpacked."""
        bias = None if self.linear.bias is None else self.linear.bias.to(x.dtype)
        if self.packed and x.shape[0] <= FUSED_ROWS and unpacked_copy(self.linear) is None:
            packed = self._packed_weight()
            if is_on("nf4_linear", packed.device):
                result = nf4_linear(x, packed)
                return result if bias is None else result.add_(bias)
        return nn.functional.linear(x, self.weight(), bias)

    def weight(self) -> Tensor:
        """The weight [out, in]. That of a packed layer is good until another layer's is asked for."""
        if not self.packed:
            weight: Tensor = self.linear.weight.detach()
            return weight
        copy = unpacked_copy(self.linear)
        if copy is not None:
            return copy
        packed = self._packed_weight()
        if not (packed.whole_blocks and is_on("nf4_dequantise", packed.device)):
            return unpacked(self.linear)  # bitsandbytes brings its own memory
        out = _scratch_matrix(packed, self.linear.compute_dtype)
        dequantise_into(packed, out)
        return out

    def _packed_weight(self) -> Nf4Weight:
        if self._nf4 is None or self._nf4.packed.data_ptr() != self.linear.weight.data_ptr():
            self._nf4 = nf4_weight_of(self.linear)
        return self._nf4


def _scratch_matrix(weight: Nf4Weight, dtype: torch.dtype) -> Tensor:
    """Memory for one unpacked weight: the same for all layers, as large as the largest of them."""
    wanted = weight.out_features * weight.in_features
    key = (weight.device, dtype)
    held = _scratch.get(key)
    if held is None or held.numel() < wanted:
        held = _scratch[key] = torch.empty(wanted, dtype=dtype, device=weight.device)
    return held[:wanted].view(weight.out_features, weight.in_features)


def scratch() -> tuple[Tensor, ...]:
    """The memory that weights are unpacked into now: whoever records work on it holds on to it."""
    return tuple(_scratch.values())
