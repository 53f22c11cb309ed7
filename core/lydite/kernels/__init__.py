"""The kernels: weights in NF4, unpacked into memory or multiplied as they are, and the steps between the products.

These are the norm, the rotation of positions and the gated activation, forward and backward. Each kernel has one
function that takes the Triton program where `lydite.kernels.switch` says that it is on, and bitsandbytes and torch
elsewhere; `lydite.kernels.reference` says in plain torch what they compute.
"""

from lydite.kernels.glu import gated
from lydite.kernels.nf4 import Nf4Weight, nf4_weight_of
from lydite.kernels.nf4_dequantise import dequantise_group_into, dequantise_into
from lydite.kernels.nf4_linear import nf4_linear
from lydite.kernels.rms_norm import rms_norm
from lydite.kernels.rope import rotate
from lydite.kernels.switch import kernel_states

__all__ = [
    "Nf4Weight",
    "dequantise_group_into",
    "dequantise_into",
    "gated",
    "kernel_states",
    "nf4_linear",
    "nf4_weight_of",
    "rms_norm",
    "rotate",
]
