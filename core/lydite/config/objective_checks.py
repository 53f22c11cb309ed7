"""What must hold between the keys of [train] that make the objective: the loss, its KL term, and the advantages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lydite.config.train import TrainConfig

_CLIPPED: Final = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")
LOSSES_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "epsilon": _CLIPPED,
    "epsilon_high": (*_CLIPPED, "cispo"),
    "delta": _CLIPPED,
    "importance_sampling_level": (*_CLIPPED, "cispo", "sapo"),
    "sapo_temperature_pos": ("sapo",),
    "sapo_temperature_neg": ("sapo",),
    "vespo_k_pos": ("vespo",),
    "vespo_lambda_pos": ("vespo",),
    "vespo_k_neg": ("vespo",),
    "vespo_lambda_neg": ("vespo",),
    "dppo_divergence": ("dppo",),
    "dppo_mask_low": ("dppo",),
    "dppo_mask_high": ("dppo",),
}
"""The losses that read a key; for the others it is an error to set it."""

SCALES: Final[Mapping[str, tuple[str, ...]]] = {
    "group": ("group", "batch", "none"),
    "leave_one_out": ("none", "batch"),
    "reinforce_plus_plus": ("batch",),
    "reinforce_plus_plus_baseline": ("batch",),
    "pass_at_k": ("group",),
}
"""What `scale_rewards` may be with each advantage estimator; the first is its default there."""


def with_matching_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, and the defaults that go with it where they are not those of the key itself."""
    defaults: dict[str, Any] = {}
    estimator = given.get("advantage_estimator")
    if isinstance(estimator, str) and estimator in SCALES:
        defaults["scale_rewards"] = SCALES[estimator][0]
    if given.get("loss_type") == "luspo":
        defaults["importance_sampling_level"] = "sequence"
    if given.get("use_kl_in_reward") is True:
        defaults["kl_estimator"] = "k1"
    return {**defaults, **given}


def objective_problems(train: TrainConfig) -> list[str]:
    """A sentence for each thing that does not fit together, beginning with the key it is about; empty if all does."""
    return [
        *_unread_by_the_loss(train),
        *_loss_problems(train),
        *_kl_in_reward_problems(train),
        *_advantage_problems(train),
    ]


def _unread_by_the_loss(train: TrainConfig) -> list[str]:
    problems = []
    for key, losses in LOSSES_WITH.items():
        if train.loss_type in losses or not _is_set(train, key):
            continue
        own = [one for one, others in LOSSES_WITH.items() if train.loss_type in others]
        problems.append(
            f'{key} = {getattr(train, key)!r} is no option of loss_type = "{train.loss_type}", which has '
            f"{_listed(own)}; leave it out, or take loss_type = {_listed(losses, 'or', quote=True)}"
        )
    return problems


def _loss_problems(train: TrainConfig) -> list[str]:
    problems = []
    if train.loss_type == "luspo" and train.importance_sampling_level != "sequence":
        problems.append(
            f'importance_sampling_level = "{train.importance_sampling_level}" does not go with loss_type = "luspo", '
            "which scales the loss of whole sequences; leave it out"
        )
    if train.loss_type == "cispo" and train.epsilon_high is not None and train.epsilon_high < 1.0:
        problems.append(
            f'epsilon_high = {train.epsilon_high} would cut every weight: with loss_type = "cispo" it is the largest '
            "ratio itself, not its distance from 1; leave it out for 5.0, or take a number above 1"
        )
    if train.kl_estimator == "k1" and train.loss_beta > 0.0 and not train.use_bias_correction_kl:
        problems.append(
            'kl_estimator = "k1" without use_bias_correction_kl is a term whose gradient has mean 0 and does not know '
            'the reference; leave use_bias_correction_kl at true, take kl_estimator = "k2" or "k3", or take it off the '
            "reward (use_kl_in_reward = true)"
        )
    mode = train.vllm_importance_sampling_mode
    if train.loss_type == "vespo" and train.vllm_importance_sampling_correction and not mode.startswith("token"):
        problems.append(
            f'vllm_importance_sampling_mode = "{mode}" does not go with loss_type = "vespo", which multiplies the '
            'weights of a sequence\'s tokens itself; take "token_truncate" or "token_mask"'
        )
    return problems


def _kl_in_reward_problems(train: TrainConfig) -> list[str]:
    if not train.use_kl_in_reward:
        return []
    problems = []
    if train.beta == 0.0:
        problems.append(
            "use_kl_in_reward = true takes beta times the KL off the reward, and beta is 0; set beta (0.05 in RLOO), "
            "or leave use_kl_in_reward out"
        )
    if not train.use_bias_correction_kl:
        problems.append(
            "use_bias_correction_kl = false is about the KL term of the loss, and use_kl_in_reward = true takes the KL "
            "off the reward, where it has no gradient; leave one of them out"
        )
    if train.advantage_estimator == "pass_at_k":
        problems.append(
            'use_kl_in_reward = true does not go with advantage_estimator = "pass_at_k", which asks whether a reward '
            "reaches pass_reward: a penalty would turn passes into failures; leave use_kl_in_reward out, so that the "
            "KL is a term of the loss"
        )
    return problems


def _advantage_problems(train: TrainConfig) -> list[str]:
    estimator, problems = train.advantage_estimator, []
    if train.scale_rewards not in SCALES[estimator]:
        problems.append(
            f'scale_rewards = "{train.scale_rewards}" does not go with advantage_estimator = "{estimator}", which has '
            f"{_listed(SCALES[estimator], 'or', quote=True)}; leave it out"
        )
    if estimator == "pass_at_k" and train.pass_at_k > train.num_generations:
        problems.append(
            f"pass_at_k = {train.pass_at_k} is more than the num_generations = {train.num_generations} completions of "
            "a prompt; take at most as many"
        )
    if estimator != "pass_at_k":
        problems += [
            f'{key} = {getattr(train, key)!r} has no meaning with advantage_estimator = "{estimator}"; leave it out, '
            'or take advantage_estimator = "pass_at_k"'
            for key in ("pass_at_k", "pass_reward")
            if _is_set(train, key)
        ]
    return problems


def _is_set(train: TrainConfig, key: str) -> bool:
    """True when the key has another value than its default; a run's saved configuration spells defaults out."""
    return bool(getattr(train, key) != type(train).model_fields[key].default)


def _listed(names: list[str] | tuple[str, ...], last: str = "and", *, quote: bool = False) -> str:
    """The names as in a sentence."""
    shown = [f'"{name}"' if quote else name for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
