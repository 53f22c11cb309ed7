"""The order of prompts: every epoch a permutation, and any step reachable without the ones before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.data import indices_for_step, prompt_order
from lydite.data.order import _epoch

SIZES = st.integers(1, 60)


@given(n=SIZES, seed=st.integers(0, 2**32), epoch=st.integers(0, 5), shuffle=st.booleans())
def test_an_epoch_is_a_permutation(n: int, seed: int, epoch: int, shuffle: bool) -> None:
    assert sorted(prompt_order(n, seed, epoch, shuffle)) == list(range(n))


@given(data=st.data(), n=SIZES, seed=st.integers(0, 1000), shuffle=st.booleans())
def test_steps_laid_end_to_end_are_epochs_laid_end_to_end(
    data: st.DataObject, n: int, seed: int, shuffle: bool
) -> None:
    per_step = data.draw(st.integers(1, n))
    steps = range(1, 3 * n // per_step + 2)
    asked = [index for step in steps for index in indices_for_step(n, step, per_step, seed, shuffle)]
    for epoch in range(len(asked) // n):
        assert asked[epoch * n : (epoch + 1) * n] == list(prompt_order(n, seed, epoch, shuffle))


@given(data=st.data(), n=SIZES, seed=st.integers(0, 1000))
def test_a_run_that_goes_on_at_any_step_asks_what_the_uninterrupted_one_asks(
    data: st.DataObject, n: int, seed: int
) -> None:
    per_step = data.draw(st.integers(1, n))
    last = data.draw(st.integers(1, 20))
    cut = data.draw(st.integers(1, last))
    whole = [indices_for_step(n, step, per_step, seed, True) for step in range(1, last + 1)]
    _epoch.cache_clear()  # a new process remembers nothing
    resumed = [indices_for_step(n, step, per_step, seed, True) for step in range(cut, last + 1)]
    assert resumed == whole[cut - 1 :]


def test_epochs_and_seeds_differ_and_no_shuffle_keeps_the_order_of_the_data() -> None:
    orders = {prompt_order(50, seed, epoch) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4
    assert indices_for_step(5, 2, 3, seed=7, shuffle=False) == [3, 4, 0]


def test_the_order_of_a_seed_is_pinned() -> None:
    # A new order for an old seed would make every resumed and every repeated run a different run.
    assert prompt_order(8, 42) == (1, 3, 4, 6, 7, 0, 2, 5)


@pytest.mark.parametrize(("n", "step", "per_step"), [(5, 0, 1), (5, 1, 6), (5, 1, 0), (0, 1, 1)])
def test_what_cannot_be_ordered_is_refused(n: int, step: int, per_step: int) -> None:
    with pytest.raises(ValueError, match="got"):
        indices_for_step(n, step, per_step, seed=1, shuffle=True)


def test_an_epoch_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="n = 0"):
        prompt_order(0, 1)
