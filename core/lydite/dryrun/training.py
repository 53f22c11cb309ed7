"""One training pass of random tokens at full length, and the optimiser beside it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import torch

from lydite.config import RunConfig
from lydite.learner import Learner
from lydite.objective.micro_batches import largest_pass
from lydite.plugins import Plugins
from lydite.policy import Policy
from lydite.progress import Progress
from lydite.rollout.scripted import ScriptedEngine
from lydite.sentinels import Sentinels
from lydite.types import Completion, Generated, Parsed, Prompt, Sample, Scored, ScoredCompletion, ScoredGroup


def started_learner(config: RunConfig, policy: Policy, plugins: Plugins) -> Learner:
    """The run's learner, as it is from the second update on: its optimiser has made its state, here of nothing.

    It goes over each step once, since more of `num_iterations` take no more memory.
    """
    once = config.model_copy(
        update={
            "train": config.train.model_copy(update={"num_iterations": 1}),
            "sentinels": config.sentinels.model_copy(update={"enabled": False}),  # random tokens are worth no check
        }
    )
    learner = Learner(policy, once, Sentinels(once.sentinels, policy, ScriptedEngine(("-",))), plugins)
    _empty_gradients(learner)
    learner.optimizer.step()
    learner.optimizer.zero_grad(set_to_none=True)
    return learner


def train_once(config: RunConfig, learner: Learner, policy: Policy) -> int:
    """An update of the largest micro-batch that this run's algorithm makes, at full length; the completions in it.

    All that the algorithm runs before its first update is run too, and the gradients of the micro-batch before are
    there. What is learned of random tokens stays in the policy.

    Raises:
        torch.OutOfMemoryError: when it has no room with as many layers computed again as the run may ask for.
    """
    step = largest_micro_batch(config, learner, policy)
    _empty_gradients(learner)
    try:
        learner.learn(1, step, Progress())
    finally:
        learner.optimizer.zero_grad(set_to_none=True)
        policy.eval_mode()
    return sum(len(group.completions) for group in step.groups)


def largest_micro_batch(config: RunConfig, learner: Learner, policy: Policy) -> Scored:
    """The completions of the largest micro-batch that the algorithm makes of an update at full length, as a step."""
    update = _update(config, policy)
    material = learner.algorithm.material(update, learner.batch(update))
    spans = learner.cut(material, material.updates[0])
    if not spans:
        return update
    packed = config.train.share_prompts and policy.packs
    first, stop = max(spans, key=lambda span: largest_pass(material.batch, [span], packed=packed).tokens)
    return _only(update, frozenset(material.rows[first:stop]))


def _update(config: RunConfig, policy: Policy) -> Scored:
    """Random tokens: groups behind one prompt each, everything at full length, no two of a group worth the same."""
    train = config.train
    size, group, prompt = train.update_batch_size, train.num_generations, config.data.max_prompt_length
    draws = torch.Generator().manual_seed(config.seed)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(policy.head().weight.shape[0], (count,), generator=draws).tolist())

    # Cut off by the limit, as what has full length is, but where such a completion would be left out.
    ended: Literal["stop", "length"] = "stop" if train.mask_truncated_completions else "length"
    groups = []
    for start in range(0, size, group):
        completions = tuple(
            ScoredCompletion(
                Generated(tokens(train.max_completion_length), "", "", ended),
                Completion("", Parsed(""), finish_reason=ended, index=index),
                components={},
                reward=float(index),
                advantage=1.0 - 2.0 * (index % 2),
            )
            for index in range(min(group, size - start))
        )
        asked = Prompt(Sample(f"dry-run-{start}", ""), "", tokens(prompt))
        groups.append(ScoredGroup(asked, completions))
    return Scored(tuple(groups), {}, {})


def _only(step: Scored, places: Collection[int]) -> Scored:
    """The step with the completions at these places alone."""
    groups, start = [], 0
    for group in step.groups:
        own = tuple(one for place, one in enumerate(group.completions, start) if place in places)
        start += len(group.completions)
        if own:
            groups.append(replace(group, completions=own))
    return replace(step, groups=tuple(groups))


def _empty_gradients(learner: Learner) -> None:
    for group in learner.optimizer.param_groups:
        for one in group["params"]:
            one.grad = torch.zeros_like(one)
