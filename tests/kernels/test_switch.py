"""Which kernels are on, and why not."""

from __future__ import annotations

import pytest
import torch

from lydite.errors import ConfigError
from lydite.kernels import kernel_states, switch

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def interpreting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "_has_triton", lambda: True)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delenv("LYDITE_KERNELS", raising=False)


def on() -> list[str]:
    assert [name for name, _, _ in kernel_states()] == list(switch.KERNELS)
    told = [name for name, is_on, _ in kernel_states() if is_on]
    assert told == [name for name in switch.KERNELS if switch.is_on(name, CPU)]
    return told


def test_all_are_on_where_triton_runs() -> None:
    assert on() == ["nf4_dequantise", "nf4_linear", "logps", "rmsnorm", "rope", "glu", "merge", "draw"]
    assert {why for _, _, why in kernel_states()} == {"in Triton's interpreter (TRITON_INTERPRET=1)"}
    assert not switch.is_on("nf4_linear", torch.device("cuda", 0)), "the interpreter is the CPU's"


def test_the_environment_turns_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "nf4_linear, rope,")
    assert on() == ["nf4_dequantise", "logps", "rmsnorm", "glu", "merge", "draw"]
    assert kernel_states()[1] == ("nf4_linear", False, "LYDITE_KERNELS turns it off")
    monkeypatch.setenv("LYDITE_KERNELS", "off")
    assert on() == []


def test_an_unknown_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYDITE_KERNELS", "nf4_linaer")
    with pytest.raises(ConfigError, match="no kernel 'nf4_linaer'; did you mean 'nf4_linear'"):
        kernel_states()


@pytest.mark.parametrize(
    ("cuda", "triton", "capability", "expected"),
    [
        (False, True, (9, 0), (False, "there is no CUDA device")),
        (True, False, (9, 0), (False, "triton is not installed")),
        (True, True, (7, 5), (False, "the GPU has compute capability 7.5, and 8.0 is needed")),
        (True, True, (9, 0), (True, "on a GPU")),
    ],
)
def test_what_they_need_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, triton: bool, capability: tuple[int, int], expected: tuple[bool, str]
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(switch, "_has_triton", lambda: triton)
    switch._on_cuda.cache_clear()
    try:
        assert kernel_states()[0][1:] == expected
        assert switch.is_on("nf4_linear", torch.device("cuda", 0)) is expected[0]
        assert not switch.is_on("nf4_linear", CPU)
    finally:
        switch._on_cuda.cache_clear()
