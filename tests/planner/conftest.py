"""Configurations and models for the planner: tiny ones that are loaded, large ones that are only described."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from support.planned_runs import run_config
from support.tiny_model import make_tiny_model

from lydite.config import RunConfig
from lydite.planner import ModelShapes, shapes_of_config
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy


@pytest.fixture(scope="session")
def llama_8b() -> ModelShapes:
    """Llama 3.1 8B, from its published sizes."""
    return shapes_of_config(
        transformers.LlamaConfig(
            hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
            num_key_value_heads=8, vocab_size=128256, max_position_embeddings=131072,
        )
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of an architecture."""
    made: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = make_tiny_model(tmp_path_factory.mktemp("planned") / architecture, architecture)
        return made[architecture]

    return folder


@pytest.fixture(scope="session")
def load(tiny: Callable[[str], Path]) -> Callable[..., tuple[RunConfig, Policy]]:
    """A tiny model's policy on the CPU, with the configuration that it was loaded by."""
    plugins = load_plugins(allow=("lydite-families",))

    def one(architecture: str = "llama", *, model: dict[str, Any] | None = None, **sections: Any) -> Any:
        path = str(tiny(architecture))
        config = run_config(
            model={"path": path, "device": "cpu", "quantization": "none", **(model or {})},
            data={"max_prompt_length": 24},
            **sections,
        )
        return config, load_policy(config.model, config.lora, plugins, 0)

    return one
