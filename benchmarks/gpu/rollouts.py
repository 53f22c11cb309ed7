"""Arms that generate: lydite's engine, vLLM as it comes, and transformers."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from benchmarks.gpu.make import adapter_tensors, make_model, model_folder
from benchmarks.gpu.meter import Meter, Parts, now
from benchmarks.gpu.results import Writer
from benchmarks.gpu.shapes import SHAPES, Shape

GROUP: Final = 8
"""Completions of one prompt, as GRPO samples them."""
TOKENS_PER_SECOND: Final = "new tokens per second"


def make(given: argparse.Namespace, writer: Writer) -> None:
    """The random model, for all the other arms."""
    begun = now()
    if make_model(SHAPES[given.model], model_folder(given.models, given.model), device=_device()):
        replace(writer, path=None).figure("random model made", "s", [now() - begun])


def lydite(given: argparse.Namespace, writer: Writer, *, unpack: str, scheduler_steps: int = 1) -> None:
    """The engine of lydite on a 4-bit base with an adapter; the weights kept packed, or unpacked while it generates."""
    from benchmarks.gpu.handover import time_ours

    parts, meter = Parts(), Meter()
    policy, engine = start_lydite(given, parts, unpack=unpack, scheduler_steps=scheduler_steps)
    from lydite.rollout import Sampling

    sampling = Sampling(GROUP, given.new)

    def once(seed: int) -> tuple[int, float]:
        prompts = lydite_prompts(given, seed)
        engine.take_adapter(policy)  # as after each update: what is cached counts no more
        begun = now()
        rollouts = engine.generate(prompts, sampling, seed)
        made = sum(len(one.token_ids) for rollout in rollouts for one in rollout.completions)
        return _checked(made, given), now() - begun

    _measure(given, writer, parts, meter, once)
    time_ours(engine, policy, writer)
    engine.close()


def start_lydite(given: argparse.Namespace, parts: Parts, *, unpack: str, scheduler_steps: int = 1) -> tuple[Any, Any]:
    """The policy and the engine."""
    from benchmarks.gpu import ours

    folder = model_folder(given.models, given.model)
    with parts.part("import"):
        import transformers  # noqa: F401 - the import is what is timed

        from lydite.config import RunConfig
        from lydite.rollout import make_engine
    with parts.part("weights"):
        policy = ours.load(folder, "nf4")
    with parts.part("engine"):
        own = {"unpack_weights": unpack, "num_scheduler_steps": scheduler_steps}
        settings = {"use": given.engine} | (own if given.engine == "vllm" else {})
        config = ours.run_config(
            folder, output=given.logs, prompt=given.prompt, new=given.new, sequences=given.sequences,
            micro_batch=GROUP, steps=1, quantization="nf4", engine=settings,
        )  # fmt: skip
        engine = make_engine(RunConfig.model_validate(config), policy)
    for name, seconds in getattr(engine, "start_seconds", {}).items():
        parts.seconds[f"engine: {name}"] = seconds
    return policy, engine


def lydite_prompts(given: argparse.Namespace, seed: int) -> list[Any]:
    """The prompts of one repeat, as the engine takes them."""
    from lydite.types import Prompt, Sample

    return [Prompt(Sample(f"{seed}-{place}", ""), "", tuple(ids)) for place, ids in enumerate(prompt_ids(given, seed))]


def stock_vllm(
    given: argparse.Namespace, writer: Writer, *, lora: bool = False, quantization: str | None = None
) -> None:
    """Plain vLLM by its documentation, with its own defaults; the log-probabilities that GRPO needs are asked for."""
    from benchmarks.gpu.handover import time_stock

    parts, meter = Parts(), Meter()
    folder = model_folder(given.models, given.model)
    with parts.part("import"):
        from vllm import LLM, SamplingParams
        from vllm.lora.request import LoRARequest
    with parts.part("engine"):
        llm = LLM(
            model=str(folder),
            dtype="bfloat16",
            max_model_len=given.prompt + given.new,
            **({"enable_lora": True, "max_lora_rank": 16} if lora else {}),
            **({"quantization": quantization, "load_format": quantization} if quantization else {}),
            **({"enforce_eager": True} if given.tiny else {}),
        )
    adapter = LoRARequest("adapter", 1, str(folder / "adapter")) if lora else None

    def once(seed: int, logprobs: int | None = 0) -> tuple[int, float]:
        params = SamplingParams(
            n=GROUP, temperature=1.0, max_tokens=given.new, ignore_eos=True, logprobs=logprobs, seed=None
        )
        asked = [{"prompt_token_ids": ids} for ids in prompt_ids(given, seed)]
        begun = now()
        outputs = llm.generate(asked, params, lora_request=adapter, use_tqdm=False)
        made = sum(len(one.token_ids) for output in outputs for one in output.outputs)
        return _checked(made, given), now() - begun

    _measure(given, writer, parts, meter, once)
    rates = [_rate(once(100 + repeat, None)) for repeat in range(given.repeats)]
    writer.figure(TOKENS_PER_SECOND, "tokens/s", rates, peer_name=f"{writer.arm}, without log-probs")
    if lora:
        tensors = adapter_tensors(SHAPES[given.model], device=_device(), seed=1)
        time_stock(llm, tensors, given.models / f"{given.model}-handed-over", writer)


def transformers_generate(given: argparse.Namespace, writer: Writer) -> None:
    """`generate` of transformers in bf16, without an adapter, as many sequences at once as `--hf-sequences`."""
    parts, meter = Parts(), Meter()
    with parts.part("import"):
        import torch
        from transformers import AutoModelForCausalLM
    with parts.part("weights"):
        folder = model_folder(given.models, given.model)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(_device()).eval()

    def once(seed: int) -> tuple[int, float]:
        ids = prompt_ids(given, seed)[: max(1, given.hf_sequences // GROUP)]
        inputs = torch.tensor(ids, device=model.device).repeat_interleave(GROUP, 0)
        torch.manual_seed(seed)
        begun = now()
        made = model.generate(
            input_ids=inputs, attention_mask=torch.ones_like(inputs), do_sample=True, temperature=1.0, top_k=0,
            top_p=1.0, max_new_tokens=given.new, min_new_tokens=given.new,
        )  # fmt: skip
        return int(made[:, given.prompt :].numel()), now() - begun

    _measure(given, writer, parts, meter, once, sequences=given.hf_sequences)


def prompt_ids(given: argparse.Namespace, seed: int) -> list[list[int]]:
    """Random prompts, others for each seed, so that nothing of a repeat is in a prefix cache."""
    shape: Shape = SHAPES[given.model]
    drawn = random.Random(seed)
    return [[drawn.randrange(shape.end_token) for _ in range(given.prompt)] for _ in range(given.sequences // GROUP)]


def _measure(
    given: argparse.Namespace,
    writer: Writer,
    parts: Parts,
    meter: Meter,
    once: Callable[[int], tuple[int, float]],
    **details: Any,
) -> None:
    """Warms up, repeats, and writes speed, start and memory."""
    started = meter.peaks()
    with parts.part("warm-up"):
        once(0)
    parts.read_log()
    writer.figure("start", "s", [sum(_outer(parts.seconds))], parts=_rounded(parts.seconds))
    meter.reset()
    rates = [_rate(once(1 + repeat)) for repeat in range(given.repeats)]
    writer.figure(TOKENS_PER_SECOND, "tokens/s", rates, **details)
    for when, peaks in (("generating", meter.peaks()), ("starting", started)):
        for name, gib in peaks.items():
            writer.figure(f"peak memory while {when}, {name}", "GiB", [gib], idle=meter.idle.get("device"))


def _outer(seconds: dict[str, float]) -> list[float]:
    """Of the parts, those that are no part of another."""
    return [value for name, value in seconds.items() if ":" not in name]


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}


def _rate(done: tuple[int, float]) -> float:
    made, seconds = done
    return made / seconds


def _checked(made: int, given: argparse.Namespace) -> int:
    wanted = given.sequences * given.new
    if made != wanted:
        raise SystemExit(f"{made} tokens were made of {wanted}: some completion ended early")
    return made


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
