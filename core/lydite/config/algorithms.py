"""What is done with a step's completions: the algorithms' own tables, and which keys each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from lydite.config.section import Section, Span
from lydite.suggest import did_you_mean

if TYPE_CHECKING:
    from lydite.config.run import RunConfig

ALGORITHM_NAMES: Final = ("grpo", "rloo", "online_dpo", "ppo")
"""Those that lydite has itself; others come from plugins."""


class RlooConfig(Section):
    """`algorithm = "rloo"`: a completion's reward against the mean of the others of its group."""

    beta: float = Field(0.05, ge=0.0)
    """Weight of the KL penalty, which is taken off the reward; 0 leaves the reference out."""
    normalize_advantages: bool = False
    """Brings the advantages of a step to mean 0 and deviation 1."""
    reward_clip_range: Span | None = None
    """Cuts rewards to this range, before the KL penalty."""


class OnlineDpoConfig(Section):
    """`algorithm = "online_dpo"`: pairs of a better and a worse completion of one prompt, ranked by the rewards."""

    loss_type: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid: the loss of DPO. ipo: a squared distance from a margin of 1 / (2 beta), which does not grow for ever."""
    beta: float = Field(0.1, gt=0.0)
    """How strongly the policy is held to the model that it started from."""
    pairs: Literal["best_worst", "ranked"] = "best_worst"
    """best_worst: one pair of a prompt. ranked: the best with the worst, the second best with the second worst, ..."""
    missing_eos_penalty: float | None = Field(None, gt=0.0)
    """Taken off the reward of a completion that ran into the limit."""


class PpoConfig(Section):
    """`algorithm = "ppo"`: each token against what a value head expected at its place."""

    gamma: float = Field(1.0, gt=0.0, le=1.0)
    """Discount of a reward for each token that it comes later."""
    lam: float = Field(0.95, ge=0.0, le=1.0)
    """Of generalised advantage estimation: 1 trusts the rewards alone, 0 the next value alone."""
    kl_coef: float = Field(0.05, ge=0.0)
    """Weight of the KL penalty, which is taken off the reward of each token; 0 leaves the reference out."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """k1: the difference of the log-probabilities. k2: half its square. k3: never negative, and of less variance."""
    vf_coef: float = Field(0.1, gt=0.0)
    """Weight of the value loss beside the policy's."""
    cliprange_value: float = Field(0.2, gt=0.0)
    """How far a value may move from what it was when the step began, before its loss has no gradient."""
    value_learning_rate: float = Field(1e-3, gt=0.0)
    """Of the value head, at its height; it follows the schedule of `train.learning_rate`."""
    whiten_rewards: bool = False
    """Brings the tokens' rewards, penalties included, to a deviation of 1 over the step; their mean stays."""
    missing_eos_penalty: float | None = Field(None, gt=0.0)
    """Taken off the reward of a completion that ran into the limit."""
    bootstrap_truncated: bool = False
    """Behind the last token of a completion that ran into the limit comes the value of the state there, as if it went
    on; false: nothing does, as behind any other."""


_RATIO: Final = ("epsilon", "epsilon_high")
_SURROGATE: Final = ("loss_type", "delta", "importance_sampling_level", "entropy_coef", "top_entropy_quantile")
_OF_LOSSES: Final = (
    "sapo_temperature_pos",
    "sapo_temperature_neg",
    "vespo_k_pos",
    "vespo_lambda_pos",
    "vespo_k_neg",
    "vespo_lambda_neg",
    "dppo_divergence",
    "dppo_mask_low",
    "dppo_mask_high",
)
_ADVANTAGES: Final = ("advantage_estimator", "scale_rewards", "pass_at_k", "pass_reward")
_KL: Final = ("beta", "use_kl_in_reward", "kl_estimator", "use_bias_correction_kl")
_CORRECTION: Final = (
    "vllm_importance_sampling_correction",
    "vllm_importance_sampling_mode",
    "vllm_importance_sampling_clip_max",
    "vllm_importance_sampling_clip_min",
)
NOT_IN: Final[Mapping[str, tuple[str, ...]]] = {
    "grpo": (),
    "rloo": (*_SURROGATE, *_OF_LOSSES, *_ADVANTAGES, *_KL),
    "online_dpo": (*_RATIO, *_SURROGATE, *_OF_LOSSES, *_ADVANTAGES, *_KL, *_CORRECTION),
    "ppo": ("importance_sampling_level", *_OF_LOSSES, *_ADVANTAGES, *_KL),
}
"""Keys of [train] that an algorithm does not read."""
_INSTEAD: Final[Mapping[tuple[str, str], str]] = {
    ("rloo", "beta"): "rloo.beta, which is taken off the reward",
    ("rloo", "use_kl_in_reward"): "rloo.beta, which always is taken off the reward",
    ("online_dpo", "loss_type"): "online_dpo.loss_type",
    ("online_dpo", "beta"): "online_dpo.beta",
    ("ppo", "beta"): "ppo.kl_coef, which is taken off the reward",
    ("ppo", "use_kl_in_reward"): "ppo.kl_coef, which always is taken off the reward",
    ("ppo", "kl_estimator"): "ppo.kl_estimator",
}
_PPO_LOSSES: Final = ("grpo", "bnpo", "dr_grpo", "dapo")


def algorithm_problems(config: RunConfig) -> list[str]:
    """A sentence for each key that the run's algorithm does not have, or cannot work with; empty if all is well."""
    name = config.algorithm
    problems = [
        f'{table} is the table of algorithm = "{table}", and this run has algorithm = "{name}"'
        f"{did_you_mean(name, ALGORITHM_NAMES) if name not in ALGORITHM_NAMES else ''}; "
        f'set algorithm = "{table}" or take the table away'
        for table in ("rloo", "online_dpo", "ppo")
        if table != name and getattr(config, table) is not None
    ]
    if config.algorithm_options and name in ALGORITHM_NAMES:
        home = f"[{name}]" if name != "grpo" else "[train]"
        problems.append(f'algorithm_options are for algorithms of plugins; the options of "{name}" go into {home}')
    if config.train.num_generations < 2 and name in ("grpo", "rloo", "online_dpo"):
        problems.append(
            f'train.num_generations = 1 leaves nothing to measure a completion against under algorithm = "{name}"; '
            'take at least 2, or algorithm = "ppo"'
        )
    if config.rloo is not None and config.rloo.reward_clip_range is not None:
        low, high = config.rloo.reward_clip_range
        if not low < high:
            problems.append(f"rloo.reward_clip_range goes from low to high, got {[low, high]}")
    problems += _unread_keys(config)
    if name == "grpo" and config.train.use_kl_in_reward and config.stack.aggregate == "normalize_then_sum":
        problems.append(
            "train.use_kl_in_reward = true takes the KL off the total reward, of which stack.aggregate = "
            '"normalize_then_sum" makes no advantages; leave use_kl_in_reward out, so that the KL is a term of the '
            'loss, or take aggregate = "sum_then_normalize"'
        )
    if name == "online_dpo":
        problems += _pair_problems(config)
    if name == "ppo":
        problems += _ppo_problems(config)
    return problems


def has_reference(config: RunConfig) -> bool:
    """True when the run compares the policy with the model that it started from: a plugin's, when beta is above 0."""
    if config.algorithm == "rloo":
        return (config.rloo or RlooConfig()).beta > 0.0
    if config.algorithm == "ppo":
        return (config.ppo or PpoConfig()).kl_coef > 0.0
    return config.algorithm == "online_dpo" or config.train.beta > 0.0


def _unread_keys(config: RunConfig) -> list[str]:
    name, problems = config.algorithm, []
    for key in NOT_IN.get(name, ()):
        value, default = getattr(config.train, key), type(config.train).model_fields[key].default
        if value != default:
            instead = _INSTEAD.get((name, key))
            advice = f"set {instead}" if instead else "leave it out"
            problems.append(f'train.{key} = {value!r} is no option of algorithm = "{name}"; {advice}')
    if name in ("rloo", "online_dpo", "ppo") and config.stack.aggregate != "sum_then_normalize":
        problems.append(
            f'stack.aggregate = "{config.stack.aggregate}" normalises each reward in its group, and '
            f'algorithm = "{name}" takes the total as it is; leave it out'
        )
    return problems


def _ppo_problems(config: RunConfig) -> list[str]:
    problems = []
    if (config.ppo or PpoConfig()).bootstrap_truncated and config.train.mask_truncated_completions:
        problems.append(
            "ppo.bootstrap_truncated = true goes on behind completions that ran into the limit, and "
            "train.mask_truncated_completions = true leaves those out; take one of them"
        )
    if config.train.loss_type not in _PPO_LOSSES:
        problems.append(
            f'train.loss_type = "{config.train.loss_type}" is no loss of algorithm = "ppo", which clips the ratio of '
            f"each token; take one of {', '.join(_PPO_LOSSES)}, which say how tokens are averaged"
        )
    return problems


def _pair_problems(config: RunConfig) -> list[str]:
    train, pairs = config.train, (config.online_dpo or OnlineDpoConfig()).pairs
    problems = []
    if pairs == "ranked" and train.num_generations % 2:
        problems.append(
            f"train.num_generations = {train.num_generations} is odd, and online_dpo.pairs = "
            '"ranked" puts all completions of a prompt into pairs; take an even number'
        )
    update = train.update_batch_size
    if update % train.num_generations:
        problems.append(
            f"an update has {update} completions (train.per_device_train_batch_size * "
            f"train.gradient_accumulation_steps), which are not whole groups of train.num_generations = "
            f'{train.num_generations}, and algorithm = "online_dpo" finds pairs in whole groups; take a multiple'
        )
    if train.per_device_train_batch_size < 2:
        problems.append(
            "train.per_device_train_batch_size = 1 has no room for a pair of completions, which is trained in one "
            'pass under algorithm = "online_dpo"; take at least 2'
        )
    return problems
