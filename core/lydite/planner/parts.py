"""Bytes of everything that a run keeps on its device, each by a formula of its own.

The formulas count what lydite's own code allocates with transformers' layers. They are upper bounds in one
respect: every prompt and completion is taken to be as long as the configuration allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from lydite.config import RunConfig
from lydite.config.algorithms import has_reference
from lydite.planner.activations import ITEMSIZE, activation_bytes, backward_bytes, head_tile_bytes
from lydite.planner.shapes import ModelShapes
from lydite.planner.workload import Workload

CUDA_CONTEXT: Final = 512 * 2**20  # the driver's context, cuBLAS's workspaces and loaded kernels
# Of one layer in one recorded decode step: on an H100, 0.08 GiB for 30 layers in 10 sizes.
GRAPH_BYTES: Final = 288 * 2**10
# Of one layer's two recordings of training: some 150 launches, where a layer of a decode step has 20.
RECORDED_BYTES: Final = 2 * 2**20
LEAST_PAGED: Final = 100_000  # numbers; bitsandbytes keeps the state of smaller tensors on the device
SCALES: Final = 1 / 64 + 4 / (64 * 256)  # bytes a weight: an 8-bit scale for 64, an fp32 one for 256 of those


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes, part by part."""

    packed: int
    """Linear layers in 4 bit."""
    unpacked: int
    """Linear layers in 16 bit, or in fp32 where all weights are trained."""
    embeddings: int
    """Embedding, output head, norms, biases and the rest."""
    adapter: int
    """What is trained of an adapter, in fp32; 0 where all weights are trained."""
    value_head: int
    """PPO's, in fp32, with its gradient and AdamW's two moments; 0 without one."""
    gradients: int
    """In fp32; they are there while training."""
    optimizer: int
    """AdamW's two moments; from the first update on they stay."""
    reference: int
    """The start weights that the policy is compared with, where all weights are trained."""
    activations: int
    """What a micro-batch keeps for its backward pass."""
    backward: int
    """What that pass adds, layer by layer."""
    head_tile: int
    """Logits of a chunk of tokens."""
    kv_per_token: int
    """One token's keys and values."""
    rounded: int
    """What is trained, rounded to the model's type for sampling."""
    copy: int
    """The 4-bit layers in 16 bit, for sampling."""
    workspace: int
    """Logits of one decode step with their copies, and the activations of a prefill."""
    graphs: int
    """Recorded decode steps."""
    recorded: int
    """Recorded layers of training, and what they compute in; from the first update on they stay."""
    context: int
    """What CUDA itself takes."""

    @property
    def weights(self) -> int:
        """The whole base."""
        return self.packed + self.unpacked + self.embeddings

    @property
    def loaded(self) -> int:
        """What is there once the policy is."""
        return self.context + self.weights + self.adapter

    @property
    def learning(self) -> int:
        """What training needs beside what is loaded, and gives back before sampling; the optimiser apart.

        The logits of the last chunk are gone when the backward pass begins.
        """
        return self.gradients + self.activations + max(self.backward, self.head_tile)

    @property
    def lasting(self) -> int:
        """What a run keeps in both phases beside what is loaded; the engine's part of it apart."""
        return self.optimizer + self.reference + self.value_head + self.recorded


def parts_of(
    config: RunConfig,
    shapes: ModelShapes,
    work: Workload,
    *,
    device: Literal["cpu", "cuda"],
    vllm: bool,
    recomputed: int | None = None,
) -> Parts:
    """The bytes of every part of this run on that device.

    `recomputed` layers compute their activations again; None: as many as the configuration says, none for "auto".

    Source: NF4 with double quantisation is 0.5 bytes a weight and its scales (QLoRA, arXiv 2305.14314, section 3).
    """
    itemsize = ITEMSIZE[config.model.dtype]
    lora = config.lora.enabled
    packed = sum(one.parameters for one in shapes.packed(config.model, on_cpu=device == "cpu")) if lora else 0
    linears = sum(one.parameters for one in shapes.linears)
    held = itemsize if lora else 4
    adapter = adapter_parameters(config, shapes) if lora else 0
    trained = adapter if lora else shapes.parameters
    cuda = device == "cuda"
    if recomputed is None:
        recomputed = shapes.layers if config.train.gradient_checkpointing is True else 0
    backward = backward_bytes(
        config, shapes, work, itemsize=itemsize, packed=packed > 0, device=device, recomputed=recomputed
    )
    recorded = cuda and lora and config.train.cuda_graphs
    return Parts(
        packed=int(packed * (0.5 + SCALES)),
        unpacked=(linears - packed) * held,
        embeddings=(shapes.embedding + shapes.head + shapes.other) * held,
        adapter=4 * adapter,
        value_head=4 * 4 * (shapes.hidden + 1) if config.algorithm == "ppo" else 0,
        gradients=4 * trained,
        optimizer=optimizer_bytes(config, shapes, device=device),
        reference=shapes.parameters * itemsize if has_reference(config) and not lora else 0,
        activations=activation_bytes(
            config, shapes, work, itemsize=itemsize, adapter=adapter, device=device, recomputed=recomputed
        ),
        backward=0 if recorded else backward,
        head_tile=head_tile_bytes(config, shapes, work, device=device),
        kv_per_token=_kv_bytes(config, shapes, itemsize, vllm=vllm),
        # vLLM joins q, k, v and gate, up: B of a joint layer is as wide as all its parts' ranks together.
        rounded=trained * itemsize * (2 if vllm and lora else 1) if itemsize < 4 or vllm else 0,
        copy=packed * itemsize,
        workspace=_workspace_bytes(config, shapes, work, itemsize, packed=packed > 0),
        graphs=GRAPH_BYTES * shapes.layers * len(work.graph_sizes)
        if vllm and cuda and config.engine.cuda_graphs
        else 0,
        recorded=backward + _recorded_bytes(shapes, work, itemsize) if recorded else 0,
        context=CUDA_CONTEXT if cuda else 0,
    )


def optimizer_bytes(config: RunConfig, shapes: ModelShapes, *, device: Literal["cpu", "cuda"]) -> int:
    """AdamW's two moments, 4 bytes each or 1 in 8 bit. Those of a paged optimiser make room for what needs it."""
    lora, optim = config.lora, config.train.optim
    each = 2 if optim.endswith("_8bit") else 8
    if optim.startswith("paged") and device == "cuda":
        if lora.enabled:
            sizes = [lora.r * size for one in shapes.adapted(lora) for size in (one.rows, one.columns)]
            return each * sum(size for size in sizes if size < LEAST_PAGED)
        return each * shapes.other
    return each * (adapter_parameters(config, shapes) if lora.enabled else shapes.parameters)


def adapter_parameters(config: RunConfig, shapes: ModelShapes) -> int:
    """Numbers in A [r, in] and B [out, r] of every adapted layer."""
    return sum(config.lora.r * (one.rows + one.columns) for one in shapes.adapted(config.lora))


def _recorded_bytes(shapes: ModelShapes, work: Workload, itemsize: int) -> int:
    """The recordings themselves, and input and output of a layer with their slopes, and copies of two."""
    return shapes.layers * RECORDED_BYTES + 6 * work.training.tokens * shapes.hidden * itemsize


def _kv_bytes(config: RunConfig, shapes: ModelShapes, itemsize: int, *, vllm: bool) -> int:
    own = 1 if vllm and config.engine.kv_cache_dtype == "fp8" else itemsize
    return 2 * shapes.attention_layers * shapes.kv_heads * shapes.head_dim * own


def _workspace_bytes(config: RunConfig, shapes: ModelShapes, work: Workload, itemsize: int, *, packed: bool) -> int:
    """What one pass of the engine makes and drops.

    A decode step's logits in the model's type and in three fp32 copies (five when tokens are left out), the widest
    layer of a prefill (gate, up and their product, or q, k, v) beside the residual, and an unpacked layer.
    """
    train = config.train
    cut = bool(train.top_k or train.top_p < 1 or train.min_p)
    logits = work.sequences * shapes.vocab * (itemsize + 4 * (5 if cut else 3))
    width = 4 * shapes.hidden + max(3 * shapes.intermediate, (shapes.heads + 2 * shapes.kv_heads) * shapes.head_dim)
    prefill = work.prefill_tokens * width * itemsize
    unpacking = 2 * max((one.parameters for one in shapes.linears), default=0) * itemsize if packed else 0
    return logits + prefill + unpacking
