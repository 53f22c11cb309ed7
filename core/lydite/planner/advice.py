"""What to change when a run does not fit, in the order in which it costs least, each tried on the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lydite.config import RunConfig
from lydite.errors import ConfigError
from lydite.planner.memory import FreeMemory, in_units
from lydite.planner.plan import EngineName, MemoryPlan, plan_memory
from lydite.planner.shapes import ModelShapes
from lydite.planner.workload import HF_SEQUENCES

Change = Mapping[str, Any]
_LEAST_LENGTH: Final = 64  # tokens; shorter answers are another task
_LEAST_CHUNK: Final = 128  # tokens; smaller tiles make the head's products slow


@dataclass(frozen=True, slots=True)
class Advice:
    """Changes that make a run fit, or as near to it as they come."""

    changes: tuple[str, ...]
    """As `key = value`, with what each does."""
    plan: MemoryPlan
    """The run with all of them."""


def advise(config: RunConfig, shapes: ModelShapes, memory: FreeMemory, engine: EngineName) -> Advice:
    """Changes for a run that does not fit: one after another, until it does, leaving out what does not help."""
    plan = plan_memory(config, shapes, memory, engine)
    changes: list[str] = []
    for step in _STEPS:
        if plan.fits:
            break
        best: tuple[RunConfig, MemoryPlan, Change] | None = None
        for change in step(config, memory, engine):
            try:
                changed = _changed(config, change)
                tried = plan_memory(changed, shapes, memory, engine)
            except ConfigError:  # this change and the rest of the configuration exclude each other
                continue
            if _lack(tried) < _lack(plan if best is None else best[1]):
                best = changed, tried, change
            if tried.fits:
                break
        if best is not None:
            changes.append(f"{_spoken(best[2])}: {_effect(plan, best[1])}")
            config, plan = best[0], best[1]
    return Advice(tuple(changes), plan)


def _lack(plan: MemoryPlan) -> int:
    """Of both phases together: a change that helps one of them is a step on the way."""
    return sum(plan.missing_in)


def _checkpointing(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    if config.train.gradient_checkpointing is False:
        yield {"train.gradient_checkpointing": "auto"}


def _offloading(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    if memory.device == "cuda" and config.train.gradient_checkpointing is not False:
        yield {"train.activation_offloading": True}


def _micro_batch(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    """Smaller micro-batches, and as many more of them."""
    train = config.train
    if train.micro_batch_tokens is not None:
        yield from _halvings("train.micro_batch_tokens", train.micro_batch_tokens, _LEAST_LENGTH)
        return
    for size in range(train.per_device_train_batch_size - 1, 0, -1):
        more, left = divmod(train.per_device_train_batch_size, size)
        if left:
            continue
        change = {
            "train.per_device_train_batch_size": size,
            "train.gradient_accumulation_steps": train.gradient_accumulation_steps * more,
        }
        if train.steps_per_generation is not None:
            change["train.steps_per_generation"] = train.steps_per_generation * more
        yield change


def _unrecorded(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    if config.train.cuda_graphs:
        yield {"train.cuda_graphs": False}


def _quantise(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    if not config.lora.enabled:
        yield {"lora.enabled": True}
        yield {"lora.enabled": True, "model.quantization": "nf4"}
    elif config.model.quantization == "none":
        yield {"model.quantization": "nf4"}


def _small_optimizer(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    smaller = {"adamw": "adamw_8bit", "paged_adamw_32bit": "paged_adamw_8bit"}
    if config.train.optim in smaller:
        yield {"train.optim": smaller[config.train.optim]}


def _release(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    if engine == "vllm" and memory.device == "cuda" and config.engine.release_kv_cache == "never":
        yield {"engine.release_kv_cache": "auto"}


def _no_copy(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    if engine == "vllm" and config.engine.unpack_weights == "always":
        yield {"engine.unpack_weights": "auto"}


def _small_cache(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    if engine == "vllm" and config.engine.kv_cache_bytes is not None:
        yield {"engine.kv_cache_bytes": None}
    if engine == "vllm" and memory.device == "cuda" and config.engine.kv_cache_dtype == "auto":
        yield {"engine.kv_cache_dtype": "fp8"}
    if engine == "hf":
        yield from _halvings("engine.max_batch_size", config.engine.max_batch_size or HF_SEQUENCES, 1)


def _small_tile(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    return _halvings("train.logprob_chunk_size", config.train.logprob_chunk_size, _LEAST_CHUNK)


def _short_prompts(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    return _halvings("data.max_prompt_length", config.data.max_prompt_length, _LEAST_LENGTH)


def _short_completions(config: RunConfig, memory: FreeMemory, engine: EngineName) -> Iterator[Change]:
    return _halvings("train.max_completion_length", config.train.max_completion_length, _LEAST_LENGTH)


def _halvings(key: str, value: int, least: int) -> Iterator[Change]:
    """Half the value, a quarter, and so on, as long as what is halved is above the least."""
    while value > least:
        value //= 2
        yield {key: value}


# By what is lost: time, then precision, then what can be asked and answered.
_STEPS: Final[tuple[Callable[[RunConfig, FreeMemory, EngineName], Iterator[Change]], ...]] = (
    _checkpointing,
    _offloading,
    _micro_batch,
    _unrecorded,
    _quantise,
    _small_optimizer,
    _release,
    _no_copy,
    _small_tile,
    _small_cache,
    _short_prompts,
    _short_completions,
)


def _changed(config: RunConfig, change: Change) -> RunConfig:
    """The configuration with these keys replaced, checked anew."""
    content = config.model_dump()
    for key, value in change.items():
        section, _, name = key.partition(".")
        content[section] = {**content[section], name: value}
    return RunConfig.model_validate(content)


def _spoken(change: Change) -> str:
    return ", ".join(f"{key} left out" if value is None else f"{key} = {_toml(value)}" for key, value in change.items())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _effect(before: MemoryPlan, after: MemoryPlan) -> str:
    told = [
        f"{name} {in_units(was)} -> {in_units(now)}"
        for name, was, now in (
            ("rollout", before.rollout, after.rollout),
            ("training", before.training, after.training),
        )
        if now < was
    ]
    if before.problem is not None and after.problem is None:
        told.append("the engine has room")
    return ", ".join(told) or f"{in_units(before.missing - after.missing)} less"
