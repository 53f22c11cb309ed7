"""Which completions make pairs, and their losses beside the lines of TRL that they are to equal."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lydite.objective.pairs import margins, pair_losses, ranked_pairs

rewards = st.lists(st.none() | st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=2, max_size=9)


@given(rewards, st.sampled_from(["best_worst", "ranked"]))
def test_the_chosen_is_worth_more_and_nobody_is_in_two_pairs(given_: list[float | None], pairing: str) -> None:
    pairs = ranked_pairs(given_, pairing)  # type: ignore[arg-type]
    seen = [place for pair in pairs for place in pair]
    assert len(seen) == len(set(seen))
    for chosen, rejected in pairs:
        assert given_[chosen] > given_[rejected]  # type: ignore[operator]
    known = [one for one in given_ if one is not None]
    assert bool(pairs) is (len(set(known)) > 1)
    if pairs:
        assert (given_[pairs[0][0]], given_[pairs[0][1]]) == (max(known), min(known))
    assert len(pairs) <= (1 if pairing == "best_worst" else len(known) // 2)


@pytest.mark.parametrize(
    ("given_", "ranked"),
    [
        ([0.0, 1.0, 0.5, 0.25], [(1, 0), (2, 3)]),
        ([1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [(0, 5), (1, 4)]),  # the third pair is a tie
        ([None, 1.0, None, 0.0], [(1, 3)]),
        ([0.5, 0.5, 0.5, 0.5], []),
        ([None, 1.0], []),
    ],
)
def test_ranked_pairs(given_: list[float | None], ranked: list[tuple[int, int]]) -> None:
    assert ranked_pairs(given_, "ranked") == ranked
    assert ranked_pairs(given_, "best_worst") == ranked[:1]


def trl(log_ratios: Tensor, beta: float, loss_type: str) -> Tensor:
    """TRL 1.16, `OnlineDPOTrainer.training_step`, on policy and reference log-probabilities that are these apart."""
    policy = torch.randn(len(log_ratios), generator=torch.Generator().manual_seed(1), dtype=log_ratios.dtype)
    reference = policy - log_ratios
    chosen, rejected = slice(0, None, 2), slice(1, None, 2)
    logits = (policy[chosen] - policy[rejected]) - (reference[chosen] - reference[rejected])
    if loss_type == "sigmoid":
        return -F.logsigmoid(beta * logits)
    return (logits - 1 / (2 * beta)) ** 2


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=8).filter(lambda one: len(one) % 2 == 0), st.floats(0.05, 2))
def test_the_losses_are_trls(log_ratios: list[float], beta: float) -> None:
    tensor = torch.tensor(log_ratios, dtype=torch.float64)
    for loss_type in ("sigmoid", "ipo"):
        ours = pair_losses(margins(tensor), beta=beta, loss_type=loss_type)  # type: ignore[arg-type]
        torch.testing.assert_close(ours, trl(tensor, beta, loss_type), rtol=1e-6, atol=1e-6)


def test_an_unknown_loss_is_told_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"unknown loss_type 'sigmoide'.*sigmoid"):
        pair_losses(torch.zeros(1), beta=0.1, loss_type="sigmoide")  # type: ignore[arg-type]
