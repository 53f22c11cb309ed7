"""What is wrong with a configuration's rewards is found before anything runs, and said so that it can be mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

import lydite
from lydite.builtin import Plain
from lydite.errors import ConfigError, UnknownNameError
from lydite.plugins import Plugins
from lydite.rewards import build_eval_stack, build_stack


def exact(answer: str, reference: str, *, strict: bool = False, tolerance: float = 0.0) -> bool:
    return answer == reference


def sourced(answer: str, source: str, level: int = 1) -> float:
    return float(source in answer) * level


@lydite.reward(range=(0.0, 1.0))
def ranged(text: str) -> float:
    return 0.5


def takes_text(completion: str, reference: str) -> float:
    return float(reference in completion)


async def judged(text: str, judge: Any) -> float:
    return float(await judge([{"role": "user", "content": text}]))


def trl(completions: list[str], solution: list[str], *, scale: float = 1.0, **kwargs: Any) -> list[float]:
    return [scale] * len(completions)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exact": exact,
    "sourced": sourced,
    "ranged": ranged,
    "judged": judged,
    "trl": trl,
}


@pytest.fixture
def plugins(no_plugins: Plugins) -> Plugins:
    return no_plugins.with_functions(FUNCTIONS)


@pytest.mark.parametrize(
    ("rewards", "tables", "said"),
    [
        ({"r": {"use": "exakt"}}, {}, "did you mean 'exact'"),
        ({"r": {"use": "exact", "options": {"tolerence": 1}}}, {}, "did you mean 'tolerance'"),
        ({"r": {"use": "exact", "options": {"strict": "perhaps"}}}, {}, "'strict'.*must be bool"),
        ({"r": {"use": "trl", "options": {"scael": 2}}}, {}, "no option 'scael'; did you mean 'scale'"),
        ({"r": {"use": "judged"}}, {}, "asks for a judge"),
        ({"r": {"use": "judged", "judge": "gpt"}}, {}, "no plugin offers the judge 'gpt'"),
        ({"r": {"use": "exact", "judge": "gpt"}}, {}, "asks for no judge"),
        ({"r": {"use": "exact", "rescale": [0, 1]}}, {}, "rewards.r.range"),
        ({"r": {"use": "ranged", "rescale": [1, 1]}}, {}, "maps everything onto"),
        ({"r": {"use": "ranged", "range": [0, 2]}}, {}, "declares the range"),
        ({"r": {"use": "exact", "weight": 0.0}}, {}, "nothing can be learned"),
        (
            {"a": {"use": "exact", "fallback_for": "b"}, "b": {"use": "exact", "fallback_for": "a"}},
            {},
            "a, b fall back on each other",
        ),
        ({"a": {"use": "exact", "gate": True}, "b": {"use": "ranged", "fallback_for": "a"}}, {}, "is a gate"),
        ({"a": {"use": "exact"}, "b": {"use": "ranged", "gate": True, "fallback_for": "a"}}, {}, "gate and a fallback"),
        (
            {"length": {"use": "exact"}},
            {"length": {"kind": "cosine", "only_if": "length", "max_length": 9}},
            "rename it",
        ),
    ],
)
def test_a_contradiction_is_an_error_that_says_what_to_do(
    plugins: Plugins, kit: Any, rewards: Mapping[str, Any], tables: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        build_stack(kit.run_config(rewards, **tables), plugins, Plain())


def test_an_unknown_reward_is_an_unknown_name(plugins: Plugins, kit: Any) -> None:
    with pytest.raises(UnknownNameError):
        build_stack(kit.run_config({"r": {"use": "nowhere"}}), plugins, Plain())


def test_columns_are_known_before_anything_runs(plugins: Plugins, kit: Any) -> None:
    config = kit.run_config({"a": {"use": "sourced"}, "b": {"use": "trl"}, "c": {"use": "exact"}})
    stack = build_stack(config, plugins, Plain())
    stack.check_columns(["source", "solution"])
    with pytest.raises(ConfigError, match=r"reward 'a' \(sourced of .*'source'.*did you mean 'sources'"):
        stack.check_columns(["sources", "solution"])
    with pytest.raises(ConfigError, match=r"reward 'b'.*'solution'"):
        stack.check_columns(["source"])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda *args: 1.0, "names nothing that it judges"),
        (lambda **columns: 1.0, "names nothing that it judges"),
        (takes_text, "name `text: str` for the whole text"),
    ],
)
def test_a_function_that_would_be_given_nothing_of_use_is_refused(
    no_plugins: Plugins, kit: Any, function: Callable[..., Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        build_stack(kit.run_config({"r": {"use": "f"}}), no_plugins.with_functions({"f": function}), Plain())


def test_a_group_reward_cannot_ask_for_one_completion(no_plugins: Plugins, kit: Any) -> None:
    with pytest.raises(ConfigError, match="group reward and asks for 'answer'"):
        build_stack(kit.run_config({"r": {"use": "g"}}), with_group(no_plugins, lambda group, answer: []), Plain())


def with_group(plugins: Plugins, function: Callable[..., Any]) -> Plugins:
    from dataclasses import replace

    from lydite.plugins import Offer

    owner = plugins.with_functions({"x": function}).offers["rewards"]["x"].owner
    return replace(
        plugins, offers={**plugins.offers, "group_rewards": {"g": Offer("group_rewards", "g", function, owner)}}
    )


def test_what_cannot_be_pickled_is_refused_unless_it_runs_inline(no_plugins: Plugins, kit: Any) -> None:
    import threading

    lock = threading.Lock()

    def holds(text: str) -> float:
        with lock:
            return 1.0

    config = kit.run_config({"r": {"use": "holds"}})
    with pytest.raises(ConfigError, match=r"isolation=.inline"):
        build_stack(config, no_plugins.with_functions({"holds": holds}), Plain())
    inline = lydite.reward(isolation="inline")(holds)
    stack = build_stack(config, no_plugins.with_functions({"holds": inline}), Plain())
    assert stack.score([kit.rollout(["x"])], 1).groups[0].completions[0].reward == 1.0


def test_the_evaluation_has_its_own_stack(plugins: Plugins, kit: Any) -> None:
    config = kit.run_config({"r": {"use": "ranged"}}, eval={"reward": {"use": "exact"}, "metric": "share right"})
    stack = build_eval_stack(config, plugins, Plain())
    try:
        assert stack.names == ("share right",)
        scored = stack.score([kit.rollout(["x", "y"], reference="x")], 0)
        assert [one.reward for one in scored.groups[0].completions] == [1.0, 0.0]
    finally:
        stack.close()
    with pytest.raises(ConfigError, match="no \\[eval\\]"):
        build_eval_stack(kit.run_config({"r": {"use": "ranged"}}), plugins, Plain())


def test_a_shared_pool_outlives_the_stack_that_borrowed_it(plugins: Plugins, kit: Any) -> None:
    config = kit.run_config({"r": {"use": "ranged"}}, eval={"reward": {"use": "exact"}})
    stack = build_stack(config, plugins, Plain())
    try:
        evaluation = build_eval_stack(config, plugins, Plain(), pool=stack.pool)
        assert evaluation.score([kit.rollout(["x"], reference="x")], 0).groups[0].completions[0].reward == 1.0
        evaluation.close()
        assert stack.score([kit.rollout(["x"])], 1).groups[0].completions[0].reward == 0.5
    finally:
        stack.close()
