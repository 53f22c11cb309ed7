"""Adapters in peft's format: what was saved comes back, and what does not fit is told apart and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from lydite.config import LoraConfig
from lydite.errors import ConfigError, ModelError
from lydite.policy import Policy
from lydite.policy.adapter_files import SETTINGS, WEIGHTS, load_adapter, read_adapter_settings

Load = Callable[..., Policy]


@pytest.fixture
def saved(load: Load, tmp_path: Path) -> Path:
    load(trained=True).save_adapter(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_saved_adapter_comes_back_bit_for_bit(load: Load, saved: Path) -> None:
    fresh = load(seed=5)
    before = fresh.adapter_hash()
    load_adapter(fresh, saved)
    assert fresh.adapter_hash() == load(trained=True).adapter_hash() != before


def test_weights_in_another_type_are_taken(load: Load, saved: Path) -> None:
    halves = {name: one.bfloat16() for name, one in load_file(saved / WEIGHTS).items()}
    save_file(halves, saved / WEIGHTS)
    policy = load()
    load_adapter(policy, saved)
    for name, own in policy.trainable().items():
        assert own.dtype.is_floating_point
        assert own.equal(halves[name.replace(".default", "")].float())


def test_the_settings_name_base_rank_and_scale(folder: Path, saved: Path) -> None:
    settings = read_adapter_settings(saved)
    assert (settings.base, settings.r, settings.alpha) == (str(folder), 4, 8.0)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LoraConfig(r=8, alpha=8), "its rank is 4, and the configuration's 8; set lora.r"),
        (
            LoraConfig(r=4, alpha=8, target_modules=("q_proj", "v_proj")),
            r"and the configuration q_proj, v_proj; .* set lora.target_modules = \[\"down_proj\", ",
        ),
        (LoraConfig(enabled=False), "does not fit: it adapts"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(
    lora: LoraConfig, message: str, load: Load, saved: Path
) -> None:
    policy = load(lora=lora)
    before = policy.adapter_hash()
    with pytest.raises(ModelError, match=message):
        load_adapter(policy, saved)
    assert policy.adapter_hash() == before


def _without_a_layer(state: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in state.items() if ".layers.2." not in name}


def _deeper(state: dict[str, Any]) -> dict[str, Any]:
    return state | {name.replace(".layers.2.", ".layers.3."): one for name, one in state.items()}


def _wider(state: dict[str, Any]) -> dict[str, Any]:
    return {name: one.repeat(1, 2) if ".lora_A." in name else one for name, one in state.items()}


def _wider_and_of_another_rank(state: dict[str, Any]) -> dict[str, Any]:
    return {name: one.repeat(2, 2) if ".lora_A." in name else one for name, one in state.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_a_layer, "it lacks '.*layers.2.*', which the model has; it is of another model"),
        (_deeper, "it has '.*layers.3.*', which the model lacks; it is of another model"),
        (_wider, r"has the shape \[4, 128\], and the model's \[4, 64\]; it is of another model"),
        (_wider_and_of_another_rank, r"has the shape \[8, 128\], and the model's \[4, 64\]; it is of another model"),
    ],
)
def test_an_adapter_of_another_model_is_told_from_one_of_another_rank(
    change: Callable[[dict[str, Any]], dict[str, Any]], message: str, load: Load, saved: Path
) -> None:
    save_file({name: one.clone() for name, one in change(load_file(saved / WEIGHTS)).items()}, saved / WEIGHTS)
    with pytest.raises(ModelError, match=message):
        load_adapter(load(), saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_rslora": True}, "use_rslora = True, expected False"),
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "IA3"}, "peft_type = 'IA3', expected 'LORA'"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save"),
        ({"r": None}, "does not describe a LoRA adapter"),
    ],
)
def test_an_adapter_of_another_kind_is_refused(change: dict[str, Any], message: str, saved: Path) -> None:
    path = saved / SETTINGS
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=message):
        read_adapter_settings(saved)


def test_half_of_an_adapter_is_refused(load: Load, saved: Path) -> None:
    (saved / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        load_adapter(load(), saved)
    (saved / WEIGHTS).unlink()
    with pytest.raises(ConfigError, match=f"there is no {WEIGHTS}"):
        read_adapter_settings(saved)
    (saved / SETTINGS).write_text("{")
    with pytest.raises(ConfigError, match="does not describe"):
        read_adapter_settings(saved)
    (saved / SETTINGS).unlink()
    with pytest.raises(ConfigError, match="holds no adapter in peft's format"):
        read_adapter_settings(saved)
