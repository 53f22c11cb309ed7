"""A lydite stack as TRL's reward functions, without and with TRL's own trainer."""

import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lydite import ConfigError
from lydite.errors import DataError, RewardError
from lydite_adapters import TrlRewards, trl_reward_funcs

REWARDS = """
import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def right(answer: str, reference: str) -> float:
    return float(answer == reference)

def short(text: str) -> float:
    return 1.0 / len(text)

@lydite.reward(isolation="inline")
def picky(text: str) -> float | None:
    return None if "?" in text else 1.0

@lydite.reward(isolation="inline")
def breaks(text: str) -> float:
    raise RuntimeError("no such luck")

@lydite.reward(isolation="inline")
def topical(text: str, topic: str) -> float:
    return float(topic in text)

@lydite.hookimpl
def lydite_rewards():
    return {"t/right": right, "t/short": short, "t/picky": picky, "t/breaks": breaks, "t/topical": topical}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "trl_out_rewards.py"
    file.write_text(REWARDS)
    return file


@pytest.fixture
def made(plugin: Path) -> Iterator[Callable[..., TrlRewards]]:
    opened: list[TrlRewards] = []

    def make(rewards: dict[str, Any], *, options: Any = None, **tables: Any) -> TrlRewards:
        stack = {"plugin_files": [str(plugin)], "rewards": rewards, **tables}
        opened.append(trl_reward_funcs(stack, **(options or {})))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def called(rewards: TrlRewards, completions: list[Any], **columns: Any) -> dict[str, list[float | None]]:
    prompts = columns.pop("prompts", ["p"] * len(completions))
    ids = [[1] * len(str(one)) for one in completions]
    return {
        one.__name__: one(prompts=prompts, completions=completions, completion_ids=ids, **columns)
        for one in rewards.functions
    }


def total(values: dict[str, list[float | None]], weights: list[float], place: int) -> float:
    """TRL's sum: what is None counts as nothing."""
    terms = [
        weight * value[place]
        for weight, value in zip(weights, values.values(), strict=True)
        if value[place] is not None
    ]  # type: ignore[operator]
    return math.fsum(terms)


def test_a_function_for_each_component_under_its_own_name(made: Callable[..., TrlRewards]) -> None:
    rewards = made({"correct": {"use": "t/right"}, "brief": {"use": "t/short", "weight": 0.25}})
    functions, weights = rewards
    assert [one.__name__ for one in functions] == ["correct", "brief"]
    assert weights == [1.0, 0.25]
    values = called(rewards, ["4", "five"], reference=["4", "4"])
    assert values == {"correct": [1.0, 0.0], "brief": [1.0, 0.25]}


def test_messages_and_another_name_for_the_gold_answer(made: Callable[..., TrlRewards]) -> None:
    rewards = made({"correct": {"use": "t/right"}}, options={"reference": "solution"})
    chat = [[{"role": "assistant", "content": text}] for text in ("4", "5")]
    prompts = [[{"role": "user", "content": "2 + 2?"}]] * 2
    assert called(rewards, chat, prompts=prompts, solution=["4", "4"])["correct"] == [1.0, 0.0]


def test_abstaining_is_none(made: Callable[..., TrlRewards]) -> None:
    rewards = made({"picky": {"use": "t/picky"}})
    assert called(rewards, ["a", "a?"])["picky"] == [1.0, None]


def test_the_component_length_and_a_condition(made: Callable[..., TrlRewards]) -> None:
    rewards = made(
        {"correct": {"use": "t/right"}, "brief": {"use": "t/short", "only_if": "correct"}},
        length={"kind": "target", "only_if": "correct", "max_length": 10, "target": 1, "weight": 0.1},
    )
    assert rewards.weights == [1.0, 1.0, 0.1]
    values = called(rewards, ["4", "five"], reference=["4", "4"])
    assert values["brief"] == [1.0, 0.0]
    assert values["length"] == [1.0, 0.0]


def test_a_gates_score_is_what_trls_sum_comes_to(made: Callable[..., TrlRewards]) -> None:
    rewards = made(
        {
            "correct": {"use": "t/right", "gate": True, "gate_score": -0.5, "weight": 1.0},
            "brief": {"use": "t/short", "weight": -0.5},
        }
    )
    values = called(rewards, ["4", "five"], reference=["4", "4"])
    assert total(values, rewards.weights, 0) == pytest.approx(0.5)
    assert total(values, rewards.weights, 1) == pytest.approx(-0.5)


def test_a_weight_on_a_schedule_goes_into_the_value(made: Callable[..., TrlRewards]) -> None:
    rewards = made(
        {
            "correct": {"use": "t/right"},
            "brief": {"use": "t/short", "weight": 0.5, "weight_to": 0.0, "schedule_steps": 10},
        }
    )
    assert rewards.weights == [1.0, 1.0]
    for done, weight in ((0, 0.5), (5, 0.25), (10, 0.0)):
        state = SimpleNamespace(global_step=done)
        values = called(rewards, ["ab"], reference=["4"], trainer_state=state)
        assert values["brief"] == [pytest.approx(0.5 * weight)]


def test_columns_reach_rewards_and_missing_ones_are_named(made: Callable[..., TrlRewards]) -> None:
    rewards = made({"topical": {"use": "t/topical"}})
    assert called(rewards, ["on tea", "on coffee"], topic=["tea", "tea"])["topical"] == [1.0, 0.0]
    with pytest.raises(ConfigError, match=r"asks for 'topic', which is no column of the data; did you mean 'topics'\?"):
        called(rewards, ["on tea"], topics=["tea"])


def test_a_missing_gold_answer_is_named(made: Callable[..., TrlRewards]) -> None:
    with pytest.raises(DataError, match=r"no column 'reference'.*there are \['answer'\]"):
        called(made({"correct": {"use": "t/right"}}), ["4"], answer=["4"])


def test_errors_stop_training_by_the_stacks_policy(made: Callable[..., TrlRewards]) -> None:
    with pytest.raises(RewardError, match=r"RuntimeError: no such luck"):
        called(made({"b": {"use": "t/breaks"}}, stack={"error_window": 2}), ["a", "b"])
    patient = made({"b": {"use": "t/breaks"}}, stack={"max_error_share": 1.0})
    assert called(patient, ["a", "b"])["b"] == [None, None]


def test_one_scoring_serves_all_components(made: Callable[..., TrlRewards], monkeypatch: pytest.MonkeyPatch) -> None:
    from lydite.rewards import RewardStack

    calls: list[int] = []
    scoring = RewardStack.score
    monkeypatch.setattr(RewardStack, "score", lambda *given: calls.append(1) or scoring(*given))
    rewards = made({"correct": {"use": "t/right"}, "picky": {"use": "t/picky"}})
    called(rewards, ["4"], reference=["4"])
    assert len(calls) == 1
    called(rewards, ["5"], reference=["4"])
    assert len(calls) == 2


def test_a_function_survives_pickling_and_closing(made: Callable[..., TrlRewards]) -> None:
    rewards = made({"brief": {"use": "t/short"}})
    again = pickle.loads(pickle.dumps(rewards.functions[0]))
    given: dict[str, Any] = {"prompts": ["p"], "completions": ["ab"], "completion_ids": [[1]]}
    assert again.__name__ == "brief"
    assert again(**given) == [0.5]
    rewards.close()
    assert again(**given) == [0.5]
    again.close()


def test_reasons_go_into_trls_table(made: Callable[..., TrlRewards]) -> None:
    logged: dict[str, Any] = {}
    rewards = made({"picky": {"use": "t/picky"}})
    called(rewards, ["a", "?"], log_extra=lambda name, values: logged.update({name: values}))
    assert logged == {"picky_reason": ["", "none"]}


def test_a_stack_from_a_file(plugin: Path, tmp_path: Path) -> None:
    file = tmp_path / "stack.toml"
    file.write_text(f'plugin_files = ["{plugin.name}"]\n[rewards.brief]\nuse = "t/short"\n')
    with trl_reward_funcs(file) as (functions, weights):
        assert (functions[0].__name__, weights) == ("brief", [1.0])


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"stack": {"aggregate": "normalize_then_sum"}}, "multi_objective_aggregation"),
        ({"rewards": {"a": {"use": "t/rihgt"}}}, "did you mean 't/right'"),
        ({"rewrads": {}}, "did you mean 'rewards'"),
    ],
)
def test_what_cannot_be_is_said_before_training(tables: Any, said: str, made: Callable[..., TrlRewards]) -> None:
    with pytest.raises(ConfigError, match=said):
        made(**{"rewards": {"a": {"use": "t/right"}}, **tables})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing:FutureWarning")
@pytest.mark.filterwarnings("ignore:TRL currently supports vLLM versions:UserWarning")  # none is used here
@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
def test_a_step_of_trls_own_trainer(made: Callable[..., TrlRewards], tmp_path: Path) -> None:
    import pyarrow.parquet
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    rewards = made(
        {"brief": {"use": "t/short"}, "picky": {"use": "t/picky", "weight": 0.5}, "topical": {"use": "t/topical"}}
    )
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, **size, **tokens))
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(16)}, unk_token="w3"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", unk_token="w3")
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=list(rewards.functions),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            report_to=[],
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=6,
            max_steps=2,
            learning_rate=1e-2,
            logging_steps=1,
            log_completions=True,
            save_strategy="no",
            reward_weights=rewards.weights,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["w5 w6", "w7"] * 4, "topic": ["w8", "w9"] * 4}),
        processing_class=tokenizer,
    )
    before = model.lm_head.weight.detach().clone()
    trainer.train()
    assert not torch.equal(before, trainer.model.lm_head.weight.cpu())
    logs = trainer.state.log_history
    assert 0.0 < logs[0]["rewards/brief/mean"] <= 1.0
    assert logs[0]["rewards/picky/mean"] == 1.0
    table = pyarrow.parquet.read_table(tmp_path / "completions" / "completions_00001.parquet").to_pylist()
    assert len(table) == 8
    for row in table:
        assert row["brief"] == pytest.approx(1.0 / len(row["completion"]))
        assert row["topical"] == float(("w8" if row["prompt"] == "w5 w6" else "w9") in row["completion"])
    means = [row["brief"] + 0.5 * row["picky"] + row["topical"] for row in table]
    assert logs[0]["reward"] == pytest.approx(sum(means) / 8, rel=1e-4)

    from lydite.plugins import load_plugins
    from lydite.rescore import open_saved, read_golds, read_stack, rescore

    golds = tmp_path / "golds.jsonl"
    golds.write_text('{"prompt": "w5 w6", "topic": "w8"}\n{"prompt": "w7", "topic": "w9"}\n')
    stack = read_stack(
        {
            "plugin_files": [str(tmp_path / "trl_out_rewards.py")],
            "rewards": {"brief": {"use": "t/short"}, "topical": {"use": "t/topical"}},
        }
    )
    records: list[Any] = []
    found = rescore(
        open_saved(tmp_path),
        stack,
        load_plugins(allow=(), files=stack.plugin_files),
        golds=read_golds(golds),
        write=lambda _, record: records.append(record),
    )
    assert (found["rows"], found["groups"], found["steps"]) == (16, 4, 2)
    for row, record in zip(table, records, strict=False):
        assert record["completion"] == row["completion"]
        assert record["rewards"]["brief"]["value"] == pytest.approx(row["brief"])
        assert record["rewards"]["topical"]["value"] == row["topical"]
        assert record["before"]["advantage"] == pytest.approx(row["advantage"])
    assert found["advantages"]["completions_changed"] == 0, "picky gave the same to all, so that nothing else changed"
