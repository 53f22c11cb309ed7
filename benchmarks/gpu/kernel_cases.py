"""The cases of `benchmarks.kernel_checks`: what each kernel is given, and which of it is timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from lydite.kernels import Nf4Weight, dequantise_into, gated, nf4_linear, nf4_weight_of, rms_norm, rotate
from lydite.kernels.merge import add_rows, merge_into
from lydite.kernels.reference import dequantise_reference
from lydite.policy.sampler import Draw, draw_tokens

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
WHOLE = slice(None)
BIG = 2**31


@dataclass(frozen=True)
class Case:
    """One call of a kernel's function; its tensors, and those that it returns, have their rows first."""

    kernel: str
    label: str
    call: Callable[..., Sequence[Tensor]]
    inputs: Sequence[Tensor] = ()
    """Whose gradients are compared too."""
    others: Sequence[Tensor] = ()
    slopes: Sequence[Tensor] = ()
    traffic: tuple[int, int] = (0, 0)
    """Bytes that forward and backward cannot do without, for GB/s."""

    def results(self, rows: slice = WHOLE) -> list[Tensor]:
        """What the call returns for these rows, and the gradients of its inputs."""
        inputs = [one[rows].detach().requires_grad_() for one in self.inputs]
        found = list(self.call(*inputs, *(one[rows] for one in self.others)))
        if not inputs:
            return found
        slopes = [slope[rows].to(one.dtype) for slope, one in zip(self.slopes, found, strict=True)]
        return [*(one.detach() for one in found), *torch.autograd.grad(found, inputs, slopes)]


def drawn(*shape: int, dtype: torch.dtype = torch.bfloat16, scale: float = 1.0) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=DEVICE).normal_(0, scale)


def strange(x: Tensor, *values: float) -> Tensor:
    """X with one such number in each of its first rows."""
    for row, value in enumerate(values):
        x[row, ..., row] = value
    return x


def named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# The norm: of hidden states, and of heads that lie in wider rows.


def norm_case(x: Tensor, gemma: bool, label: str, slope: Tensor | None = None) -> Case:
    weight = drawn(x.shape[-1], dtype=x.dtype)

    def call(x: Tensor) -> tuple[Tensor]:
        return (rms_norm(x, weight, 1e-6, offset=float(gemma), weight_in_float32=gemma),)

    slope = drawn(*x.shape, dtype=x.dtype) if slope is None else slope
    return Case("rmsnorm", label, call, (x,), slopes=(slope,), traffic=(2 * x.nbytes, 3 * x.nbytes))


def norm_cases(tiny: bool) -> Iterator[Case]:
    rows = 7 if tiny else 1003
    for dtype in DTYPES:
        for width, gemma in ((130 if tiny else 4096, False), (129 if tiny else 3585, True)):
            x = strange(drawn(rows, width, dtype=dtype, scale=3), math.nan, math.inf, -math.inf)
            yield norm_case(x, gemma, f"{named(dtype)} [{rows}, {width}]{' gemma' * gemma}")
    heads = drawn(rows, 6 * 64 + 16)[:, 16:].view(rows, 6, 64)
    yield norm_case(heads, False, f"bfloat16 [{rows}, 6, 64] of wider rows")


def norm_timed(tiny: bool) -> Iterator[Case]:
    for shape in ((3, 64),) if tiny else ((32768, 4096), (32768, 1536), (32768, 32, 128)):
        yield norm_case(drawn(*shape), False, f"bfloat16 {list(shape)}")


def norm_big() -> Case:
    x = drawn(BIG // 4096 + 5, 4096)
    return norm_case(x, False, f"bfloat16 {list(x.shape)}", slope=x)


# Rotary positions: tokens first, as a layer's products have them.


def rope_call(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> list[Tensor]:
    turned = rotate(query.transpose(0, 1)[None], key.transpose(0, 1)[None], cos[None], sin[None])
    return [one[0].transpose(0, 1) for one in turned]


def rope_case(tokens: int, heads: tuple[int, int], width: int, rotary: int, dtype: torch.dtype, big: bool) -> Case:
    x = [drawn(tokens, one, width, dtype=dtype) for one in heads]
    angles = torch.rand(tokens, rotary, device=DEVICE) * 6.28
    slopes = x if big else [torch.randn_like(one) for one in x]
    label = f"{named(dtype)} [{tokens}, {heads[0]}+{heads[1]}, {width}]" + (f", {rotary} turned" * (rotary < width))
    size = 2 * sum(one.nbytes for one in x)
    return Case("rope", label, rope_call, x, (angles.cos().to(dtype), angles.sin().to(dtype)), slopes, (size, size))


def rope_cases(tiny: bool) -> Iterator[Case]:
    tokens = 5 if tiny else 1003
    for dtype, (heads, width, rotary) in product(DTYPES, (((14, 2), 64, 64), ((3, 1), 36, 20))):
        case = rope_case(tokens, heads, width, rotary, dtype, False)
        strange(case.inputs[0], math.nan, math.inf, -math.inf)
        yield case


def rope_timed(tiny: bool) -> Iterator[Case]:
    for heads, width in (((2, 1), 8),) if tiny else (((32, 8), 128), ((14, 2), 64)):
        yield rope_case(3 if tiny else 32768, heads, width, width, torch.bfloat16, False)


def rope_big() -> Case:
    return rope_case(BIG // 4096 + 5, (32, 1), 128, 128, torch.bfloat16, True)


# Gated activations: gate and up by themselves, and as halves of one product.


def glu_case(gate: Tensor, up: Tensor, activation: Any, label: str, slope: Tensor | None = None) -> Case:
    def call(gate: Tensor, up: Tensor) -> tuple[Tensor]:
        return (gated(gate, up, activation),)

    slope = torch.randn_like(gate) if slope is None else slope
    return Case(
        "glu", f"{activation} {label}", call, (gate, up), slopes=(slope,), traffic=(3 * gate.nbytes, 5 * gate.nbytes)
    )


def glu_cases(tiny: bool) -> Iterator[Case]:
    rows, width = (5, 41) if tiny else (1003, 1537)
    for dtype, activation in product(DTYPES, ("silu", "gelu_tanh", "gelu")):
        values = (math.nan, -math.inf) if activation == "gelu" and not CUDA else (math.nan, -math.inf, math.inf)
        gate = strange(drawn(rows, width, dtype=dtype, scale=3), *values)
        yield glu_case(gate, drawn(rows, width, dtype=dtype), activation, f"{named(dtype)} [{rows}, {width}]")
    width = 48 if tiny else 1536
    gate, up = drawn(rows, 2 * width).chunk(2, dim=1)
    yield glu_case(gate, up, "silu", f"bfloat16 [{rows}, {width}] of one product")


def glu_timed(tiny: bool) -> Iterator[Case]:
    shape = (3, 40) if tiny else (16384, 14336)
    for activation in ("silu", "gelu_tanh"):
        yield glu_case(drawn(*shape), drawn(*shape), activation, f"bfloat16 {list(shape)}")


def glu_big() -> Case:
    x = drawn(BIG // 4096 + 5, 4096)
    return glu_case(x, x, "silu", f"bfloat16 {list(x.shape)}", slope=x)


# NF4: weights that bitsandbytes packed, and beyond 2^31 some that are drawn already packed.


def packed(rows: int, columns: int) -> Nf4Weight:
    from bitsandbytes.nn import Params4bit

    values = drawn(rows, columns, scale=columns**-0.5)
    return nf4_weight_of(Params4bit(values, requires_grad=False, blocksize=64, quant_type="nf4").to(DEVICE))


def unpacked(weight: Nf4Weight, dtype: torch.dtype) -> list[Tensor]:
    out = torch.empty(weight.out_features, weight.in_features, dtype=dtype, device=DEVICE)
    dequantise_into(weight, out)
    return [out]


def dequantise_cases(tiny: bool) -> Iterator[Case]:
    rows, columns = (7, 192) if tiny else (1003, 1600)
    weight = packed(rows, columns)
    for dtype in DTYPES:
        yield Case("nf4_dequantise", f"{named(dtype)} [{rows}, {columns}]", partial(unpacked, weight, dtype))


def dequantise_timed(tiny: bool) -> Iterator[Case]:
    rows, columns = (8, 64) if tiny else (28672, 4096)
    call = partial(unpacked, packed(rows, columns), torch.bfloat16)
    yield Case("nf4_dequantise", f"bfloat16 [{rows}, {columns}]", call, traffic=(int(2.516 * rows * columns), 0))


def dequantise_big() -> Case:
    rows, columns = BIG // 4096 + 8, 4096
    blocks = rows * columns // 64

    def random(*size: int) -> Tensor:
        return torch.randint(0, 256, size, dtype=torch.uint8, device=DEVICE)

    weight = Nf4Weight(
        random(rows * columns // 2), drawn(16, dtype=torch.float32).sort().values, random(blocks),
        drawn(256, dtype=torch.float32), drawn(-(-blocks // 256), dtype=torch.float32),
        drawn(1, dtype=torch.float32), rows, columns,
    )  # fmt: skip

    def call(first: Tensor) -> list[Tensor]:
        """All rows, or, by plain torch, those that `first` numbers: multiples of four have scales to themselves."""
        if len(first) == rows:
            return unpacked(weight, torch.bfloat16)
        assert weight.absmax2 is not None
        start = int(first[0]) // 4 * 4
        stop = min(rows, start + 8)
        own = slice(start * columns // 64, stop * columns // 64)
        few = Nf4Weight(
            weight.packed[start * columns // 2 : stop * columns // 2], weight.code, weight.absmax[own],
            weight.absmax_code, weight.absmax2[own.start // 256 :], weight.offset, stop - start, columns,
        )  # fmt: skip
        return [dequantise_reference(few, torch.bfloat16)[first - start]]

    return Case("nf4_dequantise", f"bfloat16 [{rows}, {columns}]", call, others=(torch.arange(rows, device=DEVICE),))


def linear_cases(tiny: bool) -> Iterator[Case]:
    out, features = (70, 192) if tiny else (1003, 1600)
    weight = packed(out, features)
    for dtype, rows in product(DTYPES, (1, 19) if tiny else (1, 19, 61)):
        x = drawn(rows, features, dtype=dtype)
        yield linear_case(strange(x, math.nan) if rows > 1 else x, weight, f"{named(dtype)} {rows} rows")


def linear_case(x: Tensor, weight: Nf4Weight, label: str) -> Case:
    def call(x: Tensor) -> tuple[Tensor]:
        return (nf4_linear(x, weight),)

    size = int(0.516 * weight.out_features * weight.in_features)
    label = f"{label} [{weight.out_features}, {weight.in_features}]"
    return Case("nf4_linear", label, call, others=(x,), traffic=(size, 0))


def linear_timed(tiny: bool) -> Iterator[Case]:
    weight = packed(64, 64) if tiny else packed(28672, 4096)
    for rows in (1,) if tiny else (1, 32):
        yield linear_case(drawn(rows, weight.in_features), weight, f"bfloat16 {rows} rows")


# Log-probabilities: a tile of products in float32, with its slope in the type of a model.


def logps_case(rows: int, vocabulary: int, dtype: torch.dtype, softcap: float | None, label: str) -> Case:
    from lydite.kernels.logps import LogitShape, tile_logps

    products = drawn(rows, vocabulary, dtype=torch.float32, scale=4)
    ids = torch.randint(0, vocabulary, (rows,), device=DEVICE)
    shape = LogitShape(softcap=softcap, temperature=0.7 if softcap else 1.0)

    def call(products: Tensor, ids: Tensor) -> list[Tensor]:
        logps, entropy = (torch.empty(len(ids), device=DEVICE) for _ in range(2))
        slope = torch.empty(products.shape, dtype=dtype, device=DEVICE)
        tile_logps(products, ids, shape, logps, entropy, slope=slope)
        return [logps, entropy, slope]

    size = products.nbytes * 2 + products.numel() * dtype.itemsize
    return Case("logps", f"{named(dtype)} {label}", call, others=(products, ids), traffic=(size, 0))


def logps_cases(tiny: bool) -> Iterator[Case]:
    rows, vocabulary = (5, 1007) if tiny else (131, 49155)
    for dtype, softcap in product(DTYPES, (None, 30.0)):
        label = f"[{rows}, {vocabulary}]" + (", soft cap and temperature" if softcap else "")
        case = logps_case(rows, vocabulary, dtype, softcap, label)
        strange(case.others[0], math.nan)
        yield case


def logps_timed(tiny: bool) -> Iterator[Case]:
    rows, vocabulary = (3, 500) if tiny else (512, 151936)
    yield logps_case(rows, vocabulary, torch.bfloat16, None, f"[{rows}, {vocabulary}]")


# What packed attention does between its calls: the last rows are given a second result, or added to.


def merge_case(tokens: int, heads: int, width: int, dtype: torch.dtype, skipped: int = 3) -> Case:
    output, second = (drawn(tokens, heads, width, dtype=dtype) for _ in range(2))
    lse, second_lse = (drawn(tokens, heads, dtype=torch.float32, scale=5) for _ in range(2))

    def call(output: Tensor, second: Tensor, lse: Tensor, second_lse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.arange(skipped, output.shape[0], device=DEVICE)
        merged, sums, added = output.clone(), lse.T.contiguous(), output.clone()
        merge_into(merged, sums, second[skipped:], second_lse[skipped:].T.contiguous(), rows)
        add_rows(added, rows, second[skipped:])
        return merged, sums.T, added

    traffic = 2 * 2 * output.nbytes + 2 * 3 * output.nbytes  # two copies, then both changes
    others = (output, second, lse, second_lse)
    return Case("merge", f"{named(dtype)} [{tokens}, {heads}, {width}]", call, others=others, traffic=(traffic, 0))


def merge_cases(tiny: bool) -> Iterator[Case]:
    for dtype in DTYPES:
        yield merge_case(11 if tiny else 1003, 3, 36, dtype)
        yield merge_case(7 if tiny else 517, 2, 128, dtype)


def merge_timed(tiny: bool) -> Iterator[Case]:
    yield merge_case(*((5, 2, 64) if tiny else (16384, 32, 128)), torch.bfloat16)


def merge_big() -> Case:
    return merge_case(BIG // 4096 + 5, 32, 128, torch.bfloat16, skipped=0)


# A token of each row; each uniform number is in the middle of a token's share, where no order of sums draws another.


def draw_case(rows: int, vocabulary: int, dtype: torch.dtype, temperature: float = 1.0) -> Case:
    logits = drawn(rows, vocabulary, dtype=dtype, scale=4)
    shares = (logits.double() / temperature).softmax(-1)
    tokens = torch.multinomial(shares.float(), 1)
    uniform = (shares.cumsum(-1).gather(1, tokens) - shares.gather(1, tokens) / 2)[:, 0]
    return drawing(logits, uniform, temperature)


def drawing(logits: Tensor, uniform: Tensor, temperature: float = 1.0) -> Case:
    def call(logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        token, logp = draw_tokens(logits, uniform, Draw(temperature))
        return token.float(), logp

    label = f"{named(logits.dtype)} {list(logits.shape)}"
    return Case("draw", label, call, others=(logits, uniform), traffic=(logits.nbytes, 0))


def draw_cases(tiny: bool) -> Iterator[Case]:
    for dtype in DTYPES:
        yield draw_case(3 if tiny else 67, 5000 if tiny else 151_936, dtype)
        yield draw_case(2 if tiny else 301, 777, dtype, 0.7)


def draw_timed(tiny: bool) -> Iterator[Case]:
    for rows in (2,) if tiny else (32, 256):
        yield draw_case(rows, 1000 if tiny else 151_936, torch.float32)


def draw_big() -> Case:
    rows, vocabulary = BIG // 262_144 + 8, 262_144
    logits = torch.full((rows, vocabulary), -torch.inf, dtype=torch.bfloat16, device=DEVICE)
    logits.scatter_(1, torch.randint(vocabulary, (rows, 1), device=DEVICE), 0.0)  # the one that can be drawn
    return drawing(logits, torch.rand(rows, dtype=torch.float64, device=DEVICE))


CASES = {
    "nf4_dequantise": dequantise_cases, "nf4_linear": linear_cases, "logps": logps_cases, "rmsnorm": norm_cases,
    "rope": rope_cases, "glu": glu_cases, "merge": merge_cases, "draw": draw_cases,
}  # fmt: skip
TIMED = {
    "nf4_dequantise": dequantise_timed, "nf4_linear": linear_timed, "logps": logps_timed, "rmsnorm": norm_timed,
    "rope": rope_timed, "glu": glu_timed, "merge": merge_timed, "draw": draw_timed,
}  # fmt: skip
# Bytes a number, inputs and results together, and the case.
BIG_CASES = {
    "nf4_dequantise": (2.6, dequantise_big), "rmsnorm": (6.0, norm_big), "rope": (8.0, rope_big), "glu": (8.0, glu_big),
    "merge": (10.0, merge_big), "draw": (2.1, draw_big),
}  # fmt: skip
