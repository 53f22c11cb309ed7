"""A tiny policy with a trained adapter, and prompts of ragged lengths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.tiny_model import make_tiny_model

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import Plugins, load_plugins
from lydite.policy import Policy, load_policy
from lydite.types import Prompt, Sample

QUESTIONS = ("What is 2 + 3?", "Why?", "Name a colour that is neither red nor green, please.", "5 - 1?", "And so on.")


@pytest.fixture(scope="session")
def no_plugins() -> Plugins:
    return load_plugins(allow=())


@pytest.fixture(scope="session")
def make_policy(tmp_path_factory: pytest.TempPathFactory, no_plugins: Plugins) -> Callable[..., Policy]:
    """A fresh policy on a tiny model, with an adapter whose B is not zero."""
    folders: dict[str, Path] = {}

    def make(architecture: str = "llama", *, dtype: str = "float32", dropout: float = 0.0) -> Policy:
        if architecture not in folders:
            folders[architecture] = make_tiny_model(tmp_path_factory.mktemp(architecture), architecture)
        config = ModelConfig(path=str(folders[architecture]), dtype=dtype, device="cpu")  # type: ignore[arg-type]
        policy = load_policy(config, LoraConfig(r=4, alpha=8, dropout=dropout), no_plugins, 0)
        draws = torch.Generator().manual_seed(3)
        for name, parameter in policy.trainable().items():
            if "lora_B" in name:
                parameter.data = 0.1 * torch.randn(parameter.shape, generator=draws)
        return policy

    return make


@pytest.fixture
def policy(make_policy: Callable[..., Policy]) -> Policy:
    return make_policy()


@pytest.fixture
def prompts(policy: Policy) -> list[Prompt]:
    return [policy.encode(Sample(f"row-{place}", text)) for place, text in enumerate(QUESTIONS)]
