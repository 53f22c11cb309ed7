"""The engine `scripted`, with a tokenizer and without, and how engines are chosen."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny_model import make_tiny_tokenizer

from lydite.config import RunConfig
from lydite.errors import ConfigError
from lydite.policy import Policy
from lydite.rollout import Sampling, make_engine
from lydite.rollout.scripted import ScriptedEngine
from lydite.types import Prompt, Sample

PROMPTS = [Prompt(Sample(name, name), name, (1,)) for name in ("a", "b", "c")]


def texts(engine: ScriptedEngine, group: int = 2, limit: int = 50) -> list[list[str]]:
    rollouts = engine.generate(PROMPTS, Sampling(group, limit), 0)
    assert [one.prompt for one in rollouts] == PROMPTS
    return [[made.text for made in one.completions] for one in rollouts]


@pytest.mark.parametrize("tokenizer", [None, make_tiny_tokenizer()], ids=["words", "tokens"])
def test_lines_are_said_in_turn_and_again(tokenizer: Any) -> None:
    engine = ScriptedEngine(("one", "two words", "three, in all", "<b> four §"), tokenizer)
    assert texts(engine) == [["one", "two words"], ["three, in all", "<b> four §"], ["one", "two words"]]
    assert texts(engine) == texts(engine), "each call starts from the top"
    assert texts(engine, group=1) == [["one"], ["two words"], ["three, in all"]]


def test_tokens_are_the_tokenizers_with_its_end() -> None:
    tokenizer = make_tiny_tokenizer()
    made = ScriptedEngine(("It is 5.",), tokenizer).generate(PROMPTS[:1], Sampling(1, 50), 0)[0].completions[0]
    assert tokenizer.decode(list(made.token_ids)) == made.raw == "It is 5.<|im_end|>"
    assert (made.finish_reason, made.logps) == ("stop", None)


@pytest.mark.parametrize("tokenizer", [None, make_tiny_tokenizer()], ids=["words", "tokens"])
@pytest.mark.parametrize("limit", range(1, 16))
def test_the_limit_counts_the_end_token(tokenizer: Any, limit: int) -> None:
    line = "to be or not to be"
    full = ScriptedEngine((line,), tokenizer).generate(PROMPTS[:1], Sampling(1, 500), 0)[0].completions[0]
    made = ScriptedEngine((line,), tokenizer).generate(PROMPTS[:1], Sampling(1, limit), 0)[0].completions[0]
    if limit >= len(full.token_ids):
        assert made == full
    else:
        assert (made.finish_reason, len(made.token_ids)) == ("length", limit)
        assert line.startswith(made.text)


def test_an_empty_script_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"needs engine\.script"):
        ScriptedEngine(())


@pytest.mark.parametrize(("use", "name"), [("auto", "hf"), ("hf", "hf"), ("scripted", "scripted")])
def test_the_configuration_chooses_the_engine(policy: Policy, use: str, name: str) -> None:
    config = RunConfig.model_validate(
        {
            "model": {"path": "x"},
            "data": {"use": "d"},
            "rewards": {"r": {"use": "r"}},
            "engine": {"use": use, "script": ("5",), "max_batch_size": 3},
        }
    )
    engine = make_engine(config, policy)
    assert engine.name == name
    assert len(engine.generate(PROMPTS, Sampling(2, 3), 0)) == 3
    engine.close()
