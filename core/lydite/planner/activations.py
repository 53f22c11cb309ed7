"""Bytes that training needs for a micro-batch: what the forward pass keeps, and what the backward pass adds."""

from __future__ import annotations

from lydite.config import RunConfig
from lydite.planner.shapes import ModelShapes
from lydite.planner.workload import Workload


def layer_bytes_per_token(config: RunConfig, shapes: ModelShapes, *, itemsize: int) -> int:
    """What one layer keeps of one token for its backward pass, attention's [S, S] tensors apart.

    For a decoder layer of transformers with a LoRA adapter on its linear layers, in numbers of `itemsize` bytes
    unless said otherwise:

        norms          their input, in fp32 (4 bytes)
        q, k, v        their common input H
        attention      q, k, v and its output, k and v repeated for every head, which a mask makes necessary;
                       a log-sum-exp in fp32 for each head
        gate, up       their common input H
        feed-forward   gate, its activation, up, and the product: 4 times the intermediate width
        adapters       A x, r numbers for each adapted layer

    Where all weights are trained the residual is fp32, and a norm keeps its output too, for its weight's gradient.

    Source: counted in transformers' modeling_llama.py and lydite's adapter; a test counts the saved tensors.
    """
    layers = max(1, shapes.layers)
    norms = shapes.norm_width // layers
    attention = 4 * shapes.heads * shapes.head_dim * itemsize + 4 * shapes.heads
    rest = (2 * shapes.hidden + 4 * shapes.intermediate) * itemsize
    if not config.lora.enabled:
        return 8 * norms + attention + rest
    low = config.lora.r * len(shapes.adapted(config.lora)) * itemsize // layers
    return 4 * norms + attention + rest + low


def layer_square_bytes(shapes: ModelShapes, work: Workload, *, itemsize: int) -> int:
    """What one layer's attention keeps of every pair of tokens: its mask, and without a fused kernel the scores.

    A bool mask [R, 1, S, S] becomes one of numbers in each layer. Scores [R, heads, S, S] are kept as softmax gave
    them in fp32, and either rounded and bounded in 16 bit, or bounded in fp32.
    """
    scores = 8 * shapes.heads if shapes.keeps_scores else 0
    return work.rows * work.row_tokens**2 * (itemsize + scores)


def activation_bytes(config: RunConfig, shapes: ModelShapes, work: Workload, *, itemsize: int, adapter: int) -> int:
    """What a micro-batch of the longest sequences keeps until its backward pass.

    With gradient checkpointing every layer keeps its input [tokens, H] alone. Beside the layers there are the bool
    mask, the hidden states with their gradient, and the adapter's (or all) weights rounded to the model's type.
    """
    tokens = work.micro_batch_tokens
    residual = itemsize if config.lora.enabled else 4
    if config.train.gradient_checkpointing:
        kept = shapes.layers * shapes.hidden * residual * tokens
    else:
        kept = shapes.layers * _layer_bytes(config, shapes, work, itemsize)
    mask = work.rows * work.row_tokens**2
    ends = 4 * tokens * shapes.hidden * residual
    rounded = itemsize * (adapter if config.lora.enabled else shapes.parameters) if itemsize < 4 else 0
    return kept + mask + ends + rounded


def backward_bytes(config: RunConfig, shapes: ModelShapes, work: Workload, *, itemsize: int, packed: bool) -> int:
    """What the backward pass through one layer adds.

    Gradients of the feed-forward width, of two fp32 residuals, and of scores where those are kept; one unpacked
    weight; and with gradient checkpointing everything that the layer had not kept.
    """
    scores = 4 * shapes.heads * work.rows * work.row_tokens**2 if shapes.keeps_scores else 0
    flowing = work.micro_batch_tokens * (shapes.intermediate * itemsize + 2 * shapes.hidden * 4)
    unpacking = max((one.parameters for one in shapes.linears), default=0) * itemsize if packed else 0
    again = _layer_bytes(config, shapes, work, itemsize) if config.train.gradient_checkpointing else 0
    return scores + flowing + unpacking + again


def head_tile_bytes(config: RunConfig, shapes: ModelShapes) -> int:
    """Logits of one chunk of tokens: two fp32 tiles, three in the families that bound their logits.

    Source: `lydite.objective.logprobs`, which makes nothing else of that size.
    """
    train = config.train
    tokens = min(train.logprob_chunk_size, train.per_device_train_batch_size * train.max_completion_length)
    return tokens * shapes.vocab * 4 * (3 if shapes.bounds_logits else 2)


def _layer_bytes(config: RunConfig, shapes: ModelShapes, work: Workload, itemsize: int) -> int:
    """What one layer keeps of a micro-batch."""
    each = layer_bytes_per_token(config, shapes, itemsize=itemsize)
    return each * work.micro_batch_tokens + layer_square_bytes(shapes, work, itemsize=itemsize)
