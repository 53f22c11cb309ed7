"""One training pass of random tokens at full length, and the optimiser beside it."""

from __future__ import annotations

import torch

from lydite.config import RunConfig
from lydite.dryrun.memory import tidy
from lydite.objective import Batch, micro_batch_loss, update_totals
from lydite.objective.micro_batches import largest_pass, micro_batches
from lydite.optimizer import make_optimizer
from lydite.planner.adaptive import AdaptiveActivations
from lydite.policy import Policy


def started_optimizer(config: RunConfig, policy: Policy) -> torch.optim.Optimizer:
    """The run's optimiser with its state, which it makes in its first step: here of nothing."""
    trained = list(policy.trainable().values())
    optimizer = make_optimizer(trained, config.train)
    for one in trained:
        one.grad = torch.zeros_like(one)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return optimizer


def train_once(
    config: RunConfig, policy: Policy, optimizer: torch.optim.Optimizer, activations: AdaptiveActivations
) -> int:
    """A forward and a backward pass, beside the gradients of the micro-batch before; the completions in it.

    Raises:
        torch.OutOfMemoryError: when it has no room with as many layers computed again as the run may ask for.
    """
    batch = longest_micro_batch(config, policy)
    packed = config.train.share_prompts and policy.packs
    activations.before_update(largest_pass(batch, [(0, batch.size)], packed=packed))
    try:
        _pass(config, policy, batch)
    except torch.OutOfMemoryError:
        if not activations.recompute_all():
            raise
        retry = True
    else:
        retry = False
    if retry:  # outside of the handler, whose traceback holds what the pass had made
        tidy(policy.device)
        _pass(config, policy, batch)
    optimizer.zero_grad(set_to_none=True)
    return batch.size


def _pass(config: RunConfig, policy: Policy, batch: Batch) -> None:
    for one in policy.trainable().values():
        one.grad = torch.zeros_like(one)
    policy.train_mode()
    totals = update_totals(batch, 0, batch.size, max_completion_length=config.train.max_completion_length)
    output, _ = micro_batch_loss(policy, batch, totals, config.train)
    output.loss.backward()
    policy.eval_mode()


def longest_micro_batch(config: RunConfig, policy: Policy) -> Batch:
    """Random tokens: groups behind one prompt each, everything at full length; as much of an update as goes at once."""
    train = config.train
    prompt, length = config.data.max_prompt_length, train.max_completion_length
    size = train.per_device_train_batch_size
    if train.micro_batch_tokens is not None:
        size *= train.gradient_accumulation_steps
    draws = torch.Generator().manual_seed(config.seed)
    ids = torch.randint(policy.head().weight.shape[0], (size, prompt + length), generator=draws)
    for start in range(0, size, train.num_generations):
        ids[start : start + train.num_generations, :prompt] = ids[start, :prompt]
    ids = ids.to(policy.device)
    batch = Batch(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        position_ids=torch.arange(prompt + length, device=policy.device).repeat(size, 1),
        completion_ids=ids[:, prompt:],
        completion_mask=torch.ones(size, length, dtype=torch.bool, device=policy.device),
        advantages=torch.linspace(-1.0, 1.0, size, device=policy.device),
        sampler_logps=None,
    )
    spans = micro_batches(
        batch,
        0,
        size,
        rows=train.per_device_train_batch_size,
        tokens=train.micro_batch_tokens,
        packed=train.share_prompts and policy.packs,
    )
    return batch.rows(*spans[0])
