"""Files for `trl grpo` as configurations of lydite: nothing is forgotten, and nothing is left out without a word."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.configfile import read_config
from lydite.configfile.fields import find_field
from lydite.configfile.trl import Command, FromTrl, TrlField, from_trl, trl_fields
from lydite.configfile.trl.reading import PLUGINS
from lydite.errors import ConfigError

PLACES = [
    (command, one)
    for command in get_args(Command)
    for one in trl_fields(command).values()
    if command == "grpo" or one != trl_fields("grpo").get(one.name)
]
LEAST = {"model_name_or_path": "m", "dataset_name": "d", "reward_funcs": ["my.right"], "max_steps": 8}


def theirs(command: Command = "grpo") -> dict[str, Any]:
    """Every argument of TRL's script with its default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl import GRPOConfig, ModelConfig, RLOOConfig
        from trl.scripts.grpo import GRPOScriptArguments
        from trl.scripts.rloo import RLOOScriptArguments
        from trl.scripts.utils import DatasetMixtureConfig
    own = (GRPOScriptArguments, GRPOConfig) if command == "grpo" else (RLOOScriptArguments, RLOOConfig)
    return {
        field.name: field.default_factory() if callable(field.default_factory) else field.default
        for kind in (*own, ModelConfig, DatasetMixtureConfig)
        for field in dataclasses.fields(kind)
    }


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., FromTrl]:
    def make(rows: int | None = None, command: Command | None = None, **changes: Any) -> FromTrl:
        content = {name: value for name, value in {**LEAST, **changes}.items() if value is not ...}
        file = tmp_path / "grpo.yaml"
        file.write_text(yaml.safe_dump(content))
        return from_trl(file, None if rows is None else lambda data: rows, command=command)

    return make


@pytest.mark.parametrize("command", ["grpo", "rloo"])
def test_every_argument_of_trl_has_its_place_and_no_other_does(command: Command) -> None:
    assert set(trl_fields(command)) == set(theirs(command))


@pytest.mark.parametrize(("command", "field"), PLACES, ids=lambda one: one if isinstance(one, str) else one.name)
def test_an_argument_s_place_is_what_it_says(command: Command, field: TrlField) -> None:
    default = theirs(command)[field.name]
    if field.fate in ("same", "renamed"):
        assert field.default == default
    if field.fate == "missing":
        assert default in field.neutral
        assert field.why
    if field.fate in ("not needed", "worked out"):
        assert field.why or field.keys
    for key in field.keys:
        path = tuple("*" if part == "NAME" else part for part in key.split("."))
        known = find_field(path) or find_field(path[:-1])
        assert known is not None, key
        assert find_field(path) is not None or known.takes_options


def test_the_least_file_is_a_configuration(made: Callable[..., FromTrl]) -> None:
    config = read_config(made().tables)
    assert config.rewards["right"].options == {"function": "my:right"}
    assert config.data.options == {"path": "d"}
    assert config.train.max_steps == 8


def test_where_the_file_is_silent_trl_s_defaults_hold(made: Callable[..., FromTrl]) -> None:
    config = read_config(made().tables)
    defaults = theirs()
    for field in trl_fields().values():
        if field.fate == "same" and field.default is not None:
            assert getattr(config.train, field.name) == defaults[field.name], field.name
    assert config.lora.enabled is False
    assert any(line.startswith("learning_rate: train.learning_rate = 1e-06") for line in made().defaults)


def test_numbers_that_yaml_reads_as_text_are_numbers(made: Callable[..., FromTrl]) -> None:
    assert yaml.safe_load("1e-5") == "1e-5"
    config = read_config(made(learning_rate="1e-5", max_steps="16", warmup_steps="0.25").tables)
    assert (config.train.learning_rate, config.train.max_steps, config.train.warmup_steps) == (1e-5, 16, 4)


@settings(max_examples=40)
@given(
    per_device=st.integers(1, 8), accumulation=st.integers(1, 4), factor=st.integers(1, 3), mu=st.integers(1, 3),
    updates=st.integers(1, 50),
)  # fmt: skip
def test_steps_make_at_least_the_updates_and_less_than_a_step_more(
    tmp_path_factory: pytest.TempPathFactory, per_device: int, accumulation: int, factor: int, mu: int, updates: int
) -> None:
    file = tmp_path_factory.mktemp("steps") / "grpo.yaml"
    content = {
        **LEAST, "per_device_train_batch_size": 2 * per_device, "gradient_accumulation_steps": accumulation,
        "steps_per_generation": factor * accumulation, "num_iterations": mu, "num_generations": 2,
        "max_steps": updates, "save_steps": 0.5, "warmup_steps": 0.5,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(content))
    train = read_config(from_trl(file).tables).train
    assert updates <= train.max_steps * train.updates_per_step < updates + train.updates_per_step
    assert train.warmup_steps == math.ceil(updates / 2)
    assert train.save_steps == math.ceil(math.ceil(updates / 2) / train.updates_per_step)


@pytest.mark.parametrize(
    ("rows", "changes", "steps"),
    [
        (100, {"num_train_epochs": 2}, 200),  # 8 completions of one prompt are a step
        (100, {"num_train_epochs": 0.5, "per_device_train_batch_size": 16}, 25),
        (25, {"num_train_epochs": 1, "generation_batch_size": 64}, 3),  # 8 prompts a step, one row left over
        (1, {}, 3),
    ],
)
def test_epochs_are_counted_in_rows(
    made: Callable[..., FromTrl], rows: int, changes: dict[str, Any], steps: int
) -> None:
    assert read_config(made(rows, max_steps=..., **changes).tables).train.max_steps == steps


@pytest.mark.parametrize("max_steps", [..., 400])
def test_what_comes_after_an_epoch_comes_after_its_steps(made: Callable[..., FromTrl], max_steps: Any) -> None:
    config = read_config(made(100, max_steps=max_steps, eval_strategy="epoch", save_strategy="epoch").tables)
    assert config.eval is not None
    assert (config.eval.every, config.train.save_steps) == (100, 100)


def test_epochs_of_data_that_is_not_counted_need_max_steps(made: Callable[..., FromTrl]) -> None:
    with pytest.raises(ConfigError, match="max_steps is needed: 3 epochs"):
        made(max_steps=...)


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"scale_rewards": False}, ("train", "scale_rewards"), "none"),
        ({"lr_scheduler_type": "constant_with_warmup"}, ("train", "lr_scheduler_type"), "constant"),
        ({"optim": "paged_adamw_8bit"}, ("train", "optim"), "paged_adamw_8bit"),
        ({"vllm_importance_sampling_clip_max": None}, ("train", "vllm_importance_sampling_clip_max"), 1e9),
        ({"generation_batch_size": 32}, ("train", "steps_per_generation"), 4),
        ({"load_in_4bit": True, "use_peft": True}, ("model", "quantization"), "nf4"),
        ({"bf16": False}, ("model", "dtype"), "float32"),
        ({"fp16": True}, ("model", "dtype"), "float16"),
        ({"model_init_kwargs": {"revision": "v2"}}, ("model", "revision"), "v2"),
        ({"use_peft": True, "lora_target_modules": "all-linear"}, ("lora", "target_modules"), ()),
        ({"use_peft": True, "lora_r": 4}, ("lora", "r"), 4),
        ({"use_peft": True}, ("lora", "dropout"), 0.05),
        ({"use_vllm": True}, ("engine", "use"), "vllm"),
        ({"output_dir": "out/mine"}, ("name",), "mine"),
        ({"report_to": ["wandb", "trackio"]}, ("plugins",), (*PLUGINS, "lydite-wandb")),
        ({"output_dir": "out/mine"}, ("output_dir",), "out"),
        ({"eval_strategy": "steps", "eval_steps": 4}, ("eval", "every"), 4),
        ({"eval_strategy": "steps", "dataset_test_split": "h"}, ("eval", "data", "use"), "hub"),
        ({"datasets": [{"path": "json", "data_files": "a.jsonl"}], "dataset_name": ...}, ("data", "use"), "jsonl"),
        ({"datasets": [{"path": "p", "split": "s"}]}, ("data", "options"), {"path": "p", "split": "s"}),
        ({"multi_objective_aggregation": "normalize_then_sum"}, ("stack", "aggregate"), "normalize_then_sum"),
        ({"torch_dtype": "float16", "bf16": False}, ("model", "dtype"), "float16"),
        ({"bf16": "false"}, ("model", "dtype"), "float32"),
        ({"no_cuda": True}, ("model", "device"), "cpu"),
        ({"warmup_ratio": 0.25}, ("train", "warmup_steps"), 2),
        ({"max_prompt_length": 256}, ("data", "max_prompt_length"), 256),
        ({"system_prompt": "Think."}, ("data", "system"), "Think."),
        ({"dataset_prompt_column": "problem"}, ("data", "options"), {"path": "d", "prompt": "problem"}),
        ({"report_to": "wandb", "wandb_project": "p"}, ("observers",), {"wandb": {"project": "p"}}),
        ({"wandb_project": "p"}, ("observers",), {}),
        ({"top_k": None}, ("train", "top_k"), 0),
        ({"max_grad_norm": 0}, ("train", "max_grad_norm"), 1e9),
        ({"loss_type": "vespo"}, ("train", "vllm_importance_sampling_mode"), "token_truncate"),
        ({"eval_strategy": "steps", "eval_steps": 0.5}, ("eval", "every"), 4),
        ({"save_strategy": "no"}, ("train", "save_steps"), 8),
        ({"normalize_advantages": True}, ("algorithm",), "rloo"),
        ({"reward_clip_range": [-1.0, 2.0]}, ("rloo", "reward_clip_range"), (-1.0, 2.0)),
        ({"command": "rloo"}, ("train", "num_generations"), 2),
        ({"command": "rloo"}, ("train", "vllm_importance_sampling_correction"), False),
        ({"command": "rloo", "beta": 0.0}, ("rloo", "beta"), 0.0),
    ],
)  # fmt: skip
def test_a_value_goes_where_it_belongs(
    made: Callable[..., FromTrl], changes: dict[str, Any], key: tuple[str, ...], value: Any
) -> None:
    found: Any = read_config(made(**changes).tables)
    for part in key:
        found = getattr(found, part)
    assert found == value


def test_rewards_keep_their_order_weights_and_makers(made: Callable[..., FromTrl]) -> None:
    functions = ["get_soft_overlong_punishment", "a.right", "b.right"]
    rewards = read_config(made(reward_funcs=functions, reward_weights=[0.5, 1, 2]).tables).rewards
    assert list(rewards) == ["get_soft_overlong_punishment", "right", "right_2"]
    assert [one.weight for one in rewards.values()] == [0.5, 1.0, 2.0]
    assert rewards["get_soft_overlong_punishment"].options == {
        "function": "trl.rewards:get_soft_overlong_punishment",
        "arguments": {"max_completion_len": 1280, "soft_punish_cache": 256},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repetition_penalty": 1.1}, "repetition_penalty = 1.1: .*use a reward"),
        ({"use_peft": True, "use_dora": True}, "use_dora = true"),
        ({"learning_rat": 1}, "learning_rat: .*did you mean 'learning_rate'"),
        ({"optim": "sgd"}, 'optim = "sgd": lydite has AdamW'),
        ({"lr_scheduler_type": "polynomial"}, "lr_scheduler_type"),
        ({"reward_funcs": ["acuracy_reward"]}, "did you mean 'accuracy_reward'"),
        ({"reward_funcs": ...}, "reward_funcs is needed"),
        ({"reward_weights": [1.0, 2.0]}, "expected a list of 1"),
        ({"dataset_name": ...}, "dataset_name is needed"),
        ({"datasets": [{"path": "a"}, {"path": "b"}]}, "expected one entry"),
        ({"datasets": [{"path": "a", "spilt": "b"}]}, "did you mean 'split'"),
        ({"generation_batch_size": 12}, "a multiple of per_device_train_batch_size = 8"),
        ({"generation_batch_size": 16, "steps_per_generation": 2}, "says the same"),
        ({"eval_strategy": "epoch"}, "the rows of this data are not counted"),
        ({"eval_strategy": "epochs"}, "did you mean 'epoch'"),
        ({"save_strategy": "epoch"}, "the rows of this data are not counted"),
        ({"reward_weights": ["much"]}, "expected a list of 1"),
        ({"reward_funcs": ["accuracy"]}, "a name of open-r1's; write accuracy_reward"),
        ({"reward_funcs": ["./my_rewards.py:right"]}, "write one such as my_rewards.NAME"),
        ({"lora_target_modules": ".*_proj", "use_peft": True}, "patterns are not read"),
        ({"load_in_4bit": True}, "set use_peft: true"),
        ({"model_name_or_path": ...}, "model_name_or_path is needed"),
        ({"num_processes": 8}, "multiply gradient_accumulation_steps by it"),
        ({"max_new_tokens": 64}, "write max_completion_length"),
        ({"judge": "pair_rm"}, "rewards.NAME.judge"),
        ({"torch_dtype": "float16", "dtype": "float16"}, "its name today is dtype, which is given as well"),
        ({"nonsense_of_mine": 1}, "no such argument; take it out"),
        ({"normalize_advantages": True, "scale_rewards": False}, "`trl rloo` has no such argument; `trl grpo` has it"),
        ({"deepspeed": "zero3.json"}, "docs/multi-gpu.md"),
        ({"model_init_kwargs": {"rope_scaling": {}}}, "model_init_kwargs.rope_scaling"),
        ({"num_generations": "many"}, "num_generations = .many.: expected a whole number"),
        ({"fp16": True, "bf16": True}, "one of them is the type"),
        ({"reward_model_name_or_path": "rm"}, "lydite-judges"),
    ],
)
def test_what_cannot_be_honoured_is_an_error(
    made: Callable[..., FromTrl], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**changes)


def test_all_problems_come_at_once(made: Callable[..., FromTrl]) -> None:
    with pytest.raises(ConfigError, match="3 things cannot be honoured") as raised:
        made(repetition_penalty=2.0, use_rslora=True, push_to_hub=True)
    assert str(raised.value).count("\n  ") == 3


def test_every_argument_of_the_file_is_spoken_of(made: Callable[..., FromTrl]) -> None:
    changes = {
        "logging_steps": 1, "report_to": "wandb", "bf16": True, "use_peft": True, "lora_r": 8, "epsilon_high": 0.28,
        "save_steps": 4, "env": {"A": "1"}, "dataset_config": "main", "eval_strategy": "no", "eval_steps": 5,
    }  # fmt: skip
    lines = made(**changes).lines
    spoken = " ".join(line[15:].split(":")[0] for line in lines)
    neutral = {"eval_strategy"}  # asks for nothing
    assert [name for name in {**LEAST, **changes} if name not in spoken and name not in neutral] == []
    assert "env: set these variables before the command: A=1" in " ".join(lines)


def test_the_toml_says_it_all_and_reads_back(made: Callable[..., FromTrl], tmp_path: Path) -> None:
    one = made(use_peft=True, lora_target_modules=["q_proj"])
    file = tmp_path / "grpo.toml"
    file.write_text(one.toml())
    assert read_config(file) == read_config(one.tables)
    assert all(f"# {line}" in one.toml() for line in one.lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- a", "expected a table of the arguments"), ("", "expected a table")],
)
def test_what_is_no_such_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        from_trl(file)
    with pytest.raises(ConfigError, match=r"did you mean 'bad.yaml'"):
        from_trl(tmp_path / "bat.yaml")
