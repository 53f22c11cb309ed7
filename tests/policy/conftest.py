"""One tiny model on disk for all tests of the policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import Plugins, load_plugins
from lydite.policy import Policy, load_policy


@pytest.fixture(scope="session")
def no_plugins() -> Plugins:
    return load_plugins(allow=())


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def load(folder: Path, no_plugins: Plugins) -> Callable[..., Policy]:
    """Loads the tiny model in float32 on the CPU; keywords of `ModelConfig`, and `lora` and `seed`."""

    def one(*, lora: LoraConfig | None = None, seed: int = 0, trained: bool = False, **model: Any) -> Policy:
        config = ModelConfig(**{"path": str(folder), "dtype": "float32", "device": "cpu", **model})
        policy = load_policy(config, lora or LoraConfig(r=4, alpha=8), no_plugins, seed)
        if trained:
            train_a_little(policy)
        return policy

    return one


def train_a_little(policy: Policy) -> None:
    """Makes the adapter's B other than zero, so that what leaves it out is seen."""
    draws = torch.Generator().manual_seed(3)
    for name, parameter in policy.trainable().items():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=draws)


@pytest.fixture
def tokens() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, mask and positions [2, 7]; the first row is padded by two on the left."""
    ids = torch.tensor([[0, 0, 11, 45, 200, 7, 90], [9, 88, 17, 120, 33, 250, 61]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)
