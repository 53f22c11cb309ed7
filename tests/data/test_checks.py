"""What a run leaves out: gold that fails its own verifier, and prompts that are too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import DataError, Sample
from lydite.data import Data, Skipped, check_references, drop_long_prompts, repeated_prompts
from lydite.data.checks import FEW_COPIES

GOOD = Sample("good", "x", "1")
BAD = Sample("bad", "y", "one")


def judge(samples: Sequence[Sample]) -> Mapping[str, str]:
    return {one.id: "reference.not_a_number" for one in samples if one.reference != "1"}


def test_samples_with_broken_gold_are_skipped_and_listed() -> None:
    before = Skipped("old", "held out")
    data = check_references(Data((GOOD, BAD), (BAD, GOOD), (before,)), judge, "skip")
    assert (data.train, data.heldout) == ((GOOD,), (GOOD,))
    assert data.skipped == (
        before,
        Skipped("bad", "reference: reference.not_a_number"),
        Skipped("bad", "reference of a held-out sample: reference.not_a_number"),
    )


def test_held_out_samples_are_judged_apart_from_training_samples_with_their_ids() -> None:
    broken_twin = Sample("good", "z", "one")
    data = check_references(Data((GOOD,), (GOOD, broken_twin)), lambda samples: {}, "skip")
    assert data.train == (GOOD,)
    data = check_references(Data((GOOD, BAD), (Sample("bad", "z", "1"),)), judge, "skip")
    assert ([one.id for one in data.train], [one.id for one in data.heldout]) == (["good"], ["bad"])


def test_broken_gold_stops_a_run_that_asks_for_it() -> None:
    many = tuple(Sample(f"b{number}", "x", "one") for number in range(7))
    with pytest.raises(DataError, match=r"7 of 8 references .*sample 'b0': reference: .*'b4'.*; and 2 more .*\"skip\""):
        check_references(Data((GOOD, *many)), judge, "error")
    assert check_references(Data((GOOD,), (GOOD,)), judge, "error") == Data((GOOD,), (GOOD,))


def test_unchecked_gold_is_not_judged_at_all() -> None:
    def never(samples: Sequence[Sample]) -> Mapping[str, str]:
        raise AssertionError("the policy is off")

    assert check_references(Data((BAD,)), never, "off") == Data((BAD,))


@pytest.mark.parametrize("data", [Data((BAD,)), Data((GOOD,), (BAD,))])
def test_when_every_reference_fails_the_reward_does_not_belong_to_the_data(data: Data) -> None:
    with pytest.raises(DataError, match=r"every one of 1 .* do not belong together: sample 'bad'"):
        check_references(data, judge, "skip")


@given(st.lists(st.integers(1, 20), min_size=1), st.integers(1, 20))
def test_long_prompts_are_listed_and_never_cut(lengths: list[int], limit: int) -> None:
    samples = [Sample(str(number), "x" * length) for number, length in enumerate(lengths)]
    if min(lengths) > limit:
        with pytest.raises(DataError, match=f"the shortest has {min(lengths)}"):
            drop_long_prompts(samples, lambda one: len(one.prompt), limit)
        return
    kept, skipped = drop_long_prompts(samples, lambda one: len(one.prompt), limit)
    assert [one.prompt for one in kept] == ["x" * length for length in lengths if length <= limit]
    assert [one.id for one in skipped] == [str(number) for number, length in enumerate(lengths) if length > limit]
    assert all(one.reason.endswith(f"max_prompt_length is {limit}") for one in skipped)


def test_nothing_to_drop_from_nothing() -> None:
    assert drop_long_prompts([], lambda one: 1, 5) == ((), ())


@given(st.lists(st.integers(0, 60), min_size=1, max_size=80))
def test_prompts_that_repeat_are_told_when_they_are_more_than_a_few(numbers: list[int]) -> None:
    samples = [Sample(str(place), f"{number} + 1 =") for place, number in enumerate(numbers)]
    copies = len(numbers) - len(set(numbers))
    said = repeated_prompts(samples)
    assert (said is not None) == (copies / len(numbers) > FEW_COPIES)
    if said is not None:
        assert said.startswith(f"{copies} of {len(numbers)} prompts")


def test_a_conversation_repeats_when_all_of_it_does() -> None:
    def talk(name: str, *turns: str) -> Sample:
        return Sample(name, tuple({"role": "user", "content": turn} for turn in turns))

    said = repeated_prompts([talk("a", "hello", "again"), talk("b", "hello"), talk("c", "hello", "again")])
    assert said is not None
    assert "(33%), such as sample 'c' of 'a'" in said
    assert repeated_prompts([talk("a", "hello", "again"), talk("b", "hello")]) is None
