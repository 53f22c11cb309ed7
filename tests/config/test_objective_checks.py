"""Options that a loss or an estimator does not have are refused, with what it has."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from lydite.config import TrainConfig
from lydite.config.objective_checks import LOSSES_WITH, SCALES

ANOTHER = {"dppo_divergence": "kl", "importance_sampling_level": "sequence", "delta": 1.5, "epsilon_high": 3.0}


def refused(**train: Any) -> str:
    with pytest.raises(ValidationError) as problem:
        TrainConfig(**train)
    return str(problem.value)


@pytest.mark.parametrize("loss", get_args(TrainConfig.model_fields["loss_type"].annotation))
def test_a_loss_takes_its_own_options_and_no_other(loss: Any) -> None:
    for key, losses in LOSSES_WITH.items():
        value = ANOTHER.get(key, 0.15)
        if loss in losses:
            assert getattr(TrainConfig(loss_type=loss, **{key: value}), key) == value
        else:
            said = refused(loss_type=loss, **{key: value})
            assert f'{key} = {value!r} is no option of loss_type = "{loss}", which has' in said
            assert all(f'"{other}"' in said for other in losses), "the losses that have it"


def test_the_losses_that_have_an_option_are_losses() -> None:
    known = set(get_args(TrainConfig.model_fields["loss_type"].annotation))
    assert {loss for losses in LOSSES_WITH.values() for loss in losses} <= known
    assert set(SCALES) == set(get_args(TrainConfig.model_fields["advantage_estimator"].annotation))


def test_a_saved_configuration_that_spells_defaults_out_is_read_again() -> None:
    for train in (TrainConfig(loss_type="sapo"), TrainConfig(advantage_estimator="reinforce_plus_plus")):
        spelt = {key: value for key, value in train.model_dump().items() if value is not None}
        assert TrainConfig.model_validate(spelt) == train


@pytest.mark.parametrize(
    ("estimator", "default"),
    [
        ("group", "group"),
        ("leave_one_out", "none"),
        ("reinforce_plus_plus", "batch"),
        ("reinforce_plus_plus_baseline", "batch"),
        ("pass_at_k", "group"),
    ],
)
def test_an_estimator_brings_its_scale_along(estimator: Any, default: str) -> None:
    assert TrainConfig(advantage_estimator=estimator).scale_rewards == default
    for scale in ("group", "batch", "none"):
        if scale in SCALES[estimator]:
            assert TrainConfig(advantage_estimator=estimator, scale_rewards=scale).scale_rewards == scale
        else:
            said = refused(advantage_estimator=estimator, scale_rewards=scale)
            assert f'scale_rewards = "{scale}" does not go with advantage_estimator = "{estimator}"' in said


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"loss_type": "luspo", "importance_sampling_level": "token"}, "scales the loss of whole sequences"),
        ({"loss_type": "cispo", "epsilon_high": 0.28}, "it is the largest ratio itself, not its distance from 1"),
        ({"beta": 0.1, "kl_estimator": "k1", "use_bias_correction_kl": False}, "a term whose gradient has mean 0"),
        ({"use_kl_in_reward": True}, "beta is 0; set beta"),
        ({"use_kl_in_reward": True, "beta": 0.1, "use_bias_correction_kl": False}, "where it has no gradient"),
        (
            {"use_kl_in_reward": True, "beta": 0.1, "advantage_estimator": "pass_at_k"},
            "a penalty would turn passes into failures",
        ),
        ({"loss_type": "vespo", "vllm_importance_sampling_mode": "sequence_mask"}, 'take "token_truncate"'),
        ({"advantage_estimator": "pass_at_k", "pass_at_k": 9}, "more than the num_generations = 8 completions"),
        ({"pass_at_k": 2}, 'pass_at_k = 2 has no meaning with advantage_estimator = "group"'),
        ({"advantage_estimator": "leave_one_out", "pass_reward": 0.5}, "pass_reward = 0.5 has no meaning"),
        ({"top_entropy_quantile": 1.5}, "less than or equal to 1"),
        ({"entropy_coef": -0.1}, "greater than or equal to 0"),
    ],
)
def test_what_does_not_go_together_is_refused(train: dict[str, Any], said: str) -> None:
    assert said in refused(**train)


def test_what_is_refused_elsewhere_is_fine_where_it_has_a_meaning() -> None:
    assert TrainConfig(loss_type="luspo").importance_sampling_level == "sequence"
    TrainConfig(
        loss_type="vespo", vllm_importance_sampling_mode="sequence_mask", vllm_importance_sampling_correction=False
    )
    TrainConfig(beta=0.1, kl_estimator="k1")
    TrainConfig(loss_type="cispo", epsilon_high=1.0)
