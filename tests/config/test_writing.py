"""What is written reads back the same, for every configuration there is."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic.fields import FieldInfo

from lydite.config import LengthConfig, RewardConfig, RunConfig, Section, TrainConfig
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
# The second of these keys moves what the first computes again.
LAYERS: list[dict[str, SearchStrategy[Any]]] = [
    {"gradient_checkpointing": st.just(False), "activation_offloading": st.just(False)},
    {"gradient_checkpointing": st.sampled_from(["auto", True]), "activation_offloading": st.booleans()},
]
fields = RunConfig.model_fields


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    group, passes = draw(st.integers(2, 4)), draw(st.integers(1, 3))
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
            )
        ),
        "length": draw(
            st.none()
            | sections(
                LengthConfig,
                only_if=st.just("correct"),
                max_length=st.just(9),
                cache=st.integers(1, 9),
                target=st.integers(1, 9),
            )
        ),
    }
    data = sections(fields["data"].annotation)  # type: ignore[arg-type]
    for name in ("model", "lora", "format", "stack", "engine", "probes", "sentinels"):
        given[name] = draw(sections(fields[name].annotation))  # type: ignore[arg-type]
    if given["engine"].use == "scripted" and not given["engine"].script:
        given["engine"] = given["engine"].model_copy(update={"script": ("yes",)})
    if given["stack"].aggregate == "normalize_then_sum":
        given["train"] = given["train"].model_copy(update={"scale_rewards": "group"})
    given["data"] = draw(data)
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

    @given(config=configs())
    @settings(max_examples=350, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
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

    collect()
    alone = {"eval.reward.only_if", "eval.reward.fallback_for"}  # refused: that reward has no others beside it
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
