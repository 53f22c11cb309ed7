"""A small model, TRL's trainer on copies of it, and a step with completions of all kinds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.beside_trl import V, llama, words_tokenizer
from support.scored_steps import scored_step
from support.trl_grpo import COMPONENTS, LENGTHS, LIMIT, PROMPTS

from lydite.types import Scored


@pytest.fixture(scope="session")
def model() -> Any:
    return llama(0, spread=0.3)


@pytest.fixture(scope="session")
def trl_trainer(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Makes a real GRPOTrainer on a copy of the model; TRL patches the model that it is given."""
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    def zero(completions: list[str], **columns: Any) -> list[float]:
        return [0.0] * len(completions)

    def make(*, beta: float = 0.0, micro_batches: int = 1, rewards: int = 1, **options: Any) -> Any:
        trainer = GRPOTrainer(
            model=copy.deepcopy(model),
            reward_funcs=[zero] * rewards,
            args=GRPOConfig(
                output_dir=str(tmp_path_factory.mktemp("trl")),
                use_cpu=True,
                bf16=False,
                report_to=[],
                per_device_train_batch_size=8 // micro_batches,
                gradient_accumulation_steps=micro_batches,
                num_generations=4,
                max_completion_length=LIMIT,
                **options,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["w5"] * 8}),
            processing_class=words_tokenizer(),
        )
        trainer.beta = beta  # after the constructor, which would look for a reference model on the hub
        trainer.current_gradient_accumulation_steps = micro_batches  # set by the training loop otherwise
        trainer.model.train()
        return trainer

    return make


@pytest.fixture(scope="session")
def scored() -> Scored:
    source = torch.Generator().manual_seed(3)
    tokens = [[torch.randint(4, V, (n,), generator=source).tolist() for n in group] for group in LENGTHS]
    finish = [["stop" if n < 7 else "length" for n in group] for group in LENGTHS]
    for group, reasons in zip(tokens, finish, strict=True):
        for ids, reason in zip(group, reasons, strict=True):
            if reason == "stop":
                ids[-1] = 1  # the end token, by which TRL tells what was truncated
    values = torch.randn(2, 4, COMPONENTS, generator=source).round(decimals=2)
    values[0, 1] = math.nan
    values[1, :, 2] = math.nan
    values[0, 2, 0] = math.nan
    weights = {"a": 1.0, "b": 0.5, "c": -0.25}
    named = [
        [
            {name: None if math.isnan(value) else value for name, value in zip(weights, one, strict=True)}
            for one in group
        ]
        for group in values.tolist()
    ]
    totals = [
        [
            None
            if all(value is None for value in one.values())
            else sum(weights[name] * value for name, value in one.items() if value is not None)
            for one in group
        ]
        for group in named
    ]
    return scored_step(totals, values=named, weights=weights, prompts=PROMPTS, tokens=tokens, finish=finish)
