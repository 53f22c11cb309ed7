"""The arm of Unsloth: whole GRPO steps on the same model, prompts and lengths as lydite's.

It needs an environment of its own: Unsloth 2026.10.9 takes TRL up to 1.15 and datasets up to 4, and changes both as it
is imported.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.gpu.make import model_folder
from benchmarks.gpu.meter import Meter, Parts
from benchmarks.gpu.results import Writer
from benchmarks.gpu.shapes import LINEARS, LORA_ALPHA, LORA_RANK
from benchmarks.gpu.steps import Steps
from benchmarks.gpu.trl_steps import asked, coins, drive, questions
from benchmarks.gpu.work import Work, work_of


def unsloth(given: argparse.Namespace, writer: Writer) -> None:
    """Unsloth by its documentation for GRPO: 4 bit, `fast_inference`, its own checkpointing, the rest as it comes."""
    parts, meter, work = Parts(), Meter(), work_of(given)
    with parts.part("import"):
        from unsloth import FastLanguageModel  # isort: skip - it changes what is imported after it

        from trl import GRPOConfig, GRPOTrainer
    with parts.part("weights and engine"):
        model, tokenizer = FastLanguageModel.from_pretrained(
            model_name=str(model_folder(given.models, given.model)),
            max_seq_length=given.prompt + given.new,
            load_in_4bit=True,
            fast_inference=True,
            max_lora_rank=LORA_RANK,
            gpu_memory_utilization=given.peer_memory,
        )
        model = FastLanguageModel.get_peft_model(
            model,
            r=LORA_RANK,
            lora_alpha=LORA_ALPHA,
            target_modules=[name.rpartition(".")[2] for name in LINEARS],
            use_gradient_checkpointing="unsloth",
        )
        trainer: Any = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=coins,
            args=GRPOConfig(**asked(given, writer)),
            train_dataset=questions(given),
        )
    if given.ragged:
        fix_limits(model.vllm_engine, work)
    drive(trainer, Steps(given, meter, parts, writer))


def fix_limits(engine: Any, work: Work) -> None:
    """From now on each completion of a whole step that the engine samples has its own length."""
    inner = engine.generate

    def generate(prompts: Any, sampling_params: Any, **given: Any) -> Any:
        if len(prompts) == len(work.lengths):
            limits, shared = work.lengths, sampling_params
            sampling_params = [shared.clone() for _ in limits]
            for one, limit in zip(sampling_params, limits, strict=True):
                one.max_tokens = limit
        return inner(prompts, sampling_params=sampling_params, **given)

    engine.generate = generate
