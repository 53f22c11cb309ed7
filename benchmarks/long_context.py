"""The longest context that one GRPO update fits, found by bisection: lydite's trainer, and TRL's beside it.

    python -m benchmarks.long_context --model l8 --json benchmarks/results/step-h100.jsonl

The trainer alone, without an engine beside it: QLoRA, groups of 4 completions whose prompt and answer together have
so many tokens, one of them a pass. A trial is the forward and backward pass of one of them, beside the gradients and
the optimiser's state that are there from the second on: memory is at its height then, and the others take no more.
The context that is found is gone through with all 4 and the optimiser's step. lydite packs, computes every layer
again and keeps their inputs in the host's memory; TRL checkpoints, as it does by its defaults.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from typing import Any, Final

from benchmarks.gpu.arms import Arm, add_arguments, run
from benchmarks.gpu.ballast import card_of, take_no_more_than
from benchmarks.gpu.make import model_folder
from benchmarks.gpu.meter import Meter, now
from benchmarks.gpu.results import Writer
from benchmarks.gpu.rollouts import make
from benchmarks.gpu.shapes import LORA_ALPHA, LORA_RANK, SHAPES

GROUP: Final = 4
PROMPT: Final = 512
Pass = Callable[[int], None]
"""The forward and backward pass of one completion, so many tokens with its prompt."""


def lydite(given: argparse.Namespace, writer: Writer) -> None:
    """The trainer of lydite."""
    import torch
    from benchmarks.gpu import ours

    from lydite.config import TrainConfig
    from lydite.objective import Batch, micro_batch_loss, update_totals
    from lydite.optimizer import make_optimizer
    from lydite.policy.activations import Activations
    from lydite.policy.offload import Offload

    policy = ours.load(model_folder(given.models, given.model), "nf4")
    activations = Activations(policy, offload=Offload(policy.device))
    activations.recompute(activations.layers)
    train = TrainConfig(num_generations=GROUP, per_device_train_batch_size=1, gradient_accumulation_steps=GROUP)
    optimizer = make_optimizer(policy.trainable().values(), train)
    policy.train_mode()

    def passed(context: int) -> None:
        prompt = min(given.prompt, context // 2)
        ids = torch.randint(given.vocabulary, (1, context), device=policy.device)
        batch = Batch(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            position_ids=torch.arange(context, device=policy.device)[None],
            completion_ids=ids[:, prompt:],
            completion_mask=torch.ones(1, context - prompt, dtype=torch.bool, device=policy.device),
            advantages=torch.ones(1, device=policy.device),
            sampler_logps=None,
        )
        totals = update_totals(batch, 0, 1, max_completion_length=context)
        output, _ = micro_batch_loss(policy, batch, totals, train)
        output.loss.backward()

    _search(given, writer, passed, list(policy.trainable().values()), optimizer)


def trl(given: argparse.Namespace, writer: Writer) -> None:
    """TRL's GRPOTrainer: its loss, by its defaults, on completions that are given to it."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, BitsAndBytesConfig
    from trl import GRPOConfig, GRPOTrainer

    folder = model_folder(given.models, given.model)
    trainer: Any = GRPOTrainer(
        model=str(folder),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            output_dir=str(given.logs / f"run-{writer.arm}"),
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            per_device_train_batch_size=1,
            gradient_accumulation_steps=GROUP,
            num_generations=GROUP,
            model_init_kwargs={"dtype": "bfloat16"},
        ),
        train_dataset=Dataset.from_list([{"prompt": "a"}] * GROUP),
        processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
        ),
        peft_config=LoraConfig(r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    # What its `train` does before the first step.
    trainer.model.gradient_checkpointing_enable(getattr(trainer.args, "gradient_checkpointing_kwargs", None))
    trainer.current_gradient_accumulation_steps = GROUP
    trainer.create_optimizer()
    trainer.model.train()
    device = trainer.accelerator.device

    def passed(context: int) -> None:
        prompt = min(given.prompt, context // 2)
        ids = torch.randint(given.vocabulary, (1, context), device=device)
        mask = torch.ones_like(ids)
        inputs = {
            "prompt_ids": ids[:, :prompt],
            "prompt_mask": mask[:, :prompt],
            "completion_ids": ids[:, prompt:],
            "completion_mask": mask[:, prompt:],
            "advantages": torch.ones(1, device=device),
            "num_items_in_batch": torch.tensor(float(GROUP * (context - prompt)), device=device),
        }
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(trainer.model, inputs)
        trainer.accelerator.backward(loss)

    trained = [one for one in trainer.model.parameters() if one.requires_grad]
    _search(given, writer, passed, trained, trainer.optimizer)


def on_card(arm: Callable[[argparse.Namespace, Writer], None]) -> Callable[[argparse.Namespace, Writer], None]:
    """The arm on a card of `--card` GiB: another process holds the rest, and torch may not take more either."""

    def limited(given: argparse.Namespace, writer: Writer) -> None:
        import torch

        gib = given.card if torch.cuda.is_available() else None
        if gib is not None:
            take_no_more_than(gib)
        with card_of(gib):
            arm(given, writer)

    return limited


def _search(given: argparse.Namespace, writer: Writer, passed: Pass, trained: list[Any], optimizer: Any) -> None:
    """Doubles from `--low` to `--high`, then halves the gap; writes what is known after each trial that fits."""
    import torch

    for one in trained:  # gradients and optimiser state are there, as from the second update on
        one.grad = torch.zeros_like(one)
    optimizer.step()
    meter, fits, too_long = Meter(), 0, given.high + given.step
    while too_long - fits > given.step:
        context = max(given.low, 2 * fits) if too_long > given.high else (fits + too_long) // 2
        context = min(given.high, context // given.step * given.step)
        meter.reset()
        seconds = _tried(given, passed, context)
        if seconds is None:
            print(f"  {context:,} tokens do not fit", file=writer.terminal, flush=True)
            too_long = context
            if context <= given.step:
                break
            continue
        fits = context
        writer.figure("longest context so far, 4 completions of a prompt", "tokens", [context], pass_seconds=seconds,
                      peak=meter.peaks())  # fmt: skip
        if context == given.high:
            break
    if not fits:
        raise SystemExit("no context fits")
    meter.reset()
    while (each := [_tried(given, passed, fits) for _ in range(given.passes)]) and None in each and fits > given.step:
        fits -= given.step  # memory is in more pieces by the fourth
    optimizer.step()
    writer.figure("longest context, 4 completions of a prompt", "tokens", [fits], at_least=fits == given.high,
                  peak=meter.peaks())  # fmt: skip
    if each:
        writer.figure("passes of an update at the longest context", "s", [sum(one or 0.0 for one in each)])


def _tried(given: argparse.Namespace, passed: Pass, context: int) -> float | None:
    """Seconds of a pass, or None when there is no memory for it."""
    import torch

    begun = now()
    try:
        if given.pretend and context > given.pretend:
            raise torch.OutOfMemoryError("a card that is pretended")
        passed(context)
        return now() - begun
    except torch.OutOfMemoryError:
        return None
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            # Blocks for another length are of no use to the next, and all of them together fill the host.
            forget = getattr(torch.accelerator, "empty_host_cache", None) or torch._C._host_emptyCache
            forget()


WHOLE = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
"""Contexts of every length leave holes in memory that a real run, with one length, would not have."""
ARMS = {
    "make": Arm(make, ours=True, seconds=180),
    "lydite": Arm(on_card(lydite), True, 580, WHOLE),
    "trl": Arm(on_card(trl), False, 580, WHOLE),
}


def main() -> None:
    """Runs the arms that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="l8")
    parser.add_argument("--prompt", type=int, default=PROMPT, help="tokens of a prompt")
    parser.add_argument("--low", type=int, default=32768, help="tokens of the first trial")
    parser.add_argument("--high", type=int, default=262144, help="tokens of the last; none is longer")
    parser.add_argument("--step", type=int, default=4096, help="tokens to which it is exact")
    parser.add_argument("--card", type=float, help="GiB of the card; left out, all of the GPU")
    parser.add_argument(
        "--passes", type=int, default=GROUP, help="of the update at what was found; 0: the trial's alone"
    )
    parser.add_argument("--pretend", type=int, help="tokens above which a trial fails, to try the search")
    add_arguments(parser, ARMS, ",".join(ARMS))
    given = parser.parse_args()
    if given.tiny:
        given.model, given.prompt, given.low, given.high, given.step, given.pretend = "tiny", 8, 32, 256, 16, 100
    given.vocabulary = SHAPES[given.model].end_token
    card = f", a card of {given.card:g} GiB" if given.card else ""
    case = f"longest context, QLoRA, {SHAPES[given.model].like} shapes, groups of {GROUP}, trainer only{card}"
    config = {
        "model": given.model,
        "group": GROUP,
        "prompt": given.prompt,
        "card": given.card,
        "lora": "r=16 on all linear layers",
    }
    run(given, ARMS, case, config)


if __name__ == "__main__":
    main()
