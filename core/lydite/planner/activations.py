"""Bytes that training needs for a micro-batch: what the forward pass keeps, and what the backward pass adds."""

from __future__ import annotations

from typing import Final, Literal

from lydite.config import RunConfig
from lydite.planner.shapes import ModelShapes
from lydite.planner.workload import PassSize, Workload

ITEMSIZE: Final = {"auto": 2, "bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of a number; a run settles what `auto` is before it plans, and until then it counts as bfloat16."""
_ON_THEIR_WAY: Final = 3  # inputs on the device while the others wait in the host's memory; see `policy.offload`


def layer_bytes_per_token(config: RunConfig, shapes: ModelShapes, *, itemsize: int) -> int:
    """What one layer keeps of one token for its backward pass, attention apart, in numbers of `itemsize` bytes.

        norms          their input; in fp32 where transformers computes them
        q, k, v        their common input H
        gate, up       their common input H
        feed-forward   gate and up, 2 times the intermediate width; by transformers also the activation and the product
        adapters       A x, r numbers for each adapted layer

    Where all weights are trained the residual is fp32, a norm keeps its output too, for its weight's gradient, and in
    16 bit each linear layer rounds its input by itself.

    Source: counted in transformers' modeling_llama.py and `policy.fused`; a test counts the saved tensors.
    """
    layers = max(1, shapes.layers)
    norms = shapes.norm_width // layers
    if not config.lora.enabled:
        inputs = 5 if itemsize < 4 else 2
        return 8 * norms + (inputs * shapes.hidden + 4 * shapes.intermediate) * itemsize
    low = config.lora.r * len(shapes.adapted(config.lora)) // layers
    if shapes.fuses:
        return norms * itemsize + (2 * shapes.hidden + 2 * shapes.intermediate + low) * itemsize
    return 4 * norms + (2 * shapes.hidden + 4 * shapes.intermediate + low) * itemsize


def attention_bytes(shapes: ModelShapes, size: PassSize, *, itemsize: int, device: Literal["cpu", "cuda"]) -> int:
    """What one layer's attention keeps: q, k, v, its output, and a log-sum-exp in fp32 for each head.

    Padded, k and v are repeated for every head, and each layer makes numbers of the bool mask. Packed, k and v stay
    as they are where variable-length calls are made; elsewhere each completion has a copy of its prompt's, on a CPU in
    fp32. Bounded scores are kept as softmax gave them in fp32, and either rounded and bounded in 16 bit, or bounded in
    fp32.
    """
    width, keys = shapes.heads * shapes.head_dim, shapes.kv_heads * shapes.head_dim
    scores = size.pairs * 8 * shapes.heads if shapes.keeps_scores else 0
    sums = 4 * shapes.heads * size.tokens
    if not size.packed:
        return size.tokens * 4 * width * itemsize + size.pairs * itemsize + scores + sums
    if _calls(shapes, size, itemsize, device):
        return size.tokens * 2 * (width + keys) * itemsize + sums
    wide = 4 if device == "cpu" else itemsize
    # The output twice: as the kernel gave it, and with its heads back beside one another.
    return size.tokens * width * (2 * wide + itemsize) + size.keys * 2 * keys * wide + scores + sums


def activation_bytes(
    config: RunConfig,
    shapes: ModelShapes,
    work: Workload,
    *,
    itemsize: int,
    adapter: int,
    device: Literal["cpu", "cuda"],
    recomputed: int,
) -> int:
    """What a micro-batch of the longest sequences keeps until its backward pass.

    A layer that is computed again keeps its input [tokens, H] alone, and those inputs but three are elsewhere where
    they are offloaded. Beside the layers there are the mask, the hidden states with their gradient, and the
    adapter's (or all) weights rounded to the model's type.
    """
    tokens = work.training.tokens
    residual = itemsize if config.lora.enabled else 4
    inputs = min(recomputed, _ON_THEIR_WAY) if offloads(config, device) else recomputed
    kept = inputs * shapes.hidden * residual * tokens
    kept += (shapes.layers - recomputed) * _layer_bytes(config, shapes, work, itemsize, device)
    ends = 4 * tokens * shapes.hidden * residual
    rounded = itemsize * (adapter if config.lora.enabled else shapes.parameters) if itemsize < 4 else 0
    return kept + _mask_bytes(shapes, work, itemsize, device) + ends + rounded


def value_head_bytes(config: RunConfig, shapes: ModelShapes, work: Workload) -> int:
    """What PPO's value head takes of a micro-batch at the peak of its backward pass; 0 without one.

    It keeps the states of completions in fp32 and as directions, [tokens, H] each, and makes gradients of both. It
    begins when the last logits are gone, and is over before the layers' turn comes.

    Source: `lydite.algorithms.value_head`.
    """
    return 4 * 4 * work.training.completion_tokens * shapes.hidden if config.algorithm == "ppo" else 0


def offloads(config: RunConfig, device: Literal["cpu", "cuda"]) -> bool:
    """True where what layers keep that are computed again goes to another memory than the device's."""
    return config.train.activation_offloading and device == "cuda"


def offloaded_bytes(config: RunConfig, shapes: ModelShapes, work: Workload, *, itemsize: int, recomputed: int) -> int:
    """What the inputs of layers that are computed again take of the host's memory."""
    return recomputed * shapes.hidden * (itemsize if config.lora.enabled else 4) * work.training.tokens


def backward_bytes(
    config: RunConfig,
    shapes: ModelShapes,
    work: Workload,
    *,
    itemsize: int,
    packed: bool,
    device: Literal["cpu", "cuda"],
    recomputed: int,
) -> int:
    """What the backward pass through one layer adds.

    The feed-forward's product and the gradients of its two factors, gradients of two fp32 residuals, and of scores
    where those are kept; one unpacked weight; and where every layer is computed again what one had not kept. Where
    the highest layers keep theirs, they are done with when the first is computed again, and have left more room than
    it takes.
    """
    scores = 4 * shapes.heads * work.training.pairs if shapes.keeps_scores else 0
    flowing = work.training.tokens * (3 * shapes.intermediate * itemsize + 2 * shapes.hidden * 4)
    unpacking = max((one.parameters for one in shapes.linears), default=0) * itemsize if packed else 0
    again = _layer_bytes(config, shapes, work, itemsize, device) if recomputed >= shapes.layers else 0
    return max(scores + flowing + unpacking + again, value_head_bytes(config, shapes, work))


def head_tile_bytes(config: RunConfig, shapes: ModelShapes, work: Workload, *, device: Literal["cpu", "cuda"]) -> int:
    """Logits of one chunk of tokens, [rows, V].

    On a GPU in fp32, and their slope in the head's own type. On a CPU as the product gives them, and two copies in
    fp32; one more in the families that bound their logits.

    Source: `lydite.objective.chunked_head`, which makes nothing else of that size.
    """
    from lydite.kernels.logps import tile_rows

    itemsize = ITEMSIZE[config.model.dtype] if config.lora.enabled else 4
    cap = max(1, min(config.train.logprob_chunk_size, work.training.completion_tokens))
    rows = tile_rows(shapes.vocab, itemsize, cap, cuda=device == "cuda")
    if device == "cuda":
        return rows * shapes.vocab * (4 + itemsize % 4)
    return rows * shapes.vocab * (itemsize + 8 + 4 * shapes.bounds_logits)


def _layer_bytes(
    config: RunConfig, shapes: ModelShapes, work: Workload, itemsize: int, device: Literal["cpu", "cuda"]
) -> int:
    """What one layer keeps of a micro-batch."""
    each = layer_bytes_per_token(config, shapes, itemsize=itemsize)
    return each * work.training.tokens + attention_bytes(shapes, work.training, itemsize=itemsize, device=device)


def _mask_bytes(shapes: ModelShapes, work: Workload, itemsize: int, device: Literal["cpu", "cuda"]) -> int:
    """The masks of a pass, which lie beside all layers; none for variable-length calls, where lengths are enough."""
    size = work.training
    if not size.packed:
        return size.pairs
    if _calls(shapes, size, itemsize, device):
        return 0
    # Heads that share a key are more rows of a mask; completions of equal length share theirs.
    return size.mask * (shapes.heads // shapes.kv_heads) * (4 if device == "cpu" else itemsize)


def _calls(shapes: ModelShapes, size: PassSize, itemsize: int, device: Literal["cpu", "cuda"]) -> bool:
    """True where packed attention is one or two variable-length calls; see `policy.packed_attention`."""
    return size.packed and device == "cuda" and itemsize == 2 and not shapes.keeps_scores
