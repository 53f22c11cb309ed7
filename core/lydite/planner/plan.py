"""A run's memory as a whole: every part in both phases, whether it fits, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lydite.config import RunConfig
from lydite.planner.checkpointing import SHARE, ActivationPlan, plan_activations
from lydite.planner.engine import DoesNotFitError, engine_work, plan_engine
from lydite.planner.memory import FreeMemory
from lydite.planner.parts import Parts, parts_of
from lydite.planner.shapes import ModelShapes
from lydite.planner.workload import HF_SEQUENCES, Workload, kv_tokens, sequences_wanted, workload

EngineName = Literal["vllm", "hf", "scripted"]


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """One part, and the bytes that it takes in each phase."""

    name: str
    rollout: int
    training: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a run takes of its device's memory."""

    engine: EngineName
    memory: FreeMemory
    parts: tuple[PlannedPart, ...]
    """Those that take anything."""
    lines: tuple[str, ...]
    """What was chosen and why."""
    problem: str | None
    """Why the engine cannot be sized, or None."""
    engine_lacks: int
    """Bytes that the engine lacks to be sized at all."""
    loaded: int
    """Bytes of the policy alone."""
    context: int
    """Bytes of CUDA's own, which every process on the device has."""

    @property
    def rollout(self) -> int:
        """Bytes while completions are sampled."""
        return sum(part.rollout for part in self.parts)

    @property
    def training(self) -> int:
        """Bytes while it trains, at most."""
        return sum(part.training for part in self.parts)

    @property
    def missing(self) -> int:
        """Bytes that the larger phase takes beyond what there is; 0 when it fits."""
        return max(self.missing_in)

    @property
    def missing_in(self) -> tuple[int, int]:
        """The same for the rollout and for training."""
        free = self.memory.free
        return max(0, self.engine_lacks, self.rollout - free), max(0, self.training - free)

    @property
    def fits(self) -> bool:
        """True when both phases fit into what is free, and the engine can be sized."""
        return not self.missing


def plan_memory(config: RunConfig, shapes: ModelShapes, memory: FreeMemory, engine: EngineName) -> MemoryPlan:
    """The plan of a run before anything is loaded.

    Raises:
        ConfigError: when prompt and completion are longer than the model's context.
    """
    if engine != "vllm":
        return _without_vllm(config, shapes, memory, engine)
    problem, lacks, chosen = None, 0, None
    try:
        chosen = plan_engine(config, shapes, memory)
        work = engine_work(config, shapes, chosen)
    except DoesNotFitError as error:
        problem, lacks = str(error), error.missing
        work = workload(config, shapes, sequences=1, prefill_tokens=error.prefill_tokens, graph_sizes=())
    parts = parts_of(config, shapes, work, device=memory.device, vllm=True)
    kv = chosen.kv_cache_bytes if chosen is not None else kv_tokens(config, work, 1) * parts.kv_per_token
    copy = parts.copy if chosen is not None and chosen.unpack_weights else 0
    released = chosen is None or chosen.release_kv_cache
    beside = (kv + copy if not released else 0) + parts.rounded + parts.graphs
    layers = _activations(config, shapes, work, memory, parts, beside)
    parts = parts_of(config, shapes, work, device=memory.device, vllm=True, recomputed=layers.recomputed)
    return MemoryPlan(
        engine="vllm",
        memory=memory,
        parts=_shown(parts, kv=kv, copy=copy, stays=not released, rounded_stays=True),
        lines=(*(chosen.lines if chosen is not None else ()), layers.line, _lengths_line(config, work)),
        problem=problem,
        engine_lacks=lacks,
        loaded=parts.weights + parts.adapter,
        context=parts.context,
    )


def _without_vllm(config: RunConfig, shapes: ModelShapes, memory: FreeMemory, engine: EngineName) -> MemoryPlan:
    """The engine hf decodes in the trainer's own model and keeps nothing; the scripted one needs nothing at all."""
    sequences = min(config.engine.max_batch_size or HF_SEQUENCES, sequences_wanted(config))
    if engine == "scripted":
        sequences = 0
    work = _hf_work(config, shapes, sequences)
    parts = parts_of(config, shapes, work, device=memory.device, vllm=False)
    layers = _activations(config, shapes, work, memory, parts, 0)
    parts = parts_of(config, shapes, work, device=memory.device, vllm=False, recomputed=layers.recomputed)
    cache = sequences * (work.prompt + work.completion) * parts.kv_per_token
    # Each layer in turn has its keys and values once for every head, and lays out a batch that shrinks anew.
    repeated = cache * shapes.heads // max(1, shapes.kv_heads * shapes.attention_layers)
    copy = parts.copy if parts.copy < (memory.free - parts.loaded) // 2 else 0  # the rule of `policy.nf4`
    line = (
        f"{sequences} sequences are decoded at once, of up to {work.prompt + work.completion} tokens; "
        "the engine hf keeps nothing between rollouts"
    )
    return MemoryPlan(
        engine=engine,
        memory=memory,
        parts=_shown(parts, kv=cache + repeated, copy=copy if sequences else 0, stays=False, rounded_stays=False),
        lines=(*((line,) if sequences else ()), layers.line, _lengths_line(config, work)),
        problem=None,
        engine_lacks=0,
        loaded=parts.weights + parts.adapter,
        context=parts.context,
    )


def _activations(
    config: RunConfig, shapes: ModelShapes, work: Workload, memory: FreeMemory, parts: Parts, beside: int
) -> ActivationPlan:
    """What the layers keep where, apart from the pass itself, training has all its parts and the engine `beside`."""
    others = parts.loaded + parts.lasting + parts.gradients + beside
    room = SHARE[memory.device] * memory.free - others
    return plan_activations(config, shapes, work, room, device=memory.device, packed=parts.packed > 0)


def _lengths_line(config: RunConfig, work: Workload) -> str:
    largest = f"{work.training.tokens} tokens in one training pass"
    return (
        f"every prompt is taken to have {config.data.max_prompt_length} tokens (data.max_prompt_length) and every "
        f"completion {config.train.max_completion_length}: {largest}; shorter ones take less"
    )


def _hf_work(config: RunConfig, shapes: ModelShapes, sequences: int) -> Workload:
    """Prompts are read all at once: those of the groups that are decoded together, or of the evaluation."""
    first = workload(config, shapes, sequences=sequences, prefill_tokens=0, graph_sizes=())
    groups = -(-sequences // config.train.num_generations)
    prompts = groups if config.eval is None else max(groups, min(sequences, config.eval.n))
    return workload(config, shapes, sequences=sequences, prefill_tokens=prompts * first.prompt, graph_sizes=())


def _shown(parts: Parts, *, kv: int, copy: int, stays: bool, rounded_stays: bool) -> tuple[PlannedPart, ...]:
    """Every part that takes anything; `stays`: KV cache and copy are there while it trains."""
    tile = parts.head_tile >= parts.backward
    everything = (
        PlannedPart("CUDA context and libraries", parts.context, parts.context),
        PlannedPart("4-bit weights", parts.packed, parts.packed),
        PlannedPart("other linear weights", parts.unpacked, parts.unpacked),
        PlannedPart("embeddings, head, norms", parts.embeddings, parts.embeddings),
        PlannedPart("adapter", parts.adapter, parts.adapter),
        PlannedPart("value head", parts.value_head, parts.value_head),
        PlannedPart("optimiser", parts.optimizer, parts.optimizer),
        PlannedPart("reference weights", parts.reference, parts.reference),
        PlannedPart("rounded for sampling", parts.rounded, parts.rounded if rounded_stays else 0),
        PlannedPart("16-bit copy of the 4-bit weights", copy, copy if stays else 0),
        PlannedPart("KV cache", kv, kv if stays else 0),
        PlannedPart("logits and prefill", parts.workspace, 0),
        PlannedPart("recorded decode steps", parts.graphs, parts.graphs),
        PlannedPart("recorded layers of training", parts.recorded, parts.recorded),
        PlannedPart("gradients", 0, parts.gradients),
        PlannedPart("activations", 0, parts.activations),
        PlannedPart(
            "logits of a chunk" if tile else "backward pass of a layer", 0, max(parts.head_tile, parts.backward)
        ),
    )
    return tuple(one for one in everything if one.rollout or one.training)
