"""The difficulty pool: pass rates as they were over the run, and prompts that are retired and tested again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scored_steps import scored_completion, scored_group

from lydite.config import RunConfig
from lydite.errors import CheckpointError
from lydite.objective import with_advantages
from lydite.pool import Chooser, DifficultyPool, pass_share, refill_size, teaches
from lydite.types import Component, Sample, Scored, ScoredGroup, Verdict

YES, NO = Verdict(1.0, passed=True), Verdict(0.0, passed=False)
UNSURE, LATE, BROKEN = Verdict.abstain("?"), Verdict.timeout(), Verdict.abstain("bad gold", scope="prompt")
SHARES = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 1.0)), min_size=1, max_size=20)


def group(sample: str = "a", rewards: list[float | None] | None = None, **verdicts: list[Verdict]) -> ScoredGroup:
    """A group with a verdict of each reward for each completion; its totals are `rewards`."""
    size = len(next(iter(verdicts.values()))) if verdicts else len(rewards or ())
    rows = []
    for index in range(size):
        components = {name: Component(column[index], column[index].score, 1.0) for name, column in verdicts.items()}
        total = rewards[index] if rewards else sum(one.value or 0.0 for one in components.values())
        rows.append(scored_completion(total, components=components, index=index))
    return scored_group(sample, rows)


@pytest.mark.parametrize(
    ("verdicts", "share"),
    [
        ({"right": [YES, NO, NO, YES]}, 0.5),
        ({"right": [YES, UNSURE, NO, UNSURE]}, 0.5),
        ({"right": [UNSURE, UNSURE]}, None),
        ({"right": [YES, LATE]}, 0.5),
        ({"right": [YES, BROKEN]}, None),
        ({"right": [YES, YES, NO], "short": [YES, NO, NO]}, 1 / 3),
        ({"right": [YES, UNSURE, NO], "short": [BROKEN, YES, YES]}, 0.5),
        ({"other": [NO, NO], "right": [YES, YES], "short": [YES, YES]}, 1.0),
    ],
    ids=["half", "not judged", "nothing judged", "a timeout", "bad gold", "both", "one is broken", "not asked for"],
)
def test_the_share_that_passed(verdicts: dict[str, list[Verdict]], share: float | None) -> None:
    names = [name for name in ("right", "short") if name in verdicts]
    assert pass_share(group(**verdicts), names) == share


@given(seen=SHARES, decay=st.floats(0.0, 0.99))
def test_a_pass_rate_is_the_exponential_average_of_its_groups(seen: list[tuple[str, float]], decay: float) -> None:
    pool = DifficultyPool(decay)
    for step, (sample, share) in enumerate(seen, 1):
        pool.saw(sample, share, step)
    for sample in "abc":
        shares = [share for one, share in seen if one == sample]
        standing = pool.get(sample)
        if not shares:
            assert standing is None
            continue
        first, *later = shares
        weights = [decay ** len(later), *((1 - decay) * decay**age for age in range(len(later) - 1, -1, -1))]
        expected = sum(weight * share for weight, share in zip(weights, [first, *later], strict=True))
        assert standing is not None
        assert standing.pass_rate == pytest.approx(expected)
        assert standing.groups == len(shares)
        assert standing.step == max(step for step, (one, _) in enumerate(seen, 1) if one == sample)


@given(before=SHARES, after=SHARES)
def test_a_step_can_be_undone_and_a_state_read_back(
    before: list[tuple[str, float]], after: list[tuple[str, float]]
) -> None:
    pool = DifficultyPool(0.5)
    for sample, share in before:
        pool.saw(sample, share, 1)
    state = json.loads(json.dumps(pool.state_dict()))
    pool.begin_step()
    for sample, share in after:
        pool.saw(sample, share, 2)
    pool.undo_step()
    assert pool.state_dict() == state
    other = DifficultyPool(0.5)
    other.load_state_dict(state)
    assert other.state_dict() == state


@pytest.mark.parametrize("state", [{"a": 0.5}, {"a": [0.5, 1]}, {"a": ["x", 1, 1]}, []])
def test_a_state_that_is_none_of_a_pool_is_refused(state: Any) -> None:
    with pytest.raises(CheckpointError, match="difficulty pool cannot be read"):
        DifficultyPool(0.5).load_state_dict(state)


def does_teach(one: ScoredGroup, **settings: Any) -> bool:
    given = {"scale": "group", "aggregate": "sum_then_normalize", **settings}
    alone = with_advantages(Scored((one,), {}, {}), **given).groups[0]
    return teaches(alone, by_component=given["aggregate"] == "normalize_then_sum")


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize(
    ("totals", "teaching"),
    [
        ([1.0, 0.0], True),
        ([0.3, 0.31, 0.3], True),
        ([1.0, 1.0], False),
        ([0.1 + 0.2, 0.3], False),
        ([0.5, 0.5 + 5e-9], False),
        ([None, None], False),
        ([None, 1.0], False),
        ([None, 1.0, 0.5], True),
    ],
)
def test_a_group_teaches_where_its_rewards_differ(totals: list[float | None], teaching: bool, scale: str) -> None:
    assert does_teach(group(rewards=totals), scale=scale) is teaching


def test_a_group_teaches_by_the_advantages_that_the_run_has() -> None:
    graded = group(rewards=[0.6, 0.7, 0.8, 0.9])
    assert does_teach(graded)
    assert not does_teach(graded, estimator="pass_at_k", pass_at_k=2, pass_reward=0.5), "all of them pass"
    assert does_teach(graded, estimator="pass_at_k", pass_at_k=2, pass_reward=0.85)
    apart = group(rewards=[1.0, 1.0, 1.0], right=[YES, NO, NO], short=[NO, YES, YES])
    assert not does_teach(apart), "the totals are the same"
    assert not does_teach(apart, aggregate="normalize_then_sum"), "and so they are after each was normalised"
    assert does_teach(group(right=[YES, NO, NO], short=[NO, NO, YES]), aggregate="normalize_then_sum")


@given(missing=st.integers(1, 8), asked=st.integers(1, 40), data=st.data())
def test_a_refill_asks_as_many_as_its_luck_so_far_makes_likely(missing: int, asked: int, data: st.DataObject) -> None:
    teaching = data.draw(st.integers(0, asked))
    size = refill_size(missing, asked, teaching, most=8)
    assert 1 <= size <= 8
    if teaching:
        assert size == 8 or size * teaching >= missing * asked > (size - 1) * teaching
    else:
        assert size == 8


@pytest.fixture
def chooser(settings: Callable[..., dict[str, Any]]) -> Callable[..., Chooser]:
    def make(n: int = 6, **sampling: Any) -> Chooser:
        config = RunConfig.model_validate(settings(2, **sampling))
        samples = [Sample(f"s{index}", "?") for index in range(n)]
        return Chooser(samples, config, ["right"])

    return make


def passes(chooser: Chooser, step: int, *samples: str, share: float = 1.0) -> list[dict[str, Any]]:
    verdicts = [YES] * round(4 * share) + [NO] * (4 - round(4 * share))
    return list(chooser.saw([group(sample, right=verdicts) for sample in samples], step))


@pytest.mark.parametrize("order", ["shuffle", "curriculum", "frontier"])
def test_what_always_passes_is_retired_and_tested_again(chooser: Callable[..., Chooser], order: str) -> None:
    own = chooser(order=order, retire_at=1.0, retire_after=2, retest_every=50)
    for step in (1, 2):
        records = passes(own, step, "s0", "s1")
    assert [one["retired"] for one in records] == [True, True]
    assert own.figures()["pool/retired"] == 2.0
    asked = [index for step in range(3, 52) for index in own.choose(2, step)]
    assert set(asked) == {2, 3, 4, 5}
    again = [index for step in range(52, 82) for index in own.choose(2, step)]
    assert set(again) == set(range(6)), "those that rested are due"
    passes(own, 82, "s0", share=0.5)
    assert own.figures()["pool/retired"] == 1.0
    assert 0 in {index for step in range(83, 120) for index in own.choose(2, step)}, "it failed, and is back"


def test_one_lucky_group_retires_nobody(chooser: Callable[..., Chooser]) -> None:
    own = chooser(retire_at=1.0, retire_after=2)
    assert [one["retired"] for one in passes(own, 1, "s0")] == [False]


def test_a_step_is_filled_with_retired_prompts_when_there_is_nothing_else_and_a_refill_is_not(
    chooser: Callable[..., Chooser],
) -> None:
    own = chooser(n=4, retire_at=0.5, retire_after=1)
    for step, sample in enumerate(("s2", "s0", "s3"), 1):
        passes(own, step, sample)
    assert own.choose(3, 4) == [1, 2, 0], "after the one that is left, the one that was not asked for longest"
    assert own.choose(2, 4, busy={1, 2, 0}) == []


def test_a_curriculum_by_pass_rate_asks_the_easy_ones_first_in_its_second_lap(chooser: Callable[..., Chooser]) -> None:
    own = chooser(order="curriculum")
    first = [index for step in (1, 2, 3) for index in own.choose(2, step)]
    assert sorted(first) == list(range(6))
    for index, share in enumerate((0.25, 1.0, 0.0, 0.75, 0.5)):  # and s5 could not be judged: as hard as the average
        passes(own, 3, f"s{index}", share=share)
    second = [index for step in (4, 5, 6) for index in own.choose(2, step)]
    assert [index for index in second if index != 5] == [1, 3, 4, 0, 2]
    assert second.index(5) in (2, 3)


def test_the_pool_is_told_in_figures_and_records(chooser: Callable[..., Chooser]) -> None:
    own = chooser()
    assert own.figures() == {}
    passes(own, 1, "s0", "s1")
    records = passes(own, 2, "s1", share=0.5)
    assert records == [
        {"step": 2, "sample": "s1", "passed": 0.5, "pass_rate": 0.75, "groups": 2, "retired": False},
    ]
    passes(own, 3, "s2", share=0.0)
    assert own.figures() == {
        "pool/prompts": 3.0,
        "pool/pass_rate": pytest.approx((1.0 + 0.75 + 0.0) / 3),
        "pool/never_passed": pytest.approx(1 / 3),
        "pool/always_passed": pytest.approx(1 / 3),
    }
