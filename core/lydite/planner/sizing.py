"""How many sequences fit: the arithmetic behind the engine's plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lydite.config import RunConfig
from lydite.planner.checkpointing import pass_bytes
from lydite.planner.memory import FreeMemory
from lydite.planner.parts import Parts, parts_of
from lydite.planner.shapes import ModelShapes
from lydite.planner.workload import Workload, kv_tokens, workload

CPU_KV_SHARE: Final = 0.25  # of a machine's memory: it is no card of one's own, and other programs live in it
_LEAST_PREFILL: Final = 2048  # tokens; fewer at once leave a GPU idle, and vLLM wants one for each sequence
_MOST_PREFILL: Final = ((40 * 2**30, 16384), (12 * 2**30, 8192), (0, 4096))  # device memory, tokens


@dataclass(frozen=True, slots=True)
class Sizing:
    """What is asked about again and again while the sizes are looked for."""

    config: RunConfig
    shapes: ModelShapes
    memory: FreeMemory

    @property
    def budget(self) -> int:
        """Bytes that the plan may give away."""
        return int(self.config.engine.memory_share * self.memory.free)

    def parts(self, sequences: int) -> Parts:
        """The run's parts with so many sequences at once."""
        work = sized_work(self.config, self.shapes, self.memory, sequences)
        return parts_of(self.config, self.shapes, work, device=self.memory.device, vllm=True)

    def kv_bytes(self, sequences: int) -> int:
        """What these sequences need at full length."""
        work = sized_work(self.config, self.shapes, self.memory, sequences)
        return kv_tokens(self.config, work, sequences) * self.parts(sequences).kv_per_token

    def standing(self, parts: Parts) -> int:
        """What is there in both phases, and is not yet."""
        loaded = 0 if self.memory.policy_loaded else parts.loaded
        return loaded + parts.lasting + parts.rounded + parts.graphs

    def least_learning(self, sequences: int) -> int:
        """What training needs beside what is loaded, with as many layers computed again as it may ask for."""
        parts = self.parts(sequences)
        if self.config.train.gradient_checkpointing != "auto":
            return parts.learning
        work = sized_work(self.config, self.shapes, self.memory, sequences)
        needs = pass_bytes(self.config, self.shapes, work, device=self.memory.device, packed=parts.packed > 0)
        return parts.gradients + min(needs)

    def rollout(self, sequences: int, *, unpack: bool) -> int:
        """Bytes while the engine samples."""
        parts = self.parts(sequences)
        kv = self.config.engine.kv_cache_bytes or self.kv_bytes(sequences)
        return self.standing(parts) + parts.workspace + kv + (parts.copy if unpack else 0)

    def fits(self, sequences: int, *, unpack: bool) -> bool:
        """True when so many sequences have room at full length."""
        needed = self.kv_bytes(sequences)
        given = self.config.engine.kv_cache_bytes
        if given is not None and needed > given:
            return False
        if given is None and self.memory.device == "cpu" and needed > CPU_KV_SHARE * self.memory.free:
            return False
        return self.rollout(sequences, unpack=unpack) <= self.budget

    def most_sequences(self, wanted: int, *, unpack: bool) -> int:
        """The most sequences, up to those wanted, that fit at full length; 0 when not one does."""
        low, high = 0, wanted
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.fits(middle, unpack=unpack) else (low, middle - 1)
        return low


def graph_sizes(sequences: int) -> tuple[int, ...]:
    """Batch sizes to record decode steps for: few, since each takes time at the start, yet never far from a batch.

    Powers of two to 64, then multiples of 64, and the largest batch itself.
    """
    sizes = [1, 2, 4, 8, 16, 32, *range(64, sequences + 1, 64)]
    return (*(size for size in sizes if size < sequences), sequences)


def prefill_tokens(config: RunConfig, memory: FreeMemory) -> int:
    """Tokens of prompts read at once: half of the step's distinct prompts, within what suits the device."""
    most = next(tokens for size, tokens in _MOST_PREFILL if memory.total >= size)
    if memory.device == "cpu":
        most = _MOST_PREFILL[-1][1]
    prompts = config.train.prompts_per_step * config.data.max_prompt_length
    power_of_two = 1 << (prompts // 2 - 1).bit_length() if prompts > 1 else 1
    return min(max(power_of_two, _LEAST_PREFILL), most)


def sized_work(config: RunConfig, shapes: ModelShapes, memory: FreeMemory, sequences: int) -> Workload:
    """The run's workload with so many sequences at once, on that device."""
    recorded = memory.device == "cuda" and config.engine.cuda_graphs
    return workload(
        config,
        shapes,
        sequences=sequences,
        prefill_tokens=prefill_tokens(config, memory),
        graph_sizes=graph_sizes(sequences) if recorded else (),
    )
