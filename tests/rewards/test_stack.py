"""A stack at work: who is asked what, and what comes of it. Inline where the place does not matter."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

import lydite
from lydite.errors import CheckpointError, RewardError
from lydite.types import Completion, Group, Rollout, Sample, Scored, Status, Verdict

inline = lydite.reward(isolation="inline")
Make = Callable[..., Any]


def rewards_of(scored: Scored, group: int = 0) -> list[float | None]:
    return [one.reward for one in scored.groups[group].completions]


def verdicts_of(scored: Scored, name: str, group: int = 0) -> list[Verdict]:
    return [one.components[name].verdict for one in scored.groups[group].completions]


def test_a_reward_is_given_what_it_names(make_stack: Make, kit: Any) -> None:
    seen: dict[str, Any] = {}

    @inline
    def nosy(
        completion: Completion,
        sample: Sample,
        prompt: Any,
        reference: Any,
        answer: str,
        reasoning: str,
        text: str,
        group: Group,
        level: int,
        hint: str = "none",
        *,
        bonus: float = 1.0,
    ) -> float:
        seen.update(locals())
        return bonus

    stack = make_stack({"nosy": nosy}, {"nosy": {"options": {"bonus": "2.5"}}}, format=kit.Tagged())
    scored = stack.score([kit.rollout(["because A: 4"], reference=4, columns={"level": 3})], 1)
    assert rewards_of(scored) == [2.5]
    assert (seen["answer"], seen["reasoning"], seen["text"]) == ("4", "because", "because A: 4")
    assert (seen["reference"], seen["level"], seen["hint"], seen["prompt"]) == (4, 3, "none", "what?")
    assert seen["group"].completions == (seen["completion"],)
    assert seen["group"].sample is seen["sample"]


def test_a_broken_format_is_the_worst_score_for_those_who_want_a_plain_answer(make_stack: Make, kit: Any) -> None:
    calls: list[str | None] = []

    @lydite.reward(isolation="inline", range=(-1.0, 1.0))
    def wants(answer: str) -> float:
        calls.append(answer)
        return 1.0

    @inline
    def unranged(answer: str) -> float:
        return 1.0

    @inline
    def takes_none(answer: str | None) -> float:
        return 0.25 if answer is None else 1.0

    functions = {"wants": wants, "unranged": unranged, "takes_none": takes_none}
    scored = make_stack(functions, format=kit.Tagged()).score([kit.rollout(["A: 1", "nothing"])], 1)
    assert calls == ["1"]
    broken = scored.groups[0].completions[1].components
    verdict = broken["wants"].verdict
    assert (verdict.status, verdict.score, verdict.passed) == (Status.OK, -1.0, False)
    assert verdict.reason == "format.answer.missing"
    assert broken["unranged"].value == 0.0
    assert broken["takes_none"].value == 0.25
    assert scored.metrics["format/failed"] == 0.5


def test_none_is_left_out_and_nothing_scored_is_none(make_stack: Make, kit: Any) -> None:
    @inline
    def shy(text: str) -> float | None:
        return None if "?" in text else 1.0

    @inline
    def shyer(text: str) -> float | None:
        return None if "??" in text else 2.0

    stack = make_stack({"shy": shy, "shyer": shyer}, {"shyer": {"weight": 0.5}})
    scored = stack.score([kit.rollout(["a", "a?", "a??"])], 1)
    assert rewards_of(scored) == [2.0, 1.0, None]
    assert scored.metrics["verdicts/shy/abstain"] == pytest.approx(2 / 3)
    assert scored.metrics["reward"] == 1.5


def test_a_gate_replaces_the_total(make_stack: Make, kit: Any) -> None:
    @inline
    def polite(text: str) -> bool:
        return "please" in text

    @inline
    def long(text: str) -> float:
        return len(text)

    stack = make_stack({"polite": polite, "long": long}, {"polite": {"gate": True, "gate_score": -0.5}})
    assert rewards_of(stack.score([kit.rollout(["please", "rude"])], 1)) == [7.0, -0.5]


def test_rescale_clip_and_schedule(make_stack: Make, kit: Any) -> None:
    @lydite.reward(isolation="inline", range=(0.0, 10.0))
    def size(text: str) -> float:
        return len(text)

    setting = {"rescale": [-1, 1], "clip": [-0.5, 0.5], "weight": 1.0, "weight_to": 3.0, "schedule_steps": 4}
    stack = make_stack({"size": size}, {"size": setting})
    texts = ["x", "xxxxx", "xxxxxx", "xxxxxxxxxx"]
    assert rewards_of(stack.score([kit.rollout(texts)], 1)) == pytest.approx([-0.5, 0.0, 0.2, 0.5])
    assert rewards_of(stack.score([kit.rollout(texts)], 3)) == pytest.approx([-1.0, 0.0, 0.4, 1.0])
    assert rewards_of(stack.score([kit.rollout(texts)], 99)) == pytest.approx([-1.5, 0.0, 0.6, 1.5])


def test_length_is_paid_to_what_passed(make_stack: Make, kit: Any) -> None:
    @inline
    def right(text: str) -> bool | None:
        return None if text == "?" else text == "yes"

    stack = make_stack({"right": right}, length={"kind": "cosine", "only_if": "right", "max_length": 10, "weight": 0.5})
    scored = stack.score([kit.rollout(["yes", "yes", "no", "?"], tokens=[5, 20, 5, 5])], 1)
    assert stack.names == ("right", "length")
    assert [one.components["length"].value for one in scored.groups[0].completions] == pytest.approx(
        [0.5, 0.0, 0.0, None]
    )
    assert rewards_of(scored) == pytest.approx([1.25, 1.0, 0.0, None])
    assert scored.groups[0].completions[0].components["length"].verdict.verifier == "lydite/length"


def test_a_cascade_asks_its_second_only_about_what_the_first_did_not_pass(make_stack: Make, kit: Any) -> None:
    asked: list[str] = []

    @inline
    def rule(text: str) -> bool | None:
        return None if text == "?" else text == "yes"

    @inline
    def opinion(text: str) -> float:
        asked.append(text)
        return 0.6

    settings = {"opinion": {"fallback_for": "rule", "fallback_share": 0.5, "weight": 0.5}}
    # The second comes first in the configuration: order follows what depends on what.
    stack = make_stack({"opinion": opinion, "rule": rule}, settings)
    scored = stack.score([kit.rollout(["no", "yes"], id="a"), kit.rollout(["?", "nope"], id="b")], 1)
    assert asked == ["no", "?"]
    assert rewards_of(scored, 0) == pytest.approx([0.3, 1.0])
    assert rewards_of(scored, 1) == pytest.approx([0.3, 0.0])
    assert verdicts_of(scored, "opinion", 0)[1].reason == "fallback.not_asked"
    assert verdicts_of(scored, "opinion", 1)[1].reason == "fallback.share"


def test_a_fallback_is_tried_out_together_with_what_it_falls_back_from(make_stack: Make, kit: Any) -> None:
    @inline
    def rule(text: str) -> bool:
        return text == "yes"

    @inline
    def opinion(text: str) -> float:
        return 0.6

    @inline
    def other(text: str) -> float:
        raise AssertionError("nobody asked for it")

    settings = {"opinion": {"fallback_for": "rule"}}
    stack = make_stack({"opinion": opinion, "rule": rule, "other": other}, settings)
    (group,) = stack.try_out([kit.rollout(["no", "yes"])], 1, ["opinion"])
    assert [one.reward for one in group.completions] == pytest.approx([0.6, 1.0])
    assert set(group.completions[0].components) == {"opinion", "rule"}


def test_a_prompts_fault_takes_the_component_out_of_its_group_only(make_stack: Make, kit: Any) -> None:
    @inline
    def gold(text: str, reference: str) -> Verdict | float:
        if reference == "bad" and text == "b":
            return Verdict.error("gold.unreadable", scope="prompt")
        return 1.0

    @inline
    def other(text: str) -> float:
        return 0.5

    stack = make_stack({"gold": gold, "other": other})
    scored = stack.score([kit.rollout(["a", "b"], id="1", reference="bad"), kit.rollout(["a", "b"], id="2")], 1)
    assert rewards_of(scored, 0) == [0.5, 0.5]
    assert rewards_of(scored, 1) == [1.5, 1.5]


def test_a_ragged_column_is_the_prompts_fault(make_stack: Make, kit: Any) -> None:
    @inline
    def level(text: str, level: int) -> float:
        return level

    stack = make_stack({"level": level})
    scored = stack.score([kit.rollout(["a"], id="1", columns={"level": 2}), kit.rollout(["a"], id="2")], 1)
    assert rewards_of(scored, 0) == [2.0]
    assert rewards_of(scored, 1) == [None]
    assert verdicts_of(scored, "level", 1)[0].scope == "prompt"


def test_a_group_reward_judges_all_at_once(no_plugins: Any, kit: Any) -> None:
    from dataclasses import replace

    from lydite.builtin import Plain
    from lydite.plugins import Offer
    from lydite.rewards import build_stack

    @inline
    def ranks(group: Group, reference: str, *, best: float = 1.0) -> list[float]:
        lengths = sorted(one.tokens for one in group.completions)
        return [best - lengths.index(one.tokens) for one in group.completions]

    owner = no_plugins.with_functions({"x": ranks}).offers["rewards"]["x"].owner
    plugins = replace(
        no_plugins,
        offers={**no_plugins.offers, "group_rewards": {"ranks": Offer("group_rewards", "ranks", ranks, owner)}},
    )
    config = kit.run_config({"r": {"use": "ranks", "options": {"best": 3}}})
    scored = build_stack(config, plugins, Plain()).score([kit.rollout(["aaa", "a", "aa"])], 1)
    assert rewards_of(scored) == [1.0, 3.0, 2.0]


def test_coroutines_run_together_and_inline_ones_inside_a_running_loop(make_stack: Make, kit: Any) -> None:
    arrived: list[str] = []
    everybody = 4

    @inline
    async def meets(text: str) -> float:
        arrived.append(text)
        while len(arrived) < everybody:  # nobody leaves before all have come
            await asyncio.sleep(0.001)
        return float(text)

    stack = make_stack({"meets": meets})

    async def notebook() -> Scored:
        scored: Scored = stack.score([kit.rollout(["1", "2", "3", "4"])], 1)
        return scored

    assert rewards_of(asyncio.run(notebook())) == [1.0, 2.0, 3.0, 4.0]


def test_an_inline_coroutine_has_its_deadline(make_stack: Make, kit: Any) -> None:
    @inline
    async def waits(text: str) -> float:
        await asyncio.sleep(60 if text == "long" else 0)
        return 1.0

    stack = make_stack({"waits": waits}, {"waits": {"timeout": 0.2}})
    scored = stack.score([kit.rollout(["long", "short"])], 1)
    assert [one.status for one in verdicts_of(scored, "waits")] == [Status.TIMEOUT, Status.OK]
    assert rewards_of(scored) == [0.0, 1.0]


def test_duplicates_are_judged_once_within_a_step_and_later(make_stack: Make, kit: Any) -> None:
    calls: list[str] = []
    restless: list[str] = []

    @inline
    def counted(completion: Completion, reference: str) -> float:
        calls.append(completion.text)
        return len(completion.text)

    @lydite.reward(isolation="inline", deterministic=False)
    def random(text: str) -> float:
        restless.append(text)
        return 0.0

    stack = make_stack({"counted": counted, "random": random})
    scored = stack.score([kit.rollout(["aa", "b", "aa", "aa"], reference="x")], 1)
    assert rewards_of(scored) == [2.0, 1.0, 2.0, 2.0]
    assert calls == ["aa", "b"]
    assert stack.score([kit.rollout(["b", "c", "aa", "b"], reference="x")], 2).groups[0].completions[3].reward == 1.0
    assert calls == ["aa", "b", "c"]
    stack.score([kit.rollout(["aa"], reference="another")], 3)
    assert calls == ["aa", "b", "c", "aa"]
    assert len(restless) == 9


def test_an_error_is_shared_by_duplicates_but_asked_about_again(make_stack: Make, kit: Any) -> None:
    calls: list[str] = []

    @inline
    def flaky(text: str) -> float:
        calls.append(text)
        raise ConnectionError("down")

    stack = make_stack({"flaky": flaky})
    scored = stack.score([kit.rollout(["a", "a"])], 1)
    assert [one.reason for one in verdicts_of(scored, "flaky")] == ["raised.ConnectionError"] * 2
    stack.score([kit.rollout(["a"])], 2)
    assert calls == ["a", "a"]


def test_too_many_errors_stop_the_run_and_name_the_culprit(make_stack: Make, kit: Any) -> None:
    @inline
    def fragile(text: str) -> float:
        if text == "bad":
            raise ValueError("cannot read this")
        return 1.0

    stack = make_stack({"fragile": fragile}, stack={"error_window": 20, "max_error_share": 0.1})
    good = kit.rollout(["a", "b", "c", "d"])
    bad = kit.rollout(["bad"], id="s77")
    stack.score([good, bad], 1)
    stack.score([good, bad], 2)
    with pytest.raises(RewardError) as caught:
        stack.score([bad], 3)
    for piece in ("fragile", "a Python function", "s77", "cannot read this", "3 of its last 11", "max_error_share"):
        assert piece in str(caught.value)


def test_errors_leave_the_window_and_a_resumed_stack_knows_it(make_stack: Make, kit: Any) -> None:
    @inline
    def fragile(text: str) -> float:
        if text == "bad":
            raise ValueError
        return 1.0

    def fresh() -> Any:
        return make_stack({"fragile": fragile}, stack={"error_window": 4, "max_error_share": 0.5})

    stack = fresh()
    for step in range(6):  # two errors in four is as many as it takes, every time
        stack.score([kit.rollout(["bad", "a", "bad", "b"])], step)
    resumed = fresh()
    resumed.load_state_dict(stack.state_dict())
    with pytest.raises(RewardError):
        resumed.score([kit.rollout(["bad", "bad"])], 7)
    fresh().score([kit.rollout(["bad", "bad"])], 7)


@pytest.mark.parametrize("state", [{}, {"windows": {"other": []}}, {"windows": {"r": [2]}}])
def test_a_foreign_state_is_refused(make_stack: Make, state: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        make_stack({"r": inline(lambda text: 1.0)}).load_state_dict(state)


def test_metrics_are_plain_means_and_shares(make_stack: Make, kit: Any) -> None:
    @inline
    def size(text: str) -> float | None:
        return None if text == "?" else len(text)

    stack = make_stack({"size": size}, {"size": {"weight": 2.0}})
    rollouts = [kit.rollout(["a", "bbb"], id="1"), kit.rollout(["cc", "dd"], id="2"), kit.rollout(["?", "?"], id="3")]
    metrics = stack.score(rollouts, 1).metrics
    assert metrics["reward"] == 4.0
    assert metrics["rewards/size/mean"] == 2.0
    assert metrics["rewards/size/std"] == pytest.approx(math.sqrt(2 / 3))
    assert metrics["reward_std"] == pytest.approx((math.sqrt(8) + 0 + 0) / 3)
    assert metrics["frac_reward_zero_std"] == pytest.approx(2 / 3)
    assert metrics["verdicts/size/abstain"] == pytest.approx(1 / 3)
    assert all(math.isfinite(one) for one in metrics.values())
    assert stack.score(rollouts, 1).metrics == metrics


def test_timings_are_apart_from_the_metrics(make_stack: Make, kit: Any) -> None:
    scored = make_stack({"r": inline(lambda text: 1.0)}).score([kit.rollout(["a", "b"])], 1)
    assert set(scored.timings) == {"rewards/r/seconds_mean", "rewards/r/seconds_max"}
    assert not any("seconds" in name for name in scored.metrics)


def test_a_format_that_raises_is_named(make_stack: Make, kit: Any) -> None:
    class Raises:
        instructions = ""

        def parse(self, text: str) -> Any:
            raise IndexError("no such group")

    stack = make_stack({"r": inline(lambda text: 1.0)}, format=Raises())
    with pytest.raises(RewardError, match="Raises raised IndexError"):
        stack.score([kit.rollout(["a"])], 1)


def test_gold_answers_meet_the_rewards_that_compare_with_them(make_stack: Make) -> None:
    @inline
    def exact(answer: str, reference: Any) -> bool:
        return answer == str(reference).lower()

    @inline
    def careful(text: str, reference: Any) -> float | None:
        if reference == "boom":
            raise ValueError("no")
        return None

    @inline
    def unlike(text: str, reference: Any) -> float:
        return 0.0

    @inline
    def short(text: str) -> float:
        return 0.0

    stack = make_stack(
        {"exact": exact, "careful": careful, "unlike": unlike, "short": short}, {"unlike": {"weight": -1.0}}
    )
    samples = [Sample(one, "p", gold) for one, gold in {"a": "x", "b": "X", "c": 3, "d": "boom", "e": None}.items()]
    reasons = stack.judge_references([*samples, Sample("f", "p", ["list"])])
    assert set(reasons) == {"b", "d"}
    assert "'X'" in reasons["b"]
    assert "exact" in reasons["b"]
    assert "raised.ValueError" in reasons["d"]


def test_a_step_keeps_what_engines_said(make_stack: Make, kit: Any) -> None:
    given: Rollout = kit.rollout(["a", "b"])
    group = make_stack({"r": inline(lambda text: 1.0)}).score([given], 1).groups[0]
    assert group.prompt is given.prompt
    assert tuple(one.generated for one in group.completions) == given.completions
    assert [one.completion.index for one in group.completions] == [0, 1]
    assert [one.advantage for one in group.completions] == [0.0, 0.0]
