"""Attacks on a run's own rewards: what they find, what they leave alone, and what of it is written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.builtin import Plain
from lydite.config import ProbesConfig, RunConfig
from lydite.errors import RewardError
from lydite.plugins import Plugins, load_plugins
from lydite.probes import ProbeRound, Probes
from lydite.rewards import RewardStack, build_stack
from lydite.types import Generated, Prompt, Rollout, Sample


def right(answer: str, reference: str) -> bool:
    return answer.strip() == reference


def holds_it(text: str, reference: str) -> bool:
    return reference in text


@lydite.reward(pays_for="form")
def short(text: str) -> bool:
    return len(text) < 500


@lydite.reward(range=(-1.0, 0.0))
def penalty(text: str) -> float:
    return 0.0


def breaks(text: str) -> float:
    raise RuntimeError("out of order")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "right": right,
    "holds_it": holds_it,
    "short": short,
    "penalty": penalty,
    "breaks": breaks,
}
PROMPT = Prompt(Sample("s1", "What is 20 + 22?", "42"), "What is 20 + 22?", (1, 2))


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins(allow=("lydite-judges",)).with_functions(FUNCTIONS)


Make = Callable[..., tuple[Probes, RewardStack]]


@pytest.fixture
def make(plugins: Plugins) -> Iterator[Make]:
    made: list[RewardStack] = []

    def probes(rewards: Mapping[str, Any], max_steps: int = 100, **settings: Any) -> tuple[Probes, RewardStack]:
        config = RunConfig.model_validate(
            {"model": {"path": "none"}, "data": {"use": "none"}, "rewards": rewards, "probes": settings}
        )
        stack = build_stack(config, plugins, Plain())
        made.append(stack)
        return Probes(stack, config.probes, Plain(), max_steps, lambda text: tuple(range(len(text)))), stack

    yield probes
    for stack in made:
        stack.close()


def passed(round: ProbeRound, name: str) -> set[str]:
    return {one["attack"] for one in round.records if name in one["paid"]}


def test_a_reward_that_compares_pays_no_attack_and_one_that_searches_pays_several(make: Make) -> None:
    probes, _ = make({"right": {"use": "right"}, "holds": {"use": "holds_it"}})
    found = probes.round([PROMPT], 20)
    assert passed(found, "right") == set()
    assert {"enumeration", "two-answers"} <= passed(found, "holds")
    assert found.metrics["probes/right/passed"] == 0.0
    share = len([one for one in found.records if "holds" in one["paid"]]) / len(found.records)
    assert found.metrics["probes/holds/passed"] == share == found.metrics["probes/paid"]
    assert all(one["gold_total"] == 2.0 for one in found.records)


def test_a_form_is_shown_only_texts_without_content_and_a_penalty_none(make: Make) -> None:
    probes, stack = make({"right": {"use": "right"}, "short": {"use": "short"}, "low": {"use": "penalty"}})
    assert stack.names_that_pay_for("answer") == ("right",)
    assert stack.names_that_pay_for("form") == ("short",)
    found = probes.round([PROMPT], 20)
    shown = {one["attack"] for one in found.records if one["about"] == ["short"]}
    assert {"empty", "tags-only"} <= shown
    assert "enumeration" not in shown
    assert found.metrics["probes/short/passed"] > 0.5  # an empty text is short, and this reward asks for no more
    assert "probes/low/passed" not in found.metrics


@pytest.mark.parametrize(("step", "due"), [(1, False), (19, False), (20, True), (40, True), (99, False), (100, True)])
def test_they_come_every_so_many_steps_and_at_the_last(make: Make, step: int, due: bool) -> None:
    probes, _ = make({"right": {"use": "right"}})
    assert bool(probes.round([PROMPT], step).records) is due


def test_none_are_asked_for(make: Make) -> None:
    probes, _ = make({"right": {"use": "right"}}, steps=0)
    assert probes.round([PROMPT], 100) == ProbeRound()


def test_an_error_in_a_probe_stops_no_run(make: Make) -> None:
    probes, stack = make({"broken": {"use": "breaks"}})
    before = stack.state_dict()
    for step in (20, 40, 60, 80):
        assert probes.round([PROMPT], step).metrics["probes/broken/passed"] == 0.0
    assert stack.state_dict() == before
    sampled = Rollout(PROMPT, tuple(Generated((1,), str(n), "", "stop") for n in range(200)))
    with pytest.raises(RewardError):  # what is sampled still counts
        stack.score([sampled], 1)


def test_judges_see_canaries_at_every_step_and_no_matrix(make: Make) -> None:
    judged = {"use": "judge/yes", "judge": "openai", "options": {"question": "Is it kind?"}}
    judged["judge_options"] = {"base_url": "http://127.0.0.1:9/v1", "model": "none", "retries": 0}
    probes, stack = make({"kind": judged})
    assert stack.judged_names == ("kind",)
    assert stack.names_that_pay_for("answer") == stack.names_that_pay_for("form") == ()
    found = probes.round([PROMPT], 3)
    assert {one["kind"] for one in found.records} == {"canary"}
    assert "empty" in {one["attack"] for one in found.records}
    assert found.metrics == {"canaries/kind/passed": 0.0}
    statuses = {one["attack"]: one["rewards"]["kind"]["status"] for one in found.records}
    assert statuses["empty"] == "ok"  # refused unasked
    assert "error" in statuses.values()  # nobody listens there: an outage, not a score
    quiet, _ = make({"kind": judged}, canaries=False)
    assert quiet.round([PROMPT], 3) == ProbeRound()


def test_records_are_json_and_short(make: Make) -> None:
    probes, _ = make({"right": {"use": "right"}})
    for record in probes.round([PROMPT], 20).records:
        assert len(json.dumps(record)) < 5_000
        assert record["about"] == ["right"]


def test_config_defaults() -> None:
    assert ProbesConfig() == ProbesConfig(steps=20, prompts=1, canaries=True)


def test_a_run_writes_them_down(settings: dict[str, Any], here: Path) -> None:
    settings["probes"] = {"steps": 2}
    folder = lydite.train(settings, display="none").folder
    records = [json.loads(line) for line in (folder / "probes.jsonl").read_text().splitlines()]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {one["step"] for one in records} == {one["step"] for one in metrics if "probes/paid" in one}
    assert records
