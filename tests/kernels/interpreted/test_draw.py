"""A token drawn from each row by the Triton programs, beside the definition in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.kernels.draw import BLOCK, GROUP, draw
from lydite.kernels.reference import draw_reference
from lydite.policy import sampler

CHUNK = BLOCK * GROUP


def middles(logits: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row a token, and a uniform number in the middle of its share: no rounding of sums can draw another."""
    shares = (logits.double() / temperature).softmax(-1)
    tokens = torch.multinomial(shares, 1)[:, 0]
    own = shares.gather(1, tokens[:, None])[:, 0]
    return tokens, shares.cumsum(-1).gather(1, tokens[:, None])[:, 0] - own / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("vocabulary", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK, CHUNK + 7, 3 * CHUNK + 300])
def test_it_draws_the_token_whose_share_holds_the_number(vocabulary: int, dtype: torch.dtype) -> None:
    logits = (torch.randn(7, vocabulary) * 3).to(dtype)
    for temperature in (1.0, 0.7):
        expected, uniform = middles(logits, temperature)
        tokens, logps = draw(logits, uniform, temperature)
        assert torch.equal(tokens, expected)
        assert (tokens.dtype, logps.dtype) == (torch.int64, torch.float32)
        torch.testing.assert_close(logps.double(), draw_reference(logits, uniform, temperature)[1], rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31), vocabulary=st.integers(1, 2 * CHUNK), spread=st.sampled_from([0.0, 1.0, 30.0, 200.0])
)
def test_any_logits(seed: int, vocabulary: int, spread: float) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(3, vocabulary) * spread
    expected, uniform = middles(logits, 1.0)
    tokens, _ = draw(logits, uniform, 1.0)
    assert torch.equal(tokens, expected)


def test_rows_may_be_part_of_something_wider_or_all_the_same() -> None:
    wide = torch.randn(5, 2 * BLOCK)
    logits, uniform = wide[:, : BLOCK + 3], torch.rand(5, dtype=torch.float64)
    for given_logits in (logits, logits[:1].expand(5, -1), wide.t().contiguous().t()[:, : BLOCK + 3]):
        tokens, logps = draw(given_logits, uniform, 1.0)
        expected = draw_reference(given_logits, uniform, 1.0)
        assert torch.equal(tokens, expected[0])
        torch.testing.assert_close(logps.double(), expected[1], rtol=0, atol=1e-5)


def test_a_uniform_number_may_be_a_column_of_a_table() -> None:
    table = torch.rand(6, 4, dtype=torch.float64)
    logits = torch.randn(6, 1000)
    assert torch.equal(draw(logits, table[:, 2], 1.0)[0], draw_reference(logits, table[:, 2], 1.0)[0])


@pytest.mark.parametrize("place", [0, 5, BLOCK, CHUNK - 1, CHUNK, CHUNK + BLOCK + 1, 2 * CHUNK + 9])
def test_one_token_that_can_be_is_drawn_by_every_number(place: int) -> None:
    """Whole groups of tokens are impossible, whose greatest score is -inf."""
    logits = torch.full((4, 2 * CHUNK + 10), float("-inf"))
    logits[:, place] = -3.0
    uniform = torch.tensor([0.0, 1e-300, 0.5, 1.0 - 2.0**-53], dtype=torch.float64)
    tokens, logps = draw(logits, uniform, 1.0)
    assert tokens.tolist() == [place] * 4
    assert logps.tolist() == [0.0] * 4


def test_the_ends_of_the_unit_interval_are_the_first_and_the_last_token_that_can_be() -> None:
    logits = torch.full((2, CHUNK + 500), float("-inf"))
    logits[:, [700, CHUNK + 3]] = torch.tensor([-1.0, 2.0])
    uniform = torch.tensor([0.0, 1.0 - 2.0**-53], dtype=torch.float64)
    assert draw(logits, uniform, 1.0)[0].tolist() == [700, CHUNK + 3]


@pytest.mark.parametrize("half", [1, 128, BLOCK, CHUNK])
def test_a_number_at_the_end_of_a_share_draws_the_next_token(half: int) -> None:
    tokens, _ = draw(torch.zeros(1, 2 * half), torch.tensor([0.5], dtype=torch.float64), 1.0)
    assert tokens.tolist() == [half]


def test_a_block_far_below_its_group_draws_what_has_a_share() -> None:
    logits = torch.full((1, 2 * CHUNK), float("-inf"))
    logits[0, [1, BLOCK, CHUNK]] = torch.tensor([-120.0, -100.0, 0.0])
    assert draw(logits, torch.zeros(1, dtype=torch.float64), 1.0)[0].tolist() == [1]


def test_a_group_far_below_another_keeps_its_share() -> None:
    """Its masses are summed beside its own greatest score, or they would all be 0."""
    logits = torch.zeros(2, 2 * CHUNK)
    logits[:, :CHUNK] = -60.0
    share = torch.tensor(-60.0, dtype=torch.float64).exp()
    tokens, logps = draw(logits, torch.stack([share * (CHUNK / 2 + 0.5) / CHUNK, share * 3]), 1.0)
    assert tokens[0] == CHUNK // 2
    assert CHUNK <= tokens[1] < 2 * CHUNK
    assert logps.tolist() == pytest.approx([-60.0 - math.log(CHUNK), -math.log(CHUNK)])


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")  # of the interpreter
@pytest.mark.parametrize("places", [[0], [7], list(range(200))])
def test_what_is_not_a_number_stays_in_its_row_and_draws_a_token(places: list[int]) -> None:
    logits = torch.randn(3, 200)
    logits[1, places] = float("nan")
    uniform = torch.rand(3, dtype=torch.float64)
    tokens, logps = draw(logits, uniform, 1.0)
    assert logps.isnan().tolist() == [False, True, False]
    assert 0 <= int(tokens[1]) < 200
    others = [0, 2]
    assert torch.equal(tokens[others], draw_reference(logits[others], uniform[others], 1.0)[0])


def test_no_rows_are_no_tokens() -> None:
    tokens, logps = draw(torch.empty(0, 50), torch.empty(0, dtype=torch.float64), 1.0)
    assert tokens.shape == logps.shape == (0,)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_sampling_takes_it_where_nothing_is_truncated(monkeypatch: pytest.MonkeyPatch, temperature: float) -> None:
    logits, uniform = torch.randn(4, 700), torch.rand(4, dtype=torch.float64)
    asked = []
    monkeypatch.setattr(sampler, "draw_by_kernel", lambda *given: asked.append(given[2]) or draw(*given))
    tokens, logps = sampler.draw_tokens(logits, uniform, sampler.Draw(temperature))
    assert asked == [temperature]
    assert torch.equal(tokens, draw_reference(logits, uniform, temperature)[0])
    # A log-probability is that of the whole distribution, whatever is truncated.
    for other in (sampler.Draw(temperature, top_k=700), sampler.Draw(temperature, min_p=1e-9)):
        same, as_well = sampler.draw_tokens(logits, uniform, other)
        assert torch.equal(same, tokens)
        torch.testing.assert_close(as_well, logps, rtol=0, atol=1e-5)
    monkeypatch.setenv("LYDITE_KERNELS", "draw")
    assert torch.equal(sampler.draw_tokens(logits, uniform, sampler.Draw(temperature))[0], tokens)
    greedy, _ = sampler.draw_tokens(logits, uniform, sampler.Draw(0.0))
    assert torch.equal(greedy, logits.argmax(-1))
    assert len(asked) == 1
