"""An option that the run's algorithm does not have is an error when the configuration is read."""

from __future__ import annotations

from typing import Any

import pytest

from lydite.config import ALGORITHM_NAMES, RunConfig, TrainConfig
from lydite.config.algorithms import NOT_IN
from lydite.configfile import read_config
from lydite.errors import ConfigError, UnknownNameError
from lydite.plugins import load_plugins
from lydite.prepare import algorithm_factory

BASE: dict[str, Any] = {"model": {"path": "m"}, "data": {"use": "jsonl"}, "rewards": {"a": {"use": "b"}}}


def problem(**tables: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config({**BASE, **tables})
    return str(caught.value)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"ppo": {}}, 'ppo is the table of algorithm = "ppo", and this run has algorithm = "grpo"'),
        ({"algorithm": "ppo", "rloo": {}}, 'rloo is the table of algorithm = "rloo"'),
        ({"algorithm": "pp", "ppo": {}}, "did you mean 'ppo'"),
        ({"algorithm": "ppo", "ppo": {"lamda": 0.9}}, "did you mean 'lam'"),
        ({"algorithm": "ppo", "ppo": {"kl_estimator": "k4"}}, 'expected "k1"'),
        (
            {"algorithm": "online_dpo", "train": {"loss_type": "grpo"}},
            "train.loss_type = 'grpo' is no option of algorithm = \"online_dpo\"; set online_dpo.loss_type",
        ),
        ({"algorithm": "online_dpo", "train": {"epsilon": 0.1}}, "train.epsilon = 0.1 is no option"),
        ({"algorithm": "online_dpo", "train": {"vllm_importance_sampling_mode": "token_mask"}}, "is no option"),
        ({"algorithm": "rloo", "train": {"beta": 0.1}}, "set rloo.beta, which is taken off the reward"),
        ({"algorithm": "rloo", "train": {"scale_rewards": "none"}}, "train.scale_rewards = 'none' is no option"),
        ({"algorithm": "rloo", "stack": {"aggregate": "normalize_then_sum"}}, "takes the total as it is"),
        ({"algorithm": "ppo", "train": {"beta": 0.1}}, "set ppo.kl_coef"),
        ({"algorithm": "ppo", "train": {"loss_type": "cispo"}}, "take one of grpo, bnpo, dr_grpo, dapo"),
        ({"algorithm": "rloo", "rloo": {"reward_clip_range": [1.0, -1.0]}}, "goes from low to high, got [1.0, -1.0]"),
        (
            {"algorithm": "ppo", "ppo": {"bootstrap_truncated": True}, "train": {"mask_truncated_completions": True}},
            "ppo.bootstrap_truncated = true goes on behind completions that ran into the limit",
        ),
        (
            {"train": {"beta": 0.1, "use_kl_in_reward": True}, "stack": {"aggregate": "normalize_then_sum"}},
            "train.use_kl_in_reward = true takes the KL off the total reward",
        ),
        (
            {"algorithm": "rloo", "train": {"beta": 0.1, "use_kl_in_reward": True}},
            "set rloo.beta, which always is taken off the reward",
        ),
        (
            {"algorithm": "ppo", "train": {"beta": 0.1, "use_kl_in_reward": True}},
            "set ppo.kl_coef, which always is taken off the reward",
        ),
        ({"train": {"num_generations": 1}}, "train.num_generations = 1 leaves nothing to measure"),
        ({"algorithm": "ppo", "algorithm_options": {"lam": 1.0}}, 'the options of "ppo" go into [ppo]'),
        (
            {
                "algorithm": "online_dpo", "online_dpo": {"pairs": "ranked"},
                "train": {"num_generations": 3, "per_device_train_batch_size": 6},
            },
            "train.num_generations = 3 is odd",
        ),
        (
            {
                "algorithm": "online_dpo",
                "train": {"num_generations": 8, "per_device_train_batch_size": 4, "steps_per_generation": 2},
            },
            "an update has 4 completions",
        ),
        (
            {
                "algorithm": "online_dpo",
                "train": {
                    "num_generations": 2, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4,
                },
            },
            "has no room for a pair",
        ),
    ],
)  # fmt: skip
def test_what_an_algorithm_does_not_have(tables: dict[str, Any], said: str) -> None:
    assert said in problem(**tables)


def test_an_odd_group_has_a_best_and_a_worst() -> None:
    train = {"num_generations": 3, "per_device_train_batch_size": 6}
    assert read_config({**BASE, "algorithm": "online_dpo", "train": train}).train.num_generations == 3


@pytest.mark.parametrize("name", ALGORITHM_NAMES)
def test_each_takes_the_defaults_and_reads_back_what_it_wrote(name: str) -> None:
    from lydite.configfile import write_config

    tables: dict[str, Any] = {} if name == "grpo" else {name: {}}
    config = read_config({**BASE, "algorithm": name, **tables})
    again = RunConfig.model_validate(__import__("tomllib").loads(write_config(config)))
    assert again == config


def test_the_keys_that_an_algorithm_does_not_have_are_keys_of_train() -> None:
    keys = {key for keys in NOT_IN.values() for key in keys}
    assert keys <= set(TrainConfig.model_fields)
    assert set(NOT_IN) == set(ALGORITHM_NAMES)


def test_an_unknown_algorithm_is_told_before_a_model_is_loaded() -> None:
    config = read_config({**BASE, "algorithm": "rlo"})
    with pytest.raises(UnknownNameError, match=r"the algorithm 'rlo'.*'rloo'"):
        algorithm_factory(config, load_plugins(allow=()))
