"""What a kernel needs of a weight that bitsandbytes packed: its tensors, by name, and none of them copied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch

from lydite.errors import ModelError

BLOCK: Final = 64  # weights that share a scale
NESTED_BLOCK: Final = 256  # scales that share a scale of their own


@dataclass(frozen=True)  # no slots: what the kernels read is kept
class Nf4Weight:
    """A matrix [out_features, in_features] in NF4, row by row: 0.516 bytes a weight when its scales are nested.

    Every tensor is the one that bitsandbytes holds, seen flat. A byte of `packed` has two weights, the first in its
    high half. A weight is `code[half] * scale` of its block, computed in float32 and then rounded to the computing
    type; the scale is `absmax` itself, or `absmax_code[absmax] * absmax2 + offset` where scales are nested.
    Source: Dettmers et al. 2023, QLoRA (arXiv 2305.14314), section 3.
    """

    packed: torch.Tensor  # uint8 [out * in / 2]
    code: torch.Tensor  # float32 [16], the values of the sixteen halves
    absmax: torch.Tensor  # uint8 or float32 [out * in / 64]
    absmax_code: torch.Tensor | None  # float32 [256]
    absmax2: torch.Tensor | None  # float32 [out * in / 64 / 256]
    offset: torch.Tensor | None  # float32 []
    out_features: int
    in_features: int

    @property
    def nested(self) -> bool:
        """True when the scales are 8-bit numbers with scales of their own."""
        return self.absmax2 is not None

    @property
    def whole_blocks(self) -> bool:
        """True when every row starts a block, which is what the Triton kernels are written for."""
        return self.in_features % BLOCK == 0

    @property
    def device(self) -> torch.device:
        """Where its tensors lie."""
        return self.packed.device

    @cached_property
    def kernel_tensors(self) -> tuple[torch.Tensor, ...]:
        """The tensors in the order of the Triton programs' arguments; without nested scales, stand-ins never read.

        Made once: every pass unpacks every weight up to three times.
        """
        return (
            self.packed.view(torch.int32),
            self.code,
            self.absmax,
            self.code if self.absmax_code is None else self.absmax_code,
            self.code if self.absmax2 is None else self.absmax2,
            self.code if self.offset is None else self.offset,
        )


def nf4_weight_of(packed: Any) -> Nf4Weight:
    """The packed weight of a bitsandbytes `Linear4bit`, or of a `Params4bit` itself.

    Raises:
        ModelError: when it is not packed, not NF4, or packed in blocks of another size.
    """
    parameter: Any = packed.weight if isinstance(packed, torch.nn.Module) else packed
    state: Any = getattr(parameter, "quant_state", None)
    if state is None:
        raise ModelError(
            f"a {type(packed).__name__} with weights in 4 bit is wanted, and this one's are not packed;"
            " load the model with model.quantization = 'nf4', on its device"
        )
    if (state.quant_type, state.blocksize) != ("nf4", BLOCK):
        raise ModelError(f"nf4 in blocks of {BLOCK} is wanted, not {state.quant_type} in blocks of {state.blocksize}")
    nested = state.state2
    if nested is not None and nested.blocksize != NESTED_BLOCK:
        raise ModelError(f"scales in blocks of {NESTED_BLOCK} are wanted, not of {nested.blocksize}")
    rows, columns = state.shape
    return Nf4Weight(
        packed=parameter.detach().view(torch.uint8).view(-1),
        code=state.code.view(-1),
        absmax=state.absmax.view(-1),
        absmax_code=None if nested is None else nested.code.view(-1),
        absmax2=None if nested is None else nested.absmax.view(-1),
        offset=None if nested is None else state.offset,
        out_features=int(rows),
        in_features=int(columns),
    )
