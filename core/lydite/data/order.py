"""The order in which prompts are asked, as a function of the step alone.

A run's cursor is its step number: nothing about the order has to be saved or restored.
"""

from __future__ import annotations

import random
from functools import lru_cache


@lru_cache(maxsize=4)  # a step touches one epoch or two; a permutation of a million takes half a second
def _epoch(n: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(n))
    random.Random(f"lydite order {seed} {epoch}").shuffle(order)  # noqa: S311
    return tuple(order)


def prompt_order(n: int, seed: int, epoch: int = 0, shuffle: bool = True) -> tuple[int, ...]:
    """The indices 0 to n - 1 in the order of one epoch, counted from 0; in their own order without `shuffle`.

    Raises:
        ValueError: when there is nothing to order, or the epoch is negative.
    """
    if n < 1 or epoch < 0:
        raise ValueError(f"an order needs at least one sample and an epoch from 0, got n = {n}, epoch = {epoch}")
    return _epoch(n, seed, epoch) if shuffle else tuple(range(n))


def indices_for_step(n: int, step: int, prompts_per_step: int, seed: int, shuffle: bool = True) -> list[int]:
    """The indices of the P samples that a step asks; steps count from 1.

    They are positions (step - 1) * P to step * P - 1 of the epochs' orders laid end to end, so a step may
    end one epoch and begin the next.

    Raises:
        ValueError: when the step is not positive, or there are fewer samples than a step takes.
    """
    if step < 1:
        raise ValueError(f"steps count from 1, got {step}")
    if not 1 <= prompts_per_step <= n:
        raise ValueError(f"a step takes from 1 to all {n} prompts, got {prompts_per_step}")
    first = (step - 1) * prompts_per_step
    return [prompt_order(n, seed, place // n, shuffle)[place % n] for place in range(first, first + prompts_per_step)]
