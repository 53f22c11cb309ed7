"""What goes from process to process, and who of several has the word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lydite.distributed.launched import LAUNCHER, SAID, first_to_say, follow_launcher
from lydite.distributed.packing import packed, unpacked
from lydite.errors import ProcessError

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 2**32 - 1))
def test_tensors_come_as_they_were_sent(dtype: torch.dtype, shape: list[int], seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    sent = (torch.randn(shape, generator=draws) * 100).to(dtype)
    parameter = torch.nn.Parameter(torch.ones(2))
    got: dict[str, Any] = unpacked(packed({"whole": sent, "turned": sent.mT if sent.dim() > 1 else sent, "text": "é"}))
    assert got["text"] == "é"
    assert (got["whole"].dtype, got["whole"].shape) == (dtype, sent.shape)
    assert torch.equal(got["whole"], sent)
    assert torch.equal(got["turned"], sent.mT if sent.dim() > 1 else sent)
    assert torch.equal(unpacked(packed(parameter)), parameter)


def test_a_part_of_a_tensor_is_sent_alone_and_without_its_gradient() -> None:
    whole = torch.ones(100_000, requires_grad=True)
    assert len(packed((whole * 2)[:3])) < 1000
    assert not unpacked(packed(whole * 2)).requires_grad


def test_the_first_to_say_something_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_to_say("where no launcher is, everybody does")
    assert first_to_say("where no launcher is, everybody does")
    monkeypatch.setenv(SAID, str(tmp_path))
    assert first_to_say("once")
    assert not first_to_say("once")
    assert first_to_say("something else")
    monkeypatch.setenv(SAID, str(tmp_path / "gone"))
    assert first_to_say("once")


def test_a_process_whose_launcher_is_gone_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_launcher()
    monkeypatch.setenv(LAUNCHER, "1234567890")
    monkeypatch.setattr("ctypes.CDLL", lambda name: type("Library", (), {"prctl": staticmethod(lambda *given: 0)}))
    with pytest.raises(ProcessError, match="process 1234567890, is gone"):
        follow_launcher()
