"""Batch functions written for TRL run unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import lydite
from lydite.types import Status

inline = lydite.reward(isolation="inline")
Make = Callable[..., Any]


def scores(scored: Any, name: str) -> list[float | None]:
    return [one.components[name].verdict.score for group in scored.groups for one in group.completions]


def test_it_is_given_the_whole_step_by_name(make_stack: Make, kit: Any) -> None:
    seen: dict[str, Any] = {}

    @inline
    def spy(prompts: Any, completions: Any, solution: Any, **kwargs: Any) -> list[float | None]:
        seen.update(prompts=prompts, completions=completions, solution=solution, **kwargs)
        kwargs["log_extra"]("seen", [len(one) for one in completions])
        kwargs["log_metric"]("spied", 3.0)
        return [float(one == gold) if gold else None for one, gold in zip(completions, solution, strict=True)]

    stack = make_stack({"spy": spy})
    rollouts = [
        kit.rollout(["x", "yy"], id="1", columns={"solution": "x", "level": 1}),
        kit.rollout(["x", "y"], id="2", columns={"solution": None, "level": 2}),
    ]
    scored = stack.score(rollouts, 5)
    assert scores(scored, "spy") == [1.0, 0.0, None, None]
    assert seen["prompts"] == ["what?"] * 4
    assert seen["completions"] == ["x", "yy", "x", "y"]
    assert seen["completion_ids"] == [[0, 1], [0, 1, 2], [0, 1], [0, 1]]
    assert seen["level"] == [1, 1, 2, 2]
    assert seen["trainer_state"].global_step == 4
    verdict = scored.groups[0].completions[1].components["spy"].verdict
    assert [(one.text, one.note) for one in verdict.evidence] == [("2", "seen")]
    assert scored.metrics["spied"] == 3.0


def test_conversations_come_as_messages(make_stack: Make, kit: Any) -> None:
    seen: list[Any] = []

    @inline
    def spy(prompts: Any, completions: Any, **kwargs: Any) -> list[float]:
        seen.extend([prompts, completions])
        return [1.0]

    prompt = ({"role": "user", "content": "what?"},)
    make_stack({"spy": spy}).score([kit.rollout(["x"], prompt=prompt)], 1)
    assert seen == [[[{"role": "user", "content": "what?"}]], [[{"role": "assistant", "content": "x"}]]]


def test_a_function_without_kwargs_gets_only_what_it_names(make_stack: Make, kit: Any) -> None:
    @inline
    def plain(completions: list[str], level: list[int], extra: list[int] | None = None) -> list[float]:
        assert extra is None
        return [float(one) for one in level]

    stack = make_stack({"plain": plain})
    assert scores(stack.score([kit.rollout(["x"], columns={"level": 4, "other": 1})], 1), "plain") == [4.0]


def test_the_gold_answers_come_under_reference(make_stack: Make, kit: Any) -> None:
    @inline
    def gold(completions: list[str], reference: list[str]) -> list[float]:
        return [float(one == right) for one, right in zip(completions, reference, strict=True)]

    assert scores(make_stack({"gold": gold}).score([kit.rollout(["x", "y"], reference="x")], 1), "gold") == [1.0, 0.0]


def test_options_are_its_keyword_only_parameters(make_stack: Make, kit: Any) -> None:
    @inline
    def scaled(completions: list[str], *, scale: float, trainer_state: Any, **kwargs: Any) -> list[float]:
        return [scale * (trainer_state.global_step + 1)] * len(completions)

    stack = make_stack({"scaled": scaled}, {"scaled": {"options": {"scale": "0.5"}}})
    assert scores(stack.score([kit.rollout(["x"])], 2), "scaled") == [1.0]


def test_async_ones_run_too(make_stack: Make, kit: Any) -> None:
    async def slow(completions: list[str], **kwargs: Any) -> list[float]:
        await asyncio.sleep(0.01)
        return [float(len(one)) for one in completions]

    assert scores(make_stack({"slow": slow}).score([kit.rollout(["x", "yy"])], 1), "slow") == [1.0, 2.0]


@pytest.mark.parametrize("returned", [[1.0], [1.0] * 3, "12", None, 1.0])
def test_anything_but_one_reward_per_completion_is_an_error(make_stack: Make, kit: Any, returned: Any) -> None:
    stack = make_stack({"wrong": inline(lambda completions, **kwargs: returned)})
    group = stack.score([kit.rollout(["x", "y"])], 1).groups[0]
    assert [one.components["wrong"].verdict.status for one in group.completions] == [Status.ERROR] * 2


def test_one_completion_that_hangs_a_batch_is_the_only_one_to_lose(make_stack: Make, kit: Any) -> None:
    def hangs(completions: list[str], level: list[int], **kwargs: Any) -> list[float]:
        while "hang" in completions:
            pass
        return [float(one) for one in level]

    stack = make_stack({"hangs": hangs}, {"hangs": {"timeout": 1.0}})
    group = stack.score([kit.rollout(["a", "hang", "b"], columns={"level": 2})], 1).groups[0]
    assert [one.components["hangs"].verdict.status.value for one in group.completions] == ["ok", "timeout", "ok"]
    assert [one.reward for one in group.completions] == [2.0, 0.0, 2.0]


def test_trls_own_rewards_run_unchanged(make_stack: Make, kit: Any) -> None:
    """The sources of TRL's reward module, without importing TRL, whose package imports torch."""
    import importlib.util
    import sys
    from pathlib import Path

    package = importlib.util.find_spec("trl")
    if package is None or package.origin is None:
        pytest.skip("TRL is not installed")
    loaded = {}
    for name in ("format_rewards", "other_rewards"):
        spec = importlib.util.spec_from_file_location(
            f"lydite_test_trl_{name}", Path(package.origin).parent / "rewards" / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        loaded[name] = module
    functions = {
        "format": loaded["format_rewards"].think_format_reward,
        "repetition": loaded["other_rewards"].get_repetition_penalty_reward(ngram_size=2),
        "overlong": loaded["other_rewards"].get_soft_overlong_punishment(10, 4),
    }
    prompt = ({"role": "user", "content": "what?"},)
    stack = make_stack(functions)
    scored = stack.score([kit.rollout(["<think>a</think>b", "b"], prompt=prompt, tokens=[8, 20])], 1)
    assert scores(scored, "format") == [1.0, 0.0]
    assert scores(scored, "repetition") == [0.0, 0.0]
    assert scores(scored, "overlong") == [-0.5, -1.0]
