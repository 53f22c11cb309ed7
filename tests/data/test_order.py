"""The order of an epoch: a permutation, and the same one for the same seed. `tests/sampling` has the order of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.data import prompt_order
from lydite.data.order import _epoch


@given(n=st.integers(1, 60), seed=st.integers(0, 2**32), epoch=st.integers(0, 5), shuffle=st.booleans())
def test_an_epoch_is_a_permutation(n: int, seed: int, epoch: int, shuffle: bool) -> None:
    order = prompt_order(n, seed, epoch, shuffle)
    assert sorted(order) == list(range(n))
    _epoch.cache_clear()  # a new process remembers nothing
    assert prompt_order(n, seed, epoch, shuffle) == order


def test_epochs_and_seeds_differ_and_no_shuffle_keeps_the_order_of_the_data() -> None:
    orders = {prompt_order(50, seed, epoch) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4
    assert prompt_order(5, 7, 1, shuffle=False) == (0, 1, 2, 3, 4)


def test_the_order_of_a_seed_is_pinned() -> None:
    # A new order for an old seed would make every resumed and every repeated run a different run.
    assert prompt_order(8, 42) == (1, 3, 4, 6, 7, 0, 2, 5)


@pytest.mark.parametrize(("n", "epoch"), [(0, 1), (3, -1)])
def test_an_epoch_that_cannot_be_ordered_is_refused(n: int, epoch: int) -> None:
    with pytest.raises(ValueError, match=f"n = {n}, epoch = {epoch}"):
        prompt_order(n, 1, epoch)
