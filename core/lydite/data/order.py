"""The order of an epoch, as a function of the seed and its number."""

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
