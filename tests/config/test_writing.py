"""What is written reads back the same, for every configuration there is."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic.fields import FieldInfo

from lydite.config import (
    DistributedConfig,
    EnvironmentConfig,
    LengthConfig,
    OnlineDpoConfig,
    PpoConfig,
    RewardConfig,
    RlooConfig,
    RunConfig,
    SamplingConfig,
    Section,
    StackConfig,
    TrainConfig,
)
from lydite.config.algorithms import NOT_IN
from lydite.config.objective_checks import LOSSES_WITH, SCALES
from lydite.configfile import config_difference, read_config, write_config
from lydite.configfile.fields import all_fields

texts = st.text(max_size=12)
plain = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.dates() | st.times() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
options = st.dictionaries(texts, plain, max_size=3)
SPANS = st.tuples(st.floats(-9, 0), st.floats(1, 9))


def limit(info: FieldInfo, names: tuple[str, str], otherwise: float) -> float:
    found = [getattr(one, name) for one in info.metadata for name in names if hasattr(one, name)]
    return float(found[0]) if found else otherwise


def values(info: FieldInfo) -> SearchStrategy[Any]:
    """What fits a field that is no table, by its type and limits."""
    written = str(info.annotation)
    if "tuple[str" in written:
        return st.lists(texts, max_size=3).map(tuple)
    if "tuple[float" in written:
        return SPANS
    if "dict[str" in written:
        return options
    if get_origin(info.annotation) is Literal:
        return st.sampled_from(get_args(info.annotation))
    low = limit(info, ("ge", "gt"), 0.0)
    high = limit(info, ("le", "lt"), low + 9)
    kinds = {
        bool: st.booleans(),
        str: texts,
        int: st.integers(int(low), int(high)),
        float: st.floats(low, high, exclude_min=True, exclude_max=True),
    }
    return next(kinds[kind] for kind in kinds if kind in (info.annotation, *get_args(info.annotation)))


def sections(section: type[Section], **fixed: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Any instance: each field that has a default is there or not; tables inside it only as `fixed` gives them."""
    required, optional = dict(fixed), {}
    for name, info in section.model_fields.items():
        if name not in fixed and "Config" not in str(info.annotation):
            (required if info.is_required() else optional)[name] = values(info)
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: section(**given))


NAMES = ("correct", "tidy-1", "länge")
NO_REFERENCE = {"only_if": st.none(), "fallback_for": st.none(), "judge": st.just("openai")}
rewards = sections(RewardConfig, **NO_REFERENCE, weight_to=st.none(), schedule_steps=st.just(0))
moving = sections(RewardConfig, **NO_REFERENCE, weight_to=st.floats(0, 9), schedule_steps=st.integers(1, 9))
referring = sections(
    RewardConfig,
    only_if=st.just("correct"),
    fallback_for=st.just("correct"),
    judge=st.just("openai"),
    weight_to=st.floats(0, 9),
    schedule_steps=st.integers(1, 9),
)
# The second of these keys moves what the first computes again, and the third replays it.
LAYERS: list[dict[str, SearchStrategy[Any]]] = [
    {
        "gradient_checkpointing": st.just(False),
        "activation_offloading": st.just(False),
        "cuda_graphs": st.just(False),
    },
    {
        "gradient_checkpointing": st.sampled_from(["auto", True]),
        "activation_offloading": st.booleans(),
        "cuda_graphs": st.just(False),
    },
    {
        "gradient_checkpointing": st.just(True),
        "activation_offloading": st.booleans(),
        "cuda_graphs": st.just(True),
        "share_prompts": st.just(True),
        "micro_batch_tokens": st.integers(1, 99),
    },
]
TRAIN = TrainConfig.model_fields


def objective(loss: str) -> dict[str, SearchStrategy[Any]]:
    """A loss, and of the keys that only some losses have those that it has."""
    fixed = {key: st.just(TRAIN[key].default) for key, losses in LOSSES_WITH.items() if loss not in losses}
    own: dict[str, dict[str, SearchStrategy[Any]]] = {
        "luspo": {"importance_sampling_level": st.just("sequence")},
        "cispo": {"epsilon_high": st.none() | st.floats(1, 9)},
        "vespo": {"vllm_importance_sampling_mode": st.sampled_from(["token_truncate", "token_mask"])},
    }
    alone = {key: values(TRAIN[key]) for key, losses in LOSSES_WITH.items() if losses == (loss,)}
    return {"loss_type": st.just(loss), **fixed, **alone, **own.get(loss, {})}


def advantages(estimator: str) -> dict[str, SearchStrategy[Any]]:
    """An estimator, its scales, and its options."""
    passes = estimator == "pass_at_k"
    return {
        "advantage_estimator": st.just(estimator),
        "scale_rewards": st.sampled_from(SCALES[estimator]),
        "pass_at_k": st.integers(1, 2) if passes else st.just(TRAIN["pass_at_k"].default),
        "pass_reward": st.floats(-9, 9) if passes else st.just(TRAIN["pass_reward"].default),
    }


OBJECTIVES = [objective(loss) for loss in get_args(TRAIN["loss_type"].annotation)]
ADVANTAGES = [advantages(estimator) for estimator in SCALES]
IN_GROUPS = {key: TRAIN[key].default for key in ADVANTAGES[0]}
KL: list[dict[str, SearchStrategy[Any]]] = [
    {"use_kl_in_reward": st.just(False), "kl_estimator": st.just("k1"), "use_bias_correction_kl": st.just(True)},
    {"use_kl_in_reward": st.just(False), "kl_estimator": st.sampled_from(["k2", "k3"])},
]
KL_IN_REWARD: dict[str, SearchStrategy[Any]] = {
    "use_kl_in_reward": st.just(True),
    "beta": st.floats(0.01, 9),
    "use_bias_correction_kl": st.just(True),
}
fields = RunConfig.model_fields


@st.composite
def algorithms(draw: st.DrawFn, train: TrainConfig, stack: StackConfig) -> dict[str, Any]:
    """An algorithm with its table, and the keys that it does not have as they are by default."""
    name = draw(st.sampled_from(["rloo", "ppo", "online_dpo", "mine"] + ["grpo"] * 3))
    if name in ("grpo", "mine"):
        return {"algorithm": name, "algorithm_options": {"at_least": 0.5} if name == "mine" else {}}
    unread = {key: TRAIN[key].default for key in NOT_IN[name]} | {"loss_type": "dapo"}
    own = {
        "rloo": sections(RlooConfig, reward_clip_range=st.none() | st.just((-1.0, 2.0))),
        "online_dpo": sections(
            OnlineDpoConfig, pairs=st.sampled_from(["best_worst", *(["ranked"] * (1 - train.num_generations % 2))])
        ),
        "ppo": sections(
            PpoConfig, bootstrap_truncated=st.just(False) if train.mask_truncated_completions else st.booleans()
        ),
    }
    return {
        "algorithm": name,
        name: draw(own[name]),
        "train": train.model_copy(update=unread),
        "stack": stack.model_copy(update={"aggregate": "sum_then_normalize"}),
    }


SAMPLING = SamplingConfig.model_fields


def as_by_default(*keys: str) -> dict[str, SearchStrategy[Any]]:
    return {key: st.just(SAMPLING[key].default) for key in keys}


@st.composite
def samplings(draw: st.DrawFn, *, flat_groups_teach: bool) -> SamplingConfig:
    """An order with the keys that it has, retired prompts or none, and refills where the algorithm can have them."""
    orders = {
        "shuffle": as_by_default("target", "exploration", "difficulty_column"),
        "curriculum": as_by_default("target", "exploration"),
        "frontier": as_by_default("difficulty_column"),
    }
    order = draw(st.sampled_from(list(orders)))
    retired = draw(st.booleans())
    return draw(
        sections(
            SamplingConfig,
            order=st.just(order),
            pass_by=st.sampled_from([(), ("correct",)]),
            **orders[order],
            **({} if retired else as_by_default("retire_at", "retire_after", "retest_every")),
            **({"retire_at": st.floats(0.5, 1.0)} if retired else {}),
            **(as_by_default("max_refills", "flat_groups") if flat_groups_teach else {}),
        )
    )


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    group, passes = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["soft_overlong", "cosine", "target"]))
    advantage, kl = draw(st.sampled_from(ADVANTAGES)), draw(st.sampled_from(KL))
    if "pass_at_k" not in str(advantage["advantage_estimator"]) and draw(st.booleans()):
        kl = KL_IN_REWARD
    given = {
        "name": draw(st.sampled_from(["run", "äpfel 1", "a.b"])),
        "output_dir": draw(texts),
        "plugin_files": draw(st.sampled_from([(), ("/somewhere/a.py",)])),
        "rewards": {"correct": draw(rewards), draw(st.sampled_from(NAMES[1:])): draw(referring)},
        "train": draw(
            sections(
                TrainConfig,
                num_generations=st.just(group),
                per_device_train_batch_size=st.just(group * draw(st.integers(1, 3))),
                gradient_accumulation_steps=st.just(passes),
                steps_per_generation=st.just(passes * 2) | st.none(),
                vllm_importance_sampling_clip_min=st.none() | st.floats(0, 1),
                vllm_importance_sampling_clip_max=st.floats(1, 9),
                **draw(st.sampled_from(LAYERS)),
                **draw(st.sampled_from(OBJECTIVES)),
                **advantage,
                **kl,
            )
        ),
        "length": draw(
            st.none()
            | sections(
                LengthConfig,
                kind=st.just(kind),
                only_if=st.just("correct") | (st.none() if kind == "soft_overlong" else st.nothing()),
                max_length=st.just(9),
                cache=st.integers(1, 9),
                target=st.integers(1, 9),
            )
        ),
    }
    data = sections(fields["data"].annotation)  # type: ignore[arg-type]
    for name in ("model", "lora", "format", "stack", "probes", "sentinels"):
        given[name] = draw(sections(fields[name].annotation))  # type: ignore[arg-type]
    engine = st.just("hf") | st.sampled_from(["auto", "vllm", "scripted"])  # one alone shares out the base
    given["engine"] = draw(sections(fields["engine"].annotation, use=engine))  # type: ignore[arg-type]
    if given["engine"].use == "scripted" and not given["engine"].script:
        given["engine"] = given["engine"].model_copy(update={"script": ("yes",)})
    if given["stack"].aggregate == "normalize_then_sum":
        given["train"] = given["train"].model_copy(update={**IN_GROUPS, "use_kl_in_reward": False})
    given |= draw(algorithms(given["train"], given["stack"]))
    teach = given["algorithm"] == "ppo" or given["train"].advantage_estimator == "reinforce_plus_plus"
    given["sampling"] = draw(samplings(flat_groups_teach=teach))
    given["data"] = draw(data)
    given["environment"] = draw(st.none() | sections(EnvironmentConfig))
    shared_out = given["model"].quantization == "none" and given["lora"].enabled and given["engine"].use == "hf"
    shared_out = shared_out and not given["train"].activation_offloading and not given["train"].cuda_graphs
    strategies = ["ddp", "fsdp2"] if shared_out else ["ddp"]
    given["distributed"] = draw(sections(DistributedConfig, strategy=st.sampled_from(strategies)))
    given["observers"] = draw(st.dictionaries(texts, options, max_size=2))
    evaluation = get_args(fields["eval"].annotation)[0]
    given["eval"] = draw(st.none() | sections(evaluation, reward=rewards | moving, data=st.none() | data))
    return RunConfig(seed=draw(st.integers(0, 99)), plugins=draw(st.lists(texts, max_size=2).map(tuple)), **given)


@given(config=configs())
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_any_configuration_reads_back_the_same(config: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(write_config(config).encode())
    again = read_config(path)
    assert again == config
    assert config_difference(config, again) == []
    assert write_config(again) == write_config(config)


def test_the_property_above_reaches_every_key(tables: dict[str, Any]) -> None:
    seen: set[str] = set()

    def collect(config: RunConfig) -> None:
        dumped = config.model_dump()
        for path, field in all_fields().items():
            values = [dumped]
            for part in path:
                values = [
                    one for value in values if isinstance(value, dict)
                    for one in (value.values() if part == "*" else [value.get(part)])
                ]  # fmt: skip
            if any(value not in (None, field.default, {}, ()) for value in values):
                seen.add(".".join(path))

    alone = {"eval.reward.only_if", "eval.reward.fallback_for"}  # refused: that reward has no others beside it
    wanted = {".".join(path) for path in all_fields()} - alone
    # What a number draws depends on what else has been imported, and one round alone may miss a rare key.
    rounds = settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    for number in range(8):
        if wanted <= seen:
            break
        rounds(seed(number)(given(config=configs())(collect)))()
    assert {".".join(path) for path in all_fields()} - seen == alone


def test_defaults_are_spelt_out_and_none_is_left_out(tables: dict[str, Any]) -> None:
    text = write_config(read_config(tables))
    assert "learning_rate = 1e-05" in text
    assert "epsilon_high" not in text
    assert "[eval]" not in text


def test_differences_name_the_key_and_both_values(tables: dict[str, Any]) -> None:
    first = read_config(tables)
    second = read_config(
        tables,
        overrides=["learning_rate=3e-4", "data.options.low=1", "high=", "limit=5", "rewards.tidy.only_if=correct"],
    )
    assert config_difference(first, second) == [
        "data.limit: (not set) -> 5",
        "data.options.high: 30 -> (not set)",
        "data.options.low: (not set) -> 1",
        'rewards.tidy.only_if: (not set) -> "correct"',
        "train.learning_rate: 1e-05 -> 0.0003",
    ]
    assert config_difference(first, first) == []


def test_a_table_that_came_or_went_is_a_difference(tables: dict[str, Any]) -> None:
    with_eval = read_config(tables, overrides=["eval.reward.use=text/exact"])
    lines = config_difference(read_config(tables), with_eval)
    assert 'eval.reward.use: (not set) -> "text/exact"' in lines


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\t", "\u0000", "'''", '"""', "é", "\r\n"])
def test_awkward_texts_survive(tables: dict[str, Any], tmp_path: Path, text: str) -> None:
    config = read_config({**tables, "data": {"use": "jsonl", "system": text, "options": {text: text}}})
    path = tmp_path / "c.toml"
    path.write_bytes(write_config(config).encode())
    assert read_config(path, name=config.name) == config
