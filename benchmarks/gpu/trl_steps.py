"""The arm of TRL: whole GRPO steps on the same model, prompts and lengths as lydite's.

Where all completions are equally long, TRL samples by itself. Ragged lengths go through its `rollout_func`, with
its own vLLM and settings and a limit for each request, so that nothing is sampled only to be cut off.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.gpu.make import model_folder
from benchmarks.gpu.meter import Meter, Parts, now
from benchmarks.gpu.results import Writer
from benchmarks.gpu.shapes import LORA_ALPHA, LORA_RANK
from benchmarks.gpu.steps import LEARNING_RATE, Steps, coin_of, timed, write_gap, write_speed
from benchmarks.gpu.work import Work, work_of


def trl(given: argparse.Namespace, writer: Writer) -> None:
    """TRL's GRPOTrainer by its documentation: QLoRA in bitsandbytes, vLLM colocated, the rest as it comes."""
    parts, meter, work = Parts(), Meter(), work_of(given)
    with parts.part("import"):
        import torch
        from peft import LoraConfig
        from transformers import AutoTokenizer, BitsAndBytesConfig
        from trl import GRPOConfig, GRPOTrainer
    folder = model_folder(given.models, given.model)
    rolled: list[float] = []
    with parts.part("weights and engine"):
        trainer: Any = GRPOTrainer(
            model=str(folder),
            reward_funcs=coins,
            args=GRPOConfig(
                **asked(given, writer),
                model_init_kwargs={"dtype": "bfloat16"},
                use_vllm=True,
                vllm_mode="colocate",
                vllm_gpu_memory_utilization=given.peer_memory,
                vllm_max_model_length=given.prompt + given.new,
            ),
            train_dataset=questions(given),
            rollout_func=fixed_rollout(work, rolled) if given.ragged else None,
            processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
            quantization_config=BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
            ),
            peft_config=LoraConfig(
                r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
        )
    drive(trainer, Steps(given, meter, parts, writer), rolled if given.ragged else None)


def asked(given: argparse.Namespace, writer: Writer) -> dict[str, Any]:
    """The settings of GRPOConfig that say the work, and that nothing is written but the log of each step."""
    return {
        "output_dir": str(given.logs / f"run-{writer.arm}"),
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "max_steps": given.warm_up + given.repeats,
        "learning_rate": LEARNING_RATE,
        "per_device_train_batch_size": given.micro_batch,
        "gradient_accumulation_steps": given.sequences // given.micro_batch,
        "num_generations": given.group,
        "max_completion_length": given.new,
        "generation_kwargs": {"ignore_eos": True},
    }


def questions(given: argparse.Namespace) -> Any:
    """The prompts of all steps, as a dataset."""
    from benchmarks.gpu.plugin import letters
    from datasets import Dataset

    steps = given.warm_up + given.repeats
    prompts = letters(length=given.prompt, size=steps * given.sequences // given.group)
    return Dataset.from_list([{"prompt": one.prompt} for one in prompts])


def drive(trainer: Any, steps: Steps, generated: list[float] | None = None) -> None:
    """Runs a GRPOTrainer of TRL, or one that is made of it, and writes what its steps took.

    `generated` is filled with the seconds of each generation by who made the trainer; None: its own is timed.
    """
    from transformers import TrainerCallback

    given, writer, work = steps.given, steps.writer, work_of(steps.given)

    class Ends(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            steps.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.end()

    trainer.add_callback(Ends())
    generated = timed(trainer.vllm_generation, "generate") if generated is None else generated
    synced = timed(trainer.vllm_generation, "sync_weights")
    trainer.train()
    logs = [one for one in trainer.state.log_history if "loss" in one and "train_runtime" not in one]
    lengths = {one["completions/mean_length"] for one in logs}
    meant = work.new / len(work.lengths)
    if any(abs(one - meant) > 0.01 for one in lengths):
        raise SystemExit(f"completions had {sorted(lengths)} tokens on average, and {meant} were meant")
    steps.write(writer)
    hands_over = len(synced) == len(generated)  # Unsloth's engine reads the trained adapter itself
    generation = [one + other for one, other in zip(generated, synced, strict=True)] if hands_over else generated
    generation = generation[given.warm_up :]
    writer.figure("generation", "s", generation, weights_included=True)
    if hands_over:
        writer.figure("hand-over of weights", "s", synced[given.warm_up :])
    training = [whole - part for whole, part in zip(steps.seconds(), generation, strict=True)]
    writer.figure("training", "s", training, note="the rest of the step")
    write_speed(writer, given, work, training, shared=False)
    write_gap(writer, logs[given.warm_up :])


def coins(completions: list[str], **_: Any) -> list[float]:
    """Random rewards, decided by the texts."""
    return [coin_of(one) for one in completions]


def fixed_rollout(work: Work, seconds: list[float]) -> Any:
    """TRL's `rollout_func`: its own engine and sampling, but each completion with its own length."""

    def roll(prompts: list[str], trainer: Any) -> dict[str, Any]:
        from vllm import SamplingParams

        begun, own = now(), trainer.vllm_generation
        ids = trainer.processing_class(text=prompts)["input_ids"]
        settings = [
            SamplingParams(
                n=1, repetition_penalty=own.repetition_penalty, temperature=own.temperature, top_p=own.top_p,
                top_k=own.top_k, min_p=own.min_p or 0.0, max_tokens=length, logprobs=own.logprobs,
                **own.generation_kwargs,
            )
            for length in work.lengths
        ]  # fmt: skip
        asked = [{"prompt_token_ids": one} for one in ids]
        made = [one.outputs[0] for one in own.llm.generate(asked, settings, use_tqdm=False)]
        drawn = [
            [found[token].logprob for token, found in zip(one.token_ids, one.logprobs, strict=True)] for one in made
        ]
        seconds.append(now() - begun)
        return {"prompt_ids": ids, "completion_ids": [list(one.token_ids) for one in made], "logprobs": drawn}

    return roll
