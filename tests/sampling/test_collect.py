"""Dynamic sampling: groups that teach nothing are replaced up to a cap, and all that was sampled is counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lydite import collect
from lydite.collect import Collected, Collector
from lydite.data import prompt_order
from lydite.measure import Stopwatch

Collect = Callable[..., Collector]
KINDS = st.lists(st.sampled_from(["mixed", "easy", "hard"]), min_size=4, max_size=14)


def ids(scored: Any) -> list[str]:
    return [group.prompt.sample.id for group in scored.groups]


def kinds(scored: Any) -> list[str]:
    return [group.prompt.sample.columns["kind"] for group in scored.groups]


def figures(collected: Collected) -> dict[str, float]:
    return {
        name.removeprefix("sampling/"): value
        for name, value in collected.asked.metrics.items()
        if name.startswith("sampling/")
    }


def test_without_it_a_step_is_what_the_epochs_say(collector: Collect, watch: Stopwatch, talker: Any) -> None:
    own = collector(["mixed", "easy", "hard", "easy", "mixed", "hard"])
    for step in (1, 2, 3):
        collected = own.collect(step, watch)
        assert collected.trained.groups == collected.asked.groups
        assert not collected.left_out
        assert figures(collected) == {}
    asked = [f"s{index}" for index in prompt_order(6, 42)]
    assert talker.asked == [asked[:2], asked[2:4], asked[4:]]


def test_flat_groups_are_replaced_by_the_next_prompts_of_the_order(
    collector: Collect, watch: Stopwatch, talker: Any
) -> None:
    order = prompt_order(8, 42)
    kind = {index: "easy" if place < 3 else "mixed" for place, index in enumerate(order)}
    own = collector([kind[index] for index in range(8)], 2, max_refills=3)
    collected = own.collect(1, watch)
    named = [f"s{index}" for index in order]
    # Nothing taught in the first round: two more. One of those did, one in four: the last round asks for two.
    assert talker.asked == [named[:2], named[2:4], named[4:6]]
    assert ids(collected.trained) == named[3:5]
    assert ids(collected.asked) == named[:6]
    assert collected.left_out == {*named[:3], named[5]}
    assert figures(collected) == {
        "refills": 2.0, "asked_groups": 6.0, "flat_groups": 3.0, "trained_groups": 2.0, "missing_groups": 0.0,
        "surplus_groups": 1.0,
    }  # fmt: skip
    assert ids(own.collect(2, watch).asked)[:2] == named[6:8], "the next step goes on behind the refills"


def test_a_group_is_looked_at_once_whatever_becomes_of_it(
    collector: Collect, watch: Stopwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    real = collect.with_configured_advantages

    def counted(scored: Any, config: Any) -> Any:
        if len(scored.groups) == 1:
            looked_at.extend(ids(scored))
        return real(scored, config)

    monkeypatch.setattr(collect, "with_configured_advantages", counted)
    for wishes in ({"max_refills": 3}, {"flat_groups": "drop"}):
        looked_at.clear()
        collected = collector(["easy"] * 4 + ["mixed"] * 4, 2, **wishes).collect(1, watch)
        assert looked_at == ids(collected.asked)
    looked_at.clear()
    collector(["easy"] * 4, 2).collect(1, watch)
    assert looked_at == [], "no question where all are trained on"


@pytest.mark.parametrize(("flat", "trained"), [("keep", 2), ("drop", 1)])
def test_at_the_cap_flat_groups_fill_the_step_or_it_goes_on_without(
    collector: Collect, watch: Stopwatch, caplog: pytest.LogCaptureFixture, flat: str, trained: int
) -> None:
    order = prompt_order(8, 42)
    kind = ["easy"] * 8
    kind[order[1]] = "mixed"
    own = collector(kind, 2, max_refills=2, flat_groups=flat)
    with caplog.at_level(logging.WARNING, logger="lydite"):
        collected = own.collect(1, watch)
        own.collect(2, watch)
    assert f"s{order[1]}" in ids(collected.trained)
    assert len(collected.trained.groups) == trained
    assert figures(collected)["missing_groups"] == 1.0
    told = [one.message for one in caplog.records if "refills" in one.message]
    rest = "flat groups fill it" if flat == "keep" else "it goes on without"
    assert len(told) == 1, "it is said once"
    assert told[0].startswith(
        f"step 1: after 2 refills 1 of its 2 groups still have rewards that do not differ; {rest}."
    )


def test_groups_are_dropped_without_refills_too(collector: Collect, watch: Stopwatch) -> None:
    own = collector(["mixed", "easy", "hard", "mixed"], 4, flat_groups="drop")
    collected = own.collect(1, watch)
    assert kinds(collected.trained) == ["mixed", "mixed"]
    assert kinds(collected.asked).count("mixed") == 2
    assert len(collected.asked.groups) == 4


def test_a_step_in_which_nothing_teaches_is_kept_whole(collector: Collect, watch: Stopwatch) -> None:
    own = collector(["easy", "hard"], 2, flat_groups="drop")
    assert len(own.collect(1, watch).trained.groups) == 2


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(kind=KINDS, size=st.integers(1, 4), cap=st.integers(0, 4), flat=st.sampled_from(["keep", "drop"]))
def test_what_holds_of_every_step(
    collector: Collect, watch: Stopwatch, talker: Any, kind: list[str], size: int, cap: int, flat: str
) -> None:
    own = collector(kind, size, max_refills=cap, flat_groups=flat)
    for step in (1, 2, 3):
        talker.asked.clear()
        collected = own.collect(step, watch)
        asked, trained = ids(collected.asked), ids(collected.trained)
        assert 1 <= len(talker.asked) <= 1 + cap
        assert all(len(one) <= size for one in talker.asked)
        assert asked == [sample for one in talker.asked for sample in one]
        assert len(set(asked)) == len(asked)
        mixed = kinds(collected.asked).count("mixed")
        kept = kinds(collected.trained)
        assert kept.count("mixed") == min(size, mixed)
        assert len(kept) == (size if flat == "keep" or not mixed else min(size, mixed))
        if len(talker.asked) < 1 + cap:
            assert mixed >= size or len(asked) == len(kind), "it stopped before the cap without a reason"
        assert collected.left_out == set(asked) - set(trained)
        assert [sample for sample in asked if sample in set(trained)] == trained
        for group in collected.asked.groups:
            if group.prompt.sample.id in collected.left_out:
                assert all(one.advantage == 0.0 for one in group.completions)
            elif group.prompt.sample.columns["kind"] == "mixed":
                assert any(one.advantage != 0.0 for one in group.completions)


def test_rewards_of_groups_that_are_left_out_count(collector: Collect, watch: Stopwatch) -> None:
    collected = collector(["easy", "easy", "hard", "mixed"], 4, flat_groups="drop").collect(1, watch)
    every = [one.reward for group in collected.asked.groups for one in group.completions]
    assert len(every) == 16
    assert collected.asked.metrics["reward"] == pytest.approx(sum(every) / 16)
    assert collected.asked.metrics["frac_reward_zero_std"] == 0.75
    assert collected.asked.metrics["pool/prompts"] == 4.0


def test_figures_of_several_rounds_are_those_of_one_step(collector: Collect, watch: Stopwatch) -> None:
    order = prompt_order(4, 42)
    kind = ["mixed"] * 4
    kind[order[0]], kind[order[1]] = "easy", "hard"
    rounds = collector(kind, 2, max_refills=1).collect(1, watch)
    at_once = collector(kind, 4).collect(1, watch)
    assert ids(rounds.asked) == ids(at_once.asked)
    same = {name: value for name, value in rounds.asked.metrics.items() if not name.startswith("sampling/")}
    assert same == at_once.asked.metrics


def test_a_step_that_was_undone_is_made_again_as_it_was(collector: Collect, watch: Stopwatch) -> None:
    kind = ["mixed", "easy", "hard", "easy", "mixed", "hard", "mixed"]
    own = collector(kind, 2, max_refills=2, order="frontier")
    own.collect(1, watch)
    before = json.dumps(own.state_dict())
    first = own.collect(2, watch)
    assert json.dumps(own.state_dict()) != before
    own.undo()
    assert json.dumps(own.state_dict()) == before
    again = own.collect(2, watch)
    assert again.asked.groups == first.asked.groups
    assert again.standings == first.standings


def test_a_collector_that_goes_on_from_a_state_asks_what_it_would_have_asked(
    collector: Collect, watch: Stopwatch
) -> None:
    kind = ["mixed", "easy", "hard", "easy", "mixed", "hard", "mixed"]
    for order in ("shuffle", "curriculum", "frontier"):
        wishes = {"max_refills": 2, "order": order, "retire_at": 0.9, "retire_after": 1, "retest_every": 3}
        whole = collector(kind, 2, **wishes)
        steps = [whole.collect(step, watch) for step in range(1, 7)]
        first, resumed = collector(kind, 2, **wishes), collector(kind, 2, **wishes)
        for step in (1, 2, 3):
            first.collect(step, watch)
        resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
        for step in (4, 5, 6):
            own = resumed.collect(step, watch)
            assert ids(own.asked) == ids(steps[step - 1].asked), order
            assert own.asked.metrics == steps[step - 1].asked.metrics


def test_a_completion_passes_by_the_rewards_that_are_named(collector: Collect, watch: Stopwatch) -> None:
    rewards = {"vowels": {"use": "mine/vowels"}, "a": {"use": "mine/says_a"}}
    for pass_by, passed in (((), 0.0), (("vowels",), 0.0), (("a",), 1.0)):
        own = collector(["hard"] * 2, 2, changes={"rewards": rewards}, pass_by=pass_by)
        assert {one["passed"] for one in own.collect(1, watch).standings} == {passed}
