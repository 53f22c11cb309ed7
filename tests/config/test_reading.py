"""Reading a configuration: where values come from, and what is said when they are wrong."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lydite.config import RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError


def problem(tables: Any, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(tables, overrides=overrides)
    return str(caught.value)


def with_key(tables: dict[str, Any], section: str, key: str, value: Any) -> dict[str, Any]:
    return {**tables, section: {**tables.get(section, {}), key: value}}


@pytest.fixture
def file(tmp_path: Path, tables: dict[str, Any]) -> Path:
    path = tmp_path / "words.toml"
    path.write_text(tomli_w.dumps(tables))
    return path


def test_a_file_a_mapping_and_a_configuration_read_the_same(file: Path, tables: dict[str, Any]) -> None:
    from_file = read_config(file)
    from_mapping = read_config({**tables, "name": "words"})
    assert from_file == from_mapping == read_config(from_file) == read_config(str(file))


def test_the_run_is_named_by_flag_then_key_then_file(file: Path, tables: dict[str, Any]) -> None:
    assert read_config(file).name == "words"
    assert read_config(tables).name == "run"
    file.write_text('name = "mine"\n' + file.read_text())
    assert read_config(file).name == "mine"
    assert read_config(file, name="other").name == "other"


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\\b", " a"])
def test_a_name_that_is_no_folder_is_refused(tables: dict[str, Any], name: str) -> None:
    assert "cannot be the name of a folder" in problem({**tables, "name": name})


def test_python_objects_may_stand_among_the_tables(tables: dict[str, Any]) -> None:
    whole = read_config(tables)
    mixed = {**tables, "rewards": whole.rewards, "train": whole.train}
    assert read_config(mixed) == whole
    assert read_config(mixed, overrides=["rewards.tidy.weight=2.0"]).rewards["tidy"].weight == 2.0


def test_plugin_files_start_from_the_file_or_from_here(
    file: Path, tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    file.write_text('plugin_files = ["beside.py"]\n' + file.read_text())
    config = read_config(file, plugin_files=[Path("mine.py")])
    assert config.plugin_files == (str(tmp_path / "beside.py"), str(here / "mine.py"))
    assert read_config({**tables, "plugin_files": ["mine.py"]}).plugin_files == (str(here / "mine.py"),)


class TestFiles:
    def test_a_missing_file_names_its_neighbour(self, file: Path) -> None:
        said = problem(file.with_name("wrods.toml"))
        assert "there is no such file" in said
        assert f"did you mean '{file}'?" in said

    def test_a_folder_points_at_the_configuration_inside(self, file: Path) -> None:
        assert "is a folder, expected a TOML file" in problem(file.parent)
        file.rename(file.with_name("config.toml"))
        assert "config.toml" in problem(file.parent)

    def test_broken_toml_is_quoted_with_line_and_column(self, file: Path) -> None:
        file.write_text('seed = 1\n[model\npath = "x"\n')
        said = problem(file)
        assert str(file) in said
        assert "line 2, column 7" in said
        assert '"[model"' in said

    def test_toml_that_ends_too_early(self, file: Path) -> None:
        file.write_text("seed =")
        assert "not valid TOML" in problem(file)

    def test_bytes_that_are_no_text(self, file: Path) -> None:
        file.write_bytes(b"seed = 1 # \xff")
        assert "not a text in UTF-8 (byte 11)" in problem(file)

    def test_something_that_is_no_configuration(self) -> None:
        assert "got int" in problem(3)


class TestKeys:
    def test_an_unknown_key_gets_the_nearest_of_its_table(self, tables: dict[str, Any]) -> None:
        said = problem(with_key(tables, "train", "lerning_rate", 1.0))
        assert said.startswith("configuration: train.lerning_rate: ")
        assert "did you mean 'learning_rate'?" in said

    def test_a_key_in_the_wrong_table_is_told_where_it_belongs(self, tables: dict[str, Any]) -> None:
        assert "max_steps belongs in [train]" in problem({**tables, "max_steps": 3})
        assert "path belongs in [model]" in problem(with_key(tables, "data", "path", "x"))
        assert "seed belongs in the top" in problem(with_key(tables, "train", "seed", 1))

    def test_an_option_beside_use_is_told_about_options(self, tables: dict[str, Any]) -> None:
        tables["rewards"]["correct"]["ignore_case"] = True
        assert "goes into [rewards.correct.options]" in problem(tables)

    def test_an_unknown_table(self, tables: dict[str, Any]) -> None:
        assert "did you mean 'train'?" in problem({**tables, "trian": {}})

    def test_a_missing_key_says_what_to_add_and_where(self, tables: dict[str, Any]) -> None:
        said = problem({**tables, "model": {}})
        assert "model.path: not given, expected a string; add path = ... to [model]" in said

    def test_a_missing_table(self, tables: dict[str, Any]) -> None:
        del tables["model"]
        assert "model: not given, expected a table [model]" in problem(tables)

    def test_no_rewards(self, tables: dict[str, Any]) -> None:
        assert "rewards: got none, expected at least one" in problem({**tables, "rewards": {}})

    def test_every_problem_is_listed_once_with_the_file(self, file: Path) -> None:
        file.write_text(file.read_text() + '[train]\nbeta = "0"\nmax_steps = 0\n[lora]\nrank = 3\n')
        lines = problem(file).splitlines()
        assert lines[0] == "3 problems in the configuration:"
        assert sorted(line.split(": ")[1] for line in lines[1:]) == ["lora.rank", "train.beta", "train.max_steps"]
        assert all(line.startswith(f"  {file}: ") for line in lines[1:])


class TestValues:
    @pytest.mark.parametrize(
        ("section", "key", "value", "said"),
        [
            ("train", "max_steps", True, "got true, expected a whole number of at least 1"),
            ("train", "max_steps", 2.5, "got 2.5, expected a whole number"),
            ("train", "max_steps", 100.0, "write 100"),
            ("train", "beta", "0.1", "write 0.1 without quotes"),
            ("train", "beta", float("nan"), "got nan, expected a number of at least 0"),
            ("train", "learning_rate", 0, "got 0, expected a number greater than 0"),
            ("train", "top_p", 1.5, "expected a number greater than 0 and of at most 1"),
            ("train", "num_generations", 0, "got 0, expected a whole number of at least 1"),
            ("train", "loss_type", "dapoo", "did you mean 'dapo'?"),
            ("train", "mask_truncated_completions", "true", "write true without quotes"),
            ("train", "mask_truncated_completions", 1, "got 1, expected true or false"),
            ("model", "keep_16bit", "down_proj", 'write ["down_proj"]'),
            ("model", "keep_16bit", ["a", 3], "model.keep_16bit.1: got 3, expected a list of strings"),
            ("model", "path", ["a"], "expected a string"),
            ("data", "options", 3, "got 3, expected a table of options"),
        ],
    )
    def test_a_wrong_value_is_told_what_is_expected(
        self, tables: dict[str, Any], section: str, key: str, value: Any, said: str
    ) -> None:
        assert said in problem(with_key(tables, section, key, value))

    def test_a_value_where_a_table_belongs(self, tables: dict[str, Any]) -> None:
        assert "got 3, expected a table [train]" in problem({**tables, "train": 3})
        assert 'got "text/exact", expected a table [rewards.NAME]' in problem(
            {**tables, "rewards": {"a": "text/exact"}}
        )

    def test_a_span_of_one_number(self, tables: dict[str, Any]) -> None:
        tables["rewards"]["correct"]["clip"] = [0.0]
        assert "expected a list of two numbers" in problem(tables)

    def test_long_values_are_cut(self, tables: dict[str, Any]) -> None:
        assert len(problem(with_key(tables, "train", "beta", "x" * 10_000))) < 400

    @pytest.mark.parametrize("value", [None, {1, 2}, {"inner": None}, [object()], {3: "x"}])
    def test_options_that_no_file_can_hold_are_refused(self, tables: dict[str, Any], value: Any) -> None:
        assert "data.options" in problem(with_key(tables, "data", "options", {"x": value}))

    def test_tuples_in_options_become_lists(self, tables: dict[str, Any]) -> None:
        config = read_config(with_key(tables, "data", "options", {"x": (1, (2, 3))}))
        assert config.data.options == {"x": [1, [2, 3]]}


class TestParts:
    def test_batches_that_do_not_divide_into_groups(self, tables: dict[str, Any]) -> None:
        train = {"per_device_train_batch_size": 6, "num_generations": 4}
        assert "a step samples 6 completions" in problem({**tables, "train": train})

    def test_sampling_that_does_not_divide_into_updates(self, tables: dict[str, Any]) -> None:
        train = {"steps_per_generation": 3, "gradient_accumulation_steps": 2}
        assert "steps_per_generation = 3 is not a multiple" in problem({**tables, "train": train})

    def test_rewards_that_refer_to_no_reward(self, tables: dict[str, Any]) -> None:
        tables["rewards"]["tidy"] |= {"only_if": "corect", "fallback_for": "tidy", "schedule_steps": 3}
        tables["length"] = {"kind": "target", "only_if": "right", "max_length": 8}
        said = problem(tables)
        assert "rewards.tidy.only_if = 'corect' is no reward of this stack; did you mean 'correct'?" in said
        assert "rewards.tidy.fallback_for names the reward itself" in said
        assert "rewards.tidy.schedule_steps needs weight_to" in said
        assert "length.only_if = 'right'" in said
        assert "length.target is from 1 to length.max_length = 8, got 0" in said

    def test_only_a_punishment_for_length_is_for_every_completion(self, tables: dict[str, Any]) -> None:
        tables["length"] = {"kind": "cosine", "max_length": 8}
        assert "length.only_if is missing" in problem(tables)
        tables["length"] = {"kind": "soft_overlong", "max_length": 8, "cache": 2}
        assert read_config(tables).length is not None

    @pytest.mark.parametrize(
        ("reward", "said"),
        [
            ({"weight_to": 0.0}, "weight_to needs schedule_steps"),
            ({"clip": [1.0, 1.0]}, "clip goes from low to high, got [1.0, 1.0]"),
            ({"range": [1.0, 0.0]}, "range goes from low to high"),
            ({"judge_options": {"model": "x"}}, "judge_options needs judge"),
        ],
    )
    def test_a_reward_that_contradicts_itself(self, tables: dict[str, Any], reward: dict[str, Any], said: str) -> None:
        tables["rewards"]["correct"] |= reward
        assert said in problem(tables)

    def test_a_reward_with_a_name_that_no_metric_can_carry(self, tables: dict[str, Any]) -> None:
        assert "letters, digits, _ and -" in problem({**tables, "rewards": {"a.b": {"use": "text/exact"}}})

    def test_the_held_out_reward_stands_alone(self, tables: dict[str, Any]) -> None:
        reward = {"use": "text/exact", "only_if": "correct", "clip": [1.0, 0.0]}
        said = problem({**tables, "eval": {"reward": reward}})
        assert "eval.reward.only_if = 'correct' names another reward" in said
        assert "eval.reward.clip goes from low to high" in said

    def test_gdpo_normalises_in_groups(self, tables: dict[str, Any]) -> None:
        tables |= {"stack": {"aggregate": "normalize_then_sum"}, "train": {"scale_rewards": "batch"}}
        assert 'train.scale_rewards = "batch" does not go with' in problem(tables)
        assert read_config({**tables, "train": {}}).stack.aggregate == "normalize_then_sum"

    def test_a_scripted_engine_has_something_to_say(self, tables: dict[str, Any]) -> None:
        assert "engine.script" in problem({**tables, "engine": {"use": "scripted"}})
        assert read_config({**tables, "engine": {"use": "scripted", "script": ["a"]}}).engine.script == ("a",)

    def test_soft_overlong_needs_room_for_its_slope(self, tables: dict[str, Any]) -> None:
        length = {"kind": "soft_overlong", "only_if": "correct", "max_length": 10}
        assert "length.cache is from 1 to" in problem({**tables, "length": length})
        assert read_config({**tables, "length": {**length, "cache": 10}}).length is not None


class TestOverrides:
    def value(self, tables: dict[str, Any], *overrides: str) -> RunConfig:
        return read_config(tables, overrides=overrides)

    def test_a_dotted_path_and_a_leaf_mean_the_same(self, tables: dict[str, Any]) -> None:
        assert self.value(tables, "learning_rate=1e-5").train.learning_rate == 1e-5
        assert self.value(tables, "train.learning_rate = 1e-5") == self.value(tables, "learning_rate=1e-5")

    def test_values_are_toml_or_else_strings(self, tables: dict[str, Any]) -> None:
        config = self.value(
            tables, "loss_type=grpo", 'optim="adamw_8bit"', "gradient_checkpointing=true", 'keep_16bit=["a", "b"]'
        )
        assert (config.train.loss_type, config.train.optim) == ("grpo", "adamw_8bit")
        assert config.train.gradient_checkpointing is True
        assert config.model.keep_16bit == ("a", "b")

    def test_a_value_cannot_bring_a_second_key(self, tables: dict[str, Any]) -> None:
        assert 'got "1\\nbeta = 3", expected' in problem(tables, "max_steps=1\nbeta = 3")

    def test_options_are_found_by_their_name_and_new_ones_by_their_path(self, tables: dict[str, Any]) -> None:
        config = self.value(tables, "high=99", "data.options.low=3", 'data.options."a b".c=1')
        assert config.data.options == {"path": "train.jsonl", "high": 99, "low": 3, "a b": {"c": 1}}

    def test_a_reward_can_be_changed_and_added(self, tables: dict[str, Any]) -> None:
        config = self.value(tables, "rewards.tidy.weight=0.1", "rewards.new.use=text/numbers")
        assert config.rewards["tidy"].weight == 0.1
        assert config.rewards["new"].use == "text/numbers"

    def test_a_whole_table_can_be_added(self, tables: dict[str, Any]) -> None:
        config = self.value(tables, "eval.reward.use=text/exact", "eval.every=5", "early_stop_patience=2")
        assert config.eval is not None
        assert (config.eval.every, config.eval.early_stop_patience) == (5, 2)

    def test_an_empty_value_brings_the_default_back(self, tables: dict[str, Any]) -> None:
        config = self.value({**tables, "seed": 7, "train": {"beta": 0.1}}, "seed=", "beta=", "lora.r=", 'system=""')
        assert (config.seed, config.train.beta, config.lora.r, config.data.system) == (42, 0.0, 16, "")

    def test_the_last_of_two_wins_and_the_source_stays_as_it_was(self, tables: dict[str, Any]) -> None:
        whole = read_config(tables)
        assert read_config(whole, overrides=["seed=1", "seed=2", "high=1"]).seed == 2
        assert (whole.seed, whole.data.options["high"]) == (42, 30)
        assert tables["data"]["options"]["high"] == 30

    def test_a_leaf_of_several_lists_them(self, tables: dict[str, Any]) -> None:
        said = problem(tables, "weight=2")
        assert "could be any of rewards.correct.weight, rewards.tidy.weight" in said

    def test_a_name_that_the_evaluation_has_too_is_told_with_both_keys(self, tables: dict[str, Any]) -> None:
        evaluated = {**tables, "eval": {"reward": {"use": "text/exact"}}}
        said = problem(evaluated, "max_completion_length=64")
        assert said == (
            "--set max_completion_length=64: 'max_completion_length' could be any of eval.max_completion_length, "
            "train.max_completion_length; write the one you mean in full"
        )
        chosen = self.value(evaluated, "train.max_completion_length=64")
        assert chosen.eval is not None
        assert (chosen.train.max_completion_length, chosen.eval.max_completion_length) == (64, None)
        assert self.value(tables, "max_completion_length=64").train.max_completion_length == 64

    def test_an_unknown_leaf_names_the_nearest(self, tables: dict[str, Any]) -> None:
        assert "did you mean 'train.learning_rate'?" in problem(tables, "lerning_rate=1")

    def test_a_leaf_of_a_table_that_is_not_there(self, tables: dict[str, Any]) -> None:
        assert "eval.every is part of [eval], which this configuration does not have" in problem(tables, "every=3")

    def test_a_problem_names_the_flag_it_came_from(self, tables: dict[str, Any]) -> None:
        said = problem({**tables, "seed": -1}, "max_steps=many", "train.foo=1")
        assert "--set max_steps=many: train.max_steps: got" in said
        assert "--set train.foo=1: train.foo: there is no such key" in said
        assert "configuration: seed: got -1" in said

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("seed", "expected key=value"),
            ("a b=1", "'a b' is not a key"),
            ("=1", "'' is not a key"),
            ("seed.x=1", "got a table with x, expected a whole number"),
            ("data.use.x=1", "data.use is 'jsonl', which has no keys of its own"),
        ],
    )
    def test_texts_that_are_no_override(self, tables: dict[str, Any], text: str, said: str) -> None:
        assert said in problem(tables, text)
