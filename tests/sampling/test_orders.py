"""The orders of prompts: nobody is forgotten, nobody is asked twice in a step, and a resumed order is the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.data import prompt_order
from lydite.errors import CheckpointError
from lydite.pool import Frontier, curriculum_laps, shuffled_laps

Make = Callable[[], Any]
MOST = 24
LENGTHS = st.integers(2, MOST)
SEEDS = st.integers(0, 1000)


def nobody(index: int) -> bool:
    return False


def orders(n: int, seed: int) -> dict[str, Make]:
    rates = {index: index / n for index in range(0, n, 2)}  # every other one was never asked
    return {
        "shuffle": lambda: shuffled_laps(n, seed, shuffle=True),
        "data": lambda: shuffled_laps(n, seed, shuffle=False),
        "curriculum": lambda: curriculum_laps(
            n, seed, shuffle=True, length=n, difficulty=lambda: [index % 3 for index in range(n)], remember=False
        ),
        "short laps": lambda: curriculum_laps(
            n,
            seed,
            shuffle=True,
            length=(n + 1) // 2,
            difficulty=lambda: [index % 3 for index in range(n)],
            remember=False,
        ),
        "by pass rate": lambda: curriculum_laps(
            n, seed, shuffle=True, length=n, difficulty=lambda: [-index for index in range(n)], remember=True
        ),
        "frontier": lambda: Frontier(
            shuffled_laps(n, seed, shuffle=True), n, seed, target=0.5, exploration=0.5, pass_rate=rates.get
        ),
    }


def walk(order: Any, n: int, plan: list[list[int]], first_step: int = 1) -> list[list[int]]:
    """What each step asks, in as many rounds as the plan has for it."""
    steps = []
    for step, rounds in enumerate(plan, first_step):
        busy: list[int] = []
        for size in rounds:
            busy += order.take(min(size, n), step, set(busy), nobody)
        steps.append(busy)
    return steps


PLANS = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=12)
KINDS = st.sampled_from(["shuffle", "data", "curriculum", "short laps", "by pass rate", "frontier"])


@given(n=LENGTHS, seed=SEEDS, plan=PLANS, kind=KINDS)
def test_a_step_asks_nobody_twice_and_as_many_as_there_are(n: int, seed: int, plan: list[list[int]], kind: str) -> None:
    for asked, rounds in zip(walk(orders(n, seed)[kind](), n, plan), plan, strict=True):
        assert len(set(asked)) == len(asked)
        assert set(asked) <= set(range(n))
        assert len(asked) == min(n, sum(min(size, n) for size in rounds))


@given(n=LENGTHS, seed=SEEDS, size=st.integers(1, 6), kind=KINDS)
def test_every_prompt_has_its_turn(n: int, seed: int, size: int, kind: str) -> None:
    # The frontier's share of exploration is half, so that it takes twice as long; a prompt may wait for one step.
    steps = (2 if kind == "frontier" else 1) * -(-n // size) + 2
    asked = walk(orders(n, seed)[kind](), n, [[size]] * steps)
    assert {index for step in asked for index in step} == set(range(n))


@given(
    n=st.integers(12, 40), seed=SEEDS, plan=st.lists(st.lists(st.integers(1, 3), max_size=2), min_size=30, max_size=40)
)
def test_each_lap_asks_everybody_once_and_those_that_wait_are_not_forgotten(
    n: int, seed: int, plan: list[list[int]]
) -> None:
    order = shuffled_laps(n, seed, shuffle=True)
    counts = Counter(index for step in walk(order, n, plan) for index in step)
    state = order.state_dict()
    begun = prompt_order(n, seed, state["lap"])[: state["place"]]
    for index in range(n):
        assert counts[index] == state["lap"] + begun.count(index) - state["waiting"].count(index)


@given(data=st.data(), n=LENGTHS, seed=SEEDS, plan=PLANS, kind=KINDS)
def test_an_order_that_goes_on_from_its_state_asks_what_it_would_have_asked(
    data: st.DataObject, n: int, seed: int, plan: list[list[int]], kind: str
) -> None:
    make = orders(n, seed)[kind]
    whole = walk(make(), n, plan)
    cut = data.draw(st.integers(0, len(plan)))
    first = make()
    walk(first, n, plan[:cut])
    resumed = make()
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert walk(resumed, n, plan[cut:], first_step=cut + 1) == whole[cut:]


@given(n=LENGTHS, seed=SEEDS, size=st.integers(1, 6), kind=KINDS, resting=st.sets(st.integers(0, MOST - 1)))
def test_those_that_rest_are_not_asked_and_the_others_all_are(
    n: int, seed: int, size: int, kind: str, resting: set[int]
) -> None:
    order, asked = orders(n, seed)[kind](), set()
    for step in range(1, 4 * n):
        taken = order.take(size, step, set(), resting.__contains__)
        assert len(taken) == min(size, len(set(range(n)) - resting))
        asked |= set(taken)
    assert asked == set(range(n)) - resting


@given(n=st.integers(1, 40), seed=SEEDS, shuffle=st.booleans(), data=st.data())
def test_without_refills_shuffle_is_epochs_laid_end_to_end(
    n: int, seed: int, shuffle: bool, data: st.DataObject
) -> None:
    size = data.draw(st.sampled_from([one for one in range(1, n + 1) if n % one == 0]))
    steps = walk(shuffled_laps(n, seed, shuffle=shuffle), n, [[size]] * (2 * n // size))
    asked = [index for step in steps for index in step]
    assert asked == [*prompt_order(n, seed, 0, shuffle), *prompt_order(n, seed, 1, shuffle)]


@given(n=LENGTHS, seed=SEEDS, difficulty=st.lists(st.integers(0, 4), min_size=MOST, max_size=MOST), data=st.data())
def test_a_curriculum_goes_from_easy_to_hard_through_what_the_epochs_would_have_asked(
    n: int, seed: int, difficulty: list[int], data: st.DataObject
) -> None:
    length = data.draw(st.integers(1, n))
    laps = curriculum_laps(n, seed, shuffle=True, length=length, difficulty=lambda: difficulty, remember=False)
    asked = laps.take(length, 1, set(), nobody)
    assert [difficulty[index] for index in asked] == sorted(difficulty[index] for index in asked)
    assert set(asked) == set(prompt_order(n, seed)[:length])


def test_a_curriculum_by_pass_rate_is_arranged_anew_each_lap_and_not_within_one() -> None:
    hard = [0.0, 1.0, 2.0, 3.0]

    def make() -> Any:
        return curriculum_laps(4, 1, shuffle=True, length=4, difficulty=lambda: hard, remember=True)

    laps, resumed = make(), make()
    assert laps.take(2, 1, set(), nobody) == [0, 1]
    resumed.load_state_dict(json.loads(json.dumps(laps.state_dict())))
    hard.reverse()
    for order in (laps, resumed):
        assert order.take(2, 2, set(), nobody) == [2, 3]
        assert order.take(4, 3, set(), nobody) == [3, 2, 1, 0]


def frontier(n: int, rates: dict[int, float], **settings: float) -> Frontier:
    given = {"target": 0.5, "exploration": 0.0, **settings}
    return Frontier(shuffled_laps(n, 3, shuffle=True), n, 3, pass_rate=rates.get, **given)


def test_the_frontier_prefers_what_is_near_its_target() -> None:
    rates = {index: index / 10 for index in range(11)}
    for target in (0.2, 0.5, 0.8):
        order = frontier(11, rates, target=target)
        counts = Counter(index for step in range(2000) for index in order.take(1, step, set(), nobody))
        # Each prompt's share is its weight's: exp(-((r - target) / 0.2)^2 / 2), about 2.5 standard errors wide.
        weights = {index: 2.718281828 ** -(((rate - target) / 0.2) ** 2 / 2) for index, rate in rates.items()}
        for index, weight in weights.items():
            share = weight / sum(weights.values())
            assert counts[index] / 2000 == pytest.approx(share, abs=0.03), (target, index)


def test_the_frontier_asks_new_prompts_before_those_that_are_known_to_be_too_hard() -> None:
    known = dict.fromkeys(range(10), 0.0)
    asked = frontier(20, known).take(8, 1, set(), nobody)
    assert sum(index in known for index in asked) <= 1


def test_exploration_is_the_share_of_the_frontier_that_goes_by_epochs() -> None:
    rates = {0: 0.5, **dict.fromkeys(range(1, 100), 1.0)}
    none, all_of_it = frontier(100, rates), frontier(100, rates, exploration=1.0)
    assert [all_of_it.take(1, step, set(), nobody)[0] for step in range(100)] == list(prompt_order(100, 3))
    assert sum(none.take(1, step, set(), nobody) == [0] for step in range(100)) > 10


@pytest.mark.parametrize("state", [{}, {"lap": 1, "place": 2}, {"lap": "x", "place": 0, "waiting": []}])
def test_a_state_of_something_else_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="order of the prompts"):
        shuffled_laps(3, 1, shuffle=True).load_state_dict(state)
    with pytest.raises(CheckpointError, match="frontier needs drawn and laps"):
        frontier(3, {}).load_state_dict(state)
