"""What an export may be off by, in nats a token.

Down to 8 bits three to six times what was measured on SmolLM2-135M (docs/export.md). Below, drift is mostly the base's
own rounding, whatever was trained, and the bound only tells a broken file; whether the adapter is in it, `kept` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lydite.exports.parity import DRIFT_TO_CHANGE, Bound
from lydite.exports.target import Precision

_EXACT: Final = 0.002
_BY_TYPE: Final[Mapping[str, float]] = {
    "float32": _EXACT,
    "float16": 0.02,
    "bfloat16": 0.4,
    "q8_0": 0.1,
    "q6_k": 0.3,
    "q5_k_m": 0.6,
    "q4_k_m": 1.0,
    "q5_1": 0.6,
    "q5_0": 0.6,
    "q4_1": 1.0,
    "q4_0": 1.0,
}
_SHORT: Final[Mapping[str, str]] = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
_MODEL_PRECISION: Final = 0.15
"""Added where both compute in 16 bits: on the very same weights they then differ by a third of that."""
_LLAMA_CPP: Final = 0.02
"""Added for llama.cpp, which rounds what it multiplies."""


def bound_for(weights: str, precision: Precision, *, llama_cpp: bool = False) -> Bound:
    """The bound of an export whose weights have a type, by torch's name or by llama.cpp's."""
    slack = (_MODEL_PRECISION if precision == "model" else 0.0) + (_LLAMA_CPP if llama_cpp else 0.0)
    name = _SHORT.get(weights, weights)
    beside = None if name.startswith("q") or precision == "model" else DRIFT_TO_CHANGE
    return Bound(_BY_TYPE[name] + slack, drift_to_change=beside)


def with_limit(bound: Bound, max_drift: float | None) -> Bound:
    """The bound, or the one that a user states in its place."""
    return bound if max_drift is None else Bound(max_drift, None)
