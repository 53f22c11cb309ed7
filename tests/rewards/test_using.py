"""A reward that calls others by name: bound and checked with it, run where it runs, and never able to break it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import lydite
from lydite import CallReward, Completion, RewardUse, Sample, Status, Verdict
from lydite.builtin import Plain
from lydite.errors import ConfigError, UnknownNameError
from lydite.plugins import Plugins
from lydite.rewards import build_stack


def named(options: Mapping[str, Any]) -> dict[str, RewardUse]:
    return {"part": RewardUse(options["part"], options.get("settings", {}))}


@lydite.reward(range=(0.0, 1.0), uses=named)
async def outer(
    completion: Completion, sample: Sample, rewards: CallReward, *, part: str, settings: dict[str, Any] | None = None
) -> Verdict:
    verdict = await rewards("part", completion, sample)
    return Verdict(
        0.5 if verdict.score is None else verdict.score, reason=verdict.status.value, parts={"part": verdict}
    )


def exact(answer: str, reference: str, *, strict: bool = False) -> bool:
    return answer == reference if strict else answer.lower() == reference.lower()


async def later(text: str, source: str) -> float:
    return float(source in text)


def broken(text: str) -> float:
    raise RuntimeError("no dictionary")


@lydite.reward(range=(0.0, 1.0), isolation="inline", uses=named)
async def inline_outer(completion: Completion, sample: Sample, rewards: CallReward, *, part: str) -> Verdict:
    return await rewards("part", completion, sample)


async def asks_if_it_can(text: str, judge: Any = None) -> float:
    return 0.25 if judge is None else float(await judge([{"role": "user", "content": text}]))


def of_trl(completions: list[str]) -> list[float]:
    return [1.0] * len(completions)


FUNCTIONS = {
    "outer": outer,
    "inline_outer": inline_outer,
    "exact": exact,
    "later": later,
    "broken": broken,
    "asks_if_it_can": asks_if_it_can,
    "of_trl": of_trl,
}


@pytest.fixture
def plugins(no_plugins: Plugins) -> Plugins:
    return no_plugins.with_functions(FUNCTIONS)


def scores_of(plugins: Plugins, kit: Any, options: Mapping[str, Any], *, use: str = "outer", **sample: Any) -> Any:
    config = kit.run_config({"r": {"use": use, "options": options}}, stack={"max_error_share": 1.0})
    stack = build_stack(config, plugins, kit.Tagged())
    try:
        scored = stack.score([kit.rollout(sample.pop("texts"), **sample)], 1)
    finally:
        stack.close()
    return [one.components["r"].verdict for one in scored.groups[0].completions]


@pytest.mark.parametrize("use", ["outer", "inline_outer"])
def test_it_is_called_with_its_own_options(plugins: Plugins, kit: Any, use: str) -> None:
    texts = ["A: Paris", "A: paris", "A: Rome"]
    loose = scores_of(plugins, kit, {"part": "exact"}, use=use, texts=texts, reference="Paris")
    assert [one.score for one in loose] == [1.0, 1.0, 0.0]
    if use == "outer":
        strict = {"part": "exact", "settings": {"strict": True}}
        assert [one.score for one in scores_of(plugins, kit, strict, texts=texts, reference="Paris")] == [1.0, 0.0, 0.0]


def test_one_that_is_awaited_gets_its_columns(plugins: Plugins, kit: Any) -> None:
    verdicts = scores_of(plugins, kit, {"part": "later"}, texts=["see § 7", "see § 8"], columns={"source": "§ 7"})
    assert [one.score for one in verdicts] == [1.0, 0.0]


def test_a_broken_format_is_the_worst_for_one_that_wants_an_answer(plugins: Plugins, kit: Any) -> None:
    (verdict,) = scores_of(plugins, kit, {"part": "exact"}, texts=["Paris"], reference="Paris")
    assert verdict.parts["part"].reason == "format.answer.missing"
    assert verdict.score == 0.0


def test_what_it_raises_is_a_verdict_for_its_caller(plugins: Plugins, kit: Any) -> None:
    (verdict,) = scores_of(plugins, kit, {"part": "broken"}, texts=["x"])
    assert verdict.score == 0.5
    assert verdict.parts["part"].status is Status.ERROR
    assert verdict.parts["part"].reason == "raised.RuntimeError"
    assert "no dictionary" in verdict.parts["part"].evidence[0].text


def test_a_judge_with_a_default_may_be_left_out(plugins: Plugins, kit: Any) -> None:
    (verdict,) = scores_of(plugins, kit, {}, use="asks_if_it_can", texts=["x"])
    assert verdict.score == 0.25


def test_a_judge_may_be_needed_by_the_options(no_plugins: Plugins, kit: Any) -> None:
    @lydite.reward(needs_judge=lambda options: bool(options.get("strict")))
    async def may_ask(text: str, judge: Any = None, *, strict: bool = False) -> float:
        return 1.0

    plugins = no_plugins.with_functions({"may_ask": may_ask})
    build_stack(kit.run_config({"r": {"use": "may_ask"}}), plugins, Plain())
    with pytest.raises(ConfigError, match="asks for a judge"):
        build_stack(kit.run_config({"r": {"use": "may_ask", "options": {"strict": True}}}), plugins, Plain())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"part": "exakt"}, "reward 'r'.*'part'.*did you mean 'exact'"),
        ({"part": "exact", "settings": {"strictt": True}}, "'part'.*did you mean 'strict'"),
        ({"part": "of_trl"}, "more than one completion"),
        ({"part": "outer", "settings": {"part": "outer", "settings": {"part": "exakt"}}}, "did you mean 'exact'"),
    ],
)
def test_it_is_checked_when_the_configuration_is_read(
    plugins: Plugins, kit: Any, options: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        build_stack(kit.run_config({"r": {"use": "outer", "options": options}}), plugins, Plain())


def test_an_unknown_name_stays_an_unknown_name(plugins: Plugins, kit: Any) -> None:
    with pytest.raises(UnknownNameError):
        build_stack(kit.run_config({"r": {"use": "outer", "options": {"part": "nothing"}}}), plugins, Plain())


def test_a_circle_is_found(no_plugins: Plugins, kit: Any) -> None:
    def circular(options: Mapping[str, Any]) -> dict[str, RewardUse]:
        return {"again": RewardUse("around")}

    @lydite.reward(uses=circular)
    async def around(completion: Completion, sample: Sample, rewards: CallReward) -> Verdict:
        return await rewards("again", completion, sample)

    with pytest.raises(ConfigError, match="circle"):
        build_stack(kit.run_config({"r": {"use": "around"}}), no_plugins.with_functions({"around": around}), Plain())


def test_a_bad_file_is_the_configurations_error(no_plugins: Plugins, kit: Any) -> None:
    def bad(options: Mapping[str, Any]) -> dict[str, RewardUse]:
        raise ValueError("rubric.toml: criterion 2 has no points")

    @lydite.reward(uses=bad)
    async def rubric(completion: Completion, sample: Sample, rewards: CallReward) -> float:
        return 0.0

    with pytest.raises(ConfigError, match="criterion 2 has no points"):
        build_stack(kit.run_config({"r": {"use": "rubric"}}), no_plugins.with_functions({"rubric": rubric}), Plain())


def test_asking_for_rewards_without_naming_any_is_an_error(no_plugins: Plugins, kit: Any) -> None:
    async def nothing(completion: Completion, sample: Sample, rewards: CallReward) -> float:
        return 0.0

    with pytest.raises(ConfigError, match="uses="):
        build_stack(kit.run_config({"r": {"use": "nothing"}}), no_plugins.with_functions({"nothing": nothing}), Plain())


def test_columns_of_the_called_are_needed(plugins: Plugins, kit: Any) -> None:
    stack = build_stack(kit.run_config({"r": {"use": "outer", "options": {"part": "later"}}}), plugins, Plain())
    stack.check_columns(["source"])
    with pytest.raises(ConfigError, match="'source'"):
        stack.check_columns(["other"])
