"""Sizes as people write them, and what is free."""

from __future__ import annotations

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import ConfigError
from lydite.planner import free_memory
from lydite.planner.memory import bytes_of, in_units


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GiB", 24 * 2**30), ("16 GB", 16 * 10**9), ("800mib", 800 * 2**20), ("1.5G", 1_500_000_000), ("4096", 4096)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "lots", "24 GiBB", "-1GiB", "0GiB", "5iB"])
def test_what_is_no_size_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="a size such as 24GiB"):
        bytes_of(text)


@given(st.integers(min_value=1, max_value=2**46))
def test_a_printed_size_is_within_its_digits(size: int) -> None:
    assert abs(bytes_of(in_units(size)) - size) <= max(1, size / 20)


def test_small_and_large_sizes_have_their_unit() -> None:
    assert [in_units(one) for one in (512, 24 * 2**20, 1.5 * 2**30, 200 * 2**30)] == [
        "512 B", "24.0 MiB", "1.50 GiB", "200.0 GiB",
    ]  # fmt: skip


def test_a_cpu_has_what_the_system_says_is_available() -> None:
    found = free_memory(torch.device("cpu"), policy_loaded=True)
    now = psutil.virtual_memory()
    assert (found.device, found.total, found.policy_loaded) == ("cpu", now.total, True)
    assert abs(found.free - now.available) < now.total / 10
