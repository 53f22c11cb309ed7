"""Several tries at a task of reasoning-gym."""

from __future__ import annotations

import pytest

from lydite import DataError, Observation, Sample
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import load_plugins
from lydite_reasoning_gym import tasks
from lydite_reasoning_gym.tries import AGAIN, Tries


def first(task: str) -> Sample:
    return next(iter(tasks(task=task)))


def test_each_try_is_worth_less() -> None:
    sample = first("chain_sum")
    for wrong, worth in ((0, 1.0), (1, 0.4), (2, 0.16)):
        tries = Tries(discount=0.4)
        assert tries.reset(sample) == ()
        for _ in range(wrong):
            assert tries.step("no idea") == Observation(AGAIN, reward=0.0)
        last = tries.step(f" {sample.reference} ")
        assert last.done
        assert last.reward == pytest.approx(worth)


@pytest.mark.parametrize("task", ["countdown", "n_queens"])
def test_tasks_that_evaluate_answers_are_refused(task: str) -> None:
    with pytest.raises(DataError, match="worker process"):
        Tries().reset(first(task))


def test_a_sample_of_other_data_is_refused() -> None:
    with pytest.raises(DataError, match="no task of it"):
        Tries().reset(Sample("s", "?"))


def test_a_task_that_cannot_judge_is_an_error_and_no_wrong_answer() -> None:
    tries = Tries()
    tries.reset(Sample("s", "?", columns={"task": {"name": "no_such_task", "config": {}, "entry": {}}}))
    with pytest.raises(RuntimeError, match=r"task\.unknown"):
        tries.step("4")


def test_it_is_offered_with_its_option() -> None:
    offer = load_plugins(allow=["lydite-reasoning-gym"]).find("environments", "reasoning-gym/tries")
    assert check_options("environment", offer.thing, {"discount": 0.9}) == {"discount": 0.9}
    with pytest.raises(ConfigError, match="'discount' of environment must be float"):
        check_options("environment", offer.thing, {"discount": 0.0})
