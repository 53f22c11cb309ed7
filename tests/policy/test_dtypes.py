"""The type that a model computes in, on processors of several speeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lydite.config import ModelConfig, RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError
from lydite.policy import Policy, software_products
from lydite.policy.dtypes import name_of, settled, with_dtype
from lydite.policy.software_products import times_as_slow

Slower = Callable[[float], None]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def products_take(monkeypatch: pytest.MonkeyPatch) -> Slower:
    """Makes this processor one whose 16-bit products take so many times as long as float32's."""

    def times(slower: float) -> None:
        monkeypatch.setattr(software_products, "times_as_slow", lambda _: slower)

    return times


@pytest.fixture
def config(folder: Path) -> Callable[..., RunConfig]:
    def one(**model: Any) -> RunConfig:
        content = {
            "name": "typed",
            "model": {"path": str(folder), "device": "cpu", **model},
            "data": {"use": "core/list", "options": {"samples": [{"prompt": "2 + 2?", "answer": "4"}]}},
            "rewards": {"exact": {"use": "core/exact"}},
        }
        return read_config(content)

    return one


@pytest.mark.parametrize(
    ("slower", "device", "chosen"),
    [(0.2, CPU, "bfloat16"), (1.9, CPU, "bfloat16"), (2.1, CPU, "float32"), (6.6, CUDA, "bfloat16")],
)
def test_auto_is_float32_where_the_cpu_makes_products_in_software(
    slower: float, device: torch.device, chosen: str, products_take: Slower, config: Callable[..., RunConfig]
) -> None:
    products_take(slower)
    assert settled(config(), device).model.dtype == chosen


@pytest.mark.parametrize("asked", ["bfloat16", "float16", "float32"])
def test_a_type_that_is_asked_for_stays(asked: str, products_take: Slower, config: Callable[..., RunConfig]) -> None:
    products_take(6.6)
    given = config(dtype=asked)
    assert settled(given) is given


def test_a_loaded_policys_type_is_the_runs(products_take: Slower, config: Callable[..., RunConfig]) -> None:
    products_take(0.2)
    assert settled(with_dtype(config(), name_of(torch.float16)), CPU).model.dtype == "float16"


def test_cuda_that_is_not_there_is_refused(config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no CUDA device"):
        settled(config(device="cuda"))


@pytest.mark.parametrize(("slower", "dtype"), [(0.2, torch.bfloat16), (6.6, torch.float32)])
def test_a_policy_is_held_in_what_auto_comes_to(
    slower: float, dtype: torch.dtype, products_take: Slower, load: Callable[..., Policy]
) -> None:
    products_take(slower)
    policy = load(dtype="auto")
    assert policy.dtype is dtype
    assert policy.causal.model.embed_tokens.weight.dtype is dtype


@pytest.mark.parametrize(
    ("slower", "dtype", "said"),
    [(6.6, "bfloat16", 1), (2.0, "bfloat16", 0), (6.6, "float32", 0), (6.6, "auto", 0)],
)
def test_products_in_software_that_were_asked_for_are_warned_of(
    slower: float, dtype: str, said: int, products_take: Slower, load: Callable[..., Policy],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    products_take(slower)
    load(dtype=dtype)
    told = [one for one in caplog.messages if "times as long for products in bfloat16 as in float32" in one]
    assert len(told) == said
    assert all("takes 7 times" in one and 'model.dtype = "float32"' in one for one in told)


def test_a_type_is_measured_beside_float32() -> None:
    assert 0.2 < times_as_slow(torch.float32) < 5.0
    assert 0.0 < times_as_slow(torch.bfloat16) < 1000.0


def test_a_model_alone_may_leave_the_type_out() -> None:
    assert ModelConfig(path="somewhere").dtype == "auto"
