"""How vLLM is sized: from what the run asks for, what the model weighs and what the device has free."""

from __future__ import annotations

from dataclasses import dataclass

from lydite.config import RunConfig
from lydite.errors import ConfigError
from lydite.planner.memory import FreeMemory, in_units
from lydite.planner.parts import Parts
from lydite.planner.shapes import ModelShapes
from lydite.planner.sizing import CPU_KV_SHARE, Sizing, prefill_tokens, sized_work
from lydite.planner.workload import MOST_SEQUENCES, Workload, sequences_wanted, workload


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """How vLLM is sized."""

    kv_cache_bytes: int
    max_num_seqs: int
    """Sequences that are decoded at once."""
    max_num_batched_tokens: int
    """Tokens of prompts that are read at once."""
    max_model_len: int
    """Tokens of prompt and completion."""
    cuda_graph_sizes: tuple[int, ...]
    """Numbers of sequences that a recorded decode step is kept for; none on a CPU."""
    unpack_weights: bool
    """True: 4-bit weights get a 16-bit copy while the engine samples."""
    release_kv_cache: bool
    """True: KV cache and copy are given to training between rollouts."""
    lines: tuple[str, ...]
    """What was chosen and why, a sentence each."""


class DoesNotFitError(ConfigError):
    """Not one sequence of full length fits."""

    def __init__(self, message: str, *, missing: int, prefill_tokens: int) -> None:
        super().__init__(message)
        self.missing = missing
        """Bytes."""
        self.prefill_tokens = prefill_tokens
        """What the engine would have read at once."""


def plan_engine(config: RunConfig, shapes: ModelShapes, memory: FreeMemory) -> EnginePlan:
    """The sizes that vLLM is started with.

    Where `memory.policy_loaded` is false, what the policy will take is kept out of what may be given away.

    Raises:
        ConfigError: when prompt and completion are longer than the model's context.
        DoesNotFitError: when not one sequence of full length fits; a ConfigError too.
    """
    wanted = min(config.engine.max_batch_size or sequences_wanted(config), MOST_SEQUENCES)
    asked = sized_work(config, shapes, memory, wanted)
    _check_context(config, shapes, asked)
    sizing = Sizing(config, shapes, memory)
    unpack, sequences = _unpack_and_sequences(sizing, wanted)
    if not sequences:
        raise _does_not_fit(sizing, unpack=unpack)
    work = sized_work(config, shapes, memory, sequences)
    parts = sizing.parts(sequences)
    kv_bytes = config.engine.kv_cache_bytes or sizing.kv_bytes(sequences)
    held = kv_bytes + (parts.copy if unpack else 0)
    release, why_release = _release(sizing, parts, held, sequences)
    return EnginePlan(
        kv_cache_bytes=kv_bytes,
        max_num_seqs=sequences,
        max_num_batched_tokens=work.prefill_tokens,
        max_model_len=work.longest,
        cuda_graph_sizes=work.graph_sizes,
        unpack_weights=unpack,
        release_kv_cache=release,
        lines=(
            _memory_line(sizing),
            _sequences_line(config, work, wanted, kv_bytes, parts),
            *([_unpack_line(config, parts, unpack=unpack)] if parts.packed else []),
            why_release,
        ),
    )


def engine_work(config: RunConfig, shapes: ModelShapes, plan: EnginePlan) -> Workload:
    """The workload of a run whose engine is sized by this plan."""
    return workload(
        config,
        shapes,
        sequences=plan.max_num_seqs,
        prefill_tokens=plan.max_num_batched_tokens,
        graph_sizes=plan.cuda_graph_sizes,
    )


def _unpack_and_sequences(sizing: Sizing, wanted: int) -> tuple[bool, int]:
    choice = sizing.config.engine.unpack_weights
    if sizing.parts(1).packed and choice != "never":
        with_copy, without = (sizing.most_sequences(wanted, unpack=unpack) for unpack in (True, False))
        # Unpacking moves 4.5 bytes a weight in every decode step, a copy 2: worth up to half of the sequences.
        if choice == "always" or (with_copy and 2 * with_copy >= without):
            return True, with_copy
        return False, without
    return False, sizing.most_sequences(wanted, unpack=False)


def _release(sizing: Sizing, parts: Parts, held: int, sequences: int) -> tuple[bool, str]:
    choice = sizing.config.engine.release_kv_cache
    if sizing.memory.device == "cpu":
        return False, "the KV cache stays while it trains: vLLM gives no memory back on a CPU"
    beside = sizing.standing(parts) + parts.learning
    together = beside + held
    spoken = f"training takes up to {in_units(parts.learning)} beside it"
    if choice == "never":
        return False, f"engine.release_kv_cache = 'never': the KV cache stays while it trains, and {spoken}"
    if choice == "always":
        return True, f"engine.release_kv_cache = 'always': the KV cache is given back while it trains; {spoken}"
    if together <= sizing.budget:
        return False, f"the KV cache stays while it trains: {spoken}, {in_units(together)} in all, which fits"
    line = f"the KV cache is given back while it trains: {spoken}, {in_units(together)} in all, which does not fit"
    least = sizing.standing(parts) + sizing.least_learning(sequences)
    if least > sizing.budget:
        line += (
            f"; without it {in_units(least)} of {in_units(sizing.budget)} are needed at the longest, so that training "
            "may run out of memory: see `lydite plan`"
        )
    return True, line


def _check_context(config: RunConfig, shapes: ModelShapes, work: Workload) -> None:
    if work.prompt + work.completion <= shapes.context_length:
        return
    evaluation = config.eval
    prompt_key, completion_key = "data.max_prompt_length", "train.max_completion_length"
    if evaluation is not None and work.prompt > config.data.max_prompt_length:
        prompt_key = "eval.data.max_prompt_length"
    if evaluation is not None and work.completion > config.train.max_completion_length:
        completion_key = "eval.max_completion_length"
    room = shapes.context_length - work.completion
    advice = f"lower {prompt_key} to at most {room}" if room > 0 else f"lower {completion_key}"
    raise ConfigError(
        f"{prompt_key} = {work.prompt} and {completion_key} = {work.completion} make {work.prompt + work.completion} "
        f"tokens, and the model's context has {shapes.context_length}; {advice}"
    )


def _does_not_fit(sizing: Sizing, *, unpack: bool) -> DoesNotFitError:
    config, memory = sizing.config, sizing.memory
    kv, given = sizing.kv_bytes(1), config.engine.kv_cache_bytes
    shorter = "lower train.max_completion_length or data.max_prompt_length"
    prefill = prefill_tokens(config, memory)
    if given is not None and kv > given:
        missing = kv - given
        message = f"engine.kv_cache_bytes = {given} holds no sequence of full length, which takes {kv} bytes: "
        advice = ["raise it", shorter]
    elif given is None and memory.device == "cpu" and kv > CPU_KV_SHARE * memory.free:
        missing = kv - int(CPU_KV_SHARE * memory.free)
        message = (
            f"one sequence of full length takes {in_units(kv)} of KV cache, more than a quarter of the "
            f"{in_units(memory.free)} that are free: "
        )
        advice = [shorter, "set engine.kv_cache_bytes"]
    else:
        missing = sizing.rollout(1, unpack=unpack) - sizing.budget
        wanted = "one sequence of full length" if given is None else f"engine.kv_cache_bytes = {given}"
        message = (
            f"there is no room for {wanted} in the {in_units(sizing.budget)} that may be given away "
            f"({config.engine.memory_share:g} of {in_units(memory.free)} free): "
        )
        advice = [shorter]
        if unpack and config.engine.unpack_weights == "always":
            advice.insert(0, "set engine.unpack_weights = 'auto'")
        if config.model.quantization == "none" and config.lora.enabled:
            advice.insert(0, "set model.quantization = 'nf4'")
        if memory.device == "cuda" and config.engine.kv_cache_dtype == "auto":
            advice.append("set engine.kv_cache_dtype = 'fp8'")
        advice.append("raise engine.memory_share" if config.engine.memory_share < 0.95 else "take a smaller model")
    message += f"{missing} bytes ({in_units(missing)}) are missing; {', or '.join(advice)}"
    return DoesNotFitError(message, missing=missing, prefill_tokens=prefill)


def _memory_line(sizing: Sizing) -> str:
    memory = sizing.memory
    when = "beside the policy" if memory.policy_loaded else "before anything is loaded"
    return (
        f"{in_units(memory.free)} of {in_units(memory.total)} are free {when}; the plan may give away "
        f"{sizing.config.engine.memory_share:.0%}, {in_units(sizing.budget)}"
    )


def _sequences_line(config: RunConfig, work: Workload, wanted: int, kv_bytes: int, parts: Parts) -> str:
    tokens = kv_bytes // parts.kv_per_token if parts.kv_per_token else 0
    kind = " in fp8" if config.engine.kv_cache_dtype == "fp8" else ""
    line = (
        f"{work.sequences} sequences are decoded at once, of up to {work.longest} tokens: a KV cache of "
        f"{in_units(kv_bytes)}{kind} for {tokens} tokens ({in_units(parts.kv_per_token)} each)"
    )
    if work.sequences < wanted:
        line += f"; {wanted} were wanted, and no more fit at full length"
    return line


def _unpack_line(config: RunConfig, parts: Parts, *, unpack: bool) -> str:
    size, choice = in_units(parts.copy), config.engine.unpack_weights
    if choice != "auto":
        given = "with" if unpack else "without"
        return f"engine.unpack_weights = {choice!r}: it samples {given} a 16-bit copy of the 4-bit weights ({size})"
    if unpack:
        return f"it samples with a 16-bit copy of the 4-bit weights, {size}, which fits beside the KV cache"
    return f"it samples from the 4-bit weights: a 16-bit copy, {size}, does not fit beside the KV cache"
