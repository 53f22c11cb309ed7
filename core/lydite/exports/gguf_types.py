"""In which type each tensor of a GGUF file is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

OUTTYPES: Final[Mapping[str, str]] = {
    "f16": "MOSTLY_F16",
    "f32": "ALL_F32",
    "bf16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
    "q6_k": "MOSTLY_Q6_K",
    "q5_k_m": "MOSTLY_Q5_K_M",
    "q5_1": "MOSTLY_Q5_1",
    "q5_0": "MOSTLY_Q5_0",
    "q4_k_m": "MOSTLY_Q4_K_M",
    "q4_1": "MOSTLY_Q4_1",
    "q4_0": "MOSTLY_Q4_0",
}
"""What weights can be kept in, by the name on the command line: llama.cpp's name for such a file."""
WITH_K: Final[Mapping[str, str]] = {"q6_k": "Q6_K", "q5_k_m": "Q5_K", "q4_k_m": "Q4_K"}
"""Those of blocks within blocks, and the type of most of their tensors."""
_IN_ONE: Final[Mapping[str, str]] = {"Q4_K": "Q5_K", "Q5_K": "Q6_K", "Q6_K": "Q6_K"}
_EMBEDDING: Final = "token_embd.weight"
_HEAD: Final = "output.weight"
_BLOCK: Final = 32  # weights that share a scale
_K_BLOCK: Final = 256  # of which the types with K take eight together
_SHORT_ROWS: Final[Mapping[str, str]] = {"Q6_K": "Q8_0", "Q5_K": "Q5_1", "Q4_K": "Q5_0"}
"""What llama.cpp takes for rows that are no whole number of such blocks."""


def tensor_type(outtype: str, name: str, shape: Sequence[int], *, layers: int, tied: bool) -> str:
    """The type, by ggml's name, in which a tensor is kept, by llama.cpp's name of the tensor.

    Vectors stay in float32. In the types with K, head, half of the value projections and half of the down
    projections have 6 bits, and q, k and v in one tensor a bit more than the rest, as `llama-quantize` has it; in the
    others of less than 8 bits, embedding and head have 8.

    Source: llama.cpp, `llama-quant.cpp`, the rules for Q4_K_M, Q5_K_M and Q6_K.
    """
    if len(shape) < 2:
        return "F32"
    if outtype in WITH_K:
        kind = _with_k(outtype, name, layers=layers, tied=tied)
        if shape[-1] % _K_BLOCK:
            kind = _SHORT_ROWS[kind]
    elif outtype.startswith("q"):
        kind = "Q8_0" if name in (_EMBEDDING, _HEAD) else outtype.upper()
    else:
        return outtype.upper()
    return "F16" if shape[-1] % _BLOCK else kind


def _with_k(outtype: str, name: str, *, layers: int, tied: bool) -> str:
    if name == (_EMBEDDING if tied else _HEAD):
        return "Q6_K"
    if name.endswith((".attn_v.weight", ".ffn_down.weight")) and _gets_more_bits(int(name.split(".")[1]), layers):
        return "Q6_K"
    if name.endswith(".attn_qkv.weight"):
        return _IN_ONE[WITH_K[outtype]]
    return WITH_K[outtype]


def _gets_more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth of the layers, and every third one between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
