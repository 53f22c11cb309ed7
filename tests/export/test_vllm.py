"""What vLLM is given, opened by its CPU build."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny_gguf import write_tiny_gguf

import lydite
from lydite.exports import vllm
from lydite.exports.vllm import max_lora_rank

with_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


@with_vllm
@pytest.mark.slow
def test_vllm_serves_the_merged_model(run: Any, tmp_path: Path) -> None:
    done = lydite.export(run.folder, "vllm", out=tmp_path / "out")
    (found,) = done.parity["programs"]
    assert found["reader"].startswith("vLLM")
    assert found["mean_drift"] < 0.01
    assert found["equal_answers"] == found["same_tokens"] == 1.0
    assert done.usage == f"vllm serve {tmp_path / 'out'}"


@with_vllm
@pytest.mark.slow
def test_vllm_serves_an_adapter_on_a_base_that_lies_beside_it(
    run: Any, make_run: Callable[..., Any], tmp_path: Path
) -> None:
    packed = write_tiny_gguf(Path(run.config.model.path), tmp_path / "base.gguf")
    out = tmp_path / "out"
    done = lydite.export(make_run(packed).folder, "vllm", out=out, layout="adapter")
    (found,) = done.parity["programs"]
    assert found["reader"].startswith("vLLM")
    assert found["mean_drift"] < 0.01
    assert json.loads((out / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "../base"
    assert done.usage == (
        f"vllm serve {out / 'base'} \\\n  --enable-lora --max-lora-rank 8 --lora-modules sums={out / 'adapter'}"
    )
    for words in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):  # what the command leaves to it
        assert (out / "base" / words).read_text() == (out / "adapter" / words).read_text()


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_without_vllm_it_is_said_that_it_was_not_asked(
    make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantization: str
) -> None:
    monkeypatch.setattr(vllm, "can_run", lambda: False)
    monkeypatch.setattr(vllm, "installed_version", lambda: None)
    run = make_run(quantization=quantization)
    done = lydite.export(run.folder, "vllm", out=tmp_path / "out", layout="adapter")
    assert done.parity["programs"][0]["mean_drift"] < 1e-4
    assert done.parity["unchecked"] == ["vLLM: not installed"]
    assert "not opened with vLLM: not installed" in done.lines
    out = tmp_path / "out"
    base = out / "base" if quantization == "nf4" else Path(run.config.model.path)
    assert done.usage.startswith(f"vllm serve {base} ")
    words = f"--tokenizer {out / 'adapter'} --generation-config {out / 'adapter'} "
    assert (words in done.usage) == (quantization == "none")


@pytest.mark.parametrize(("r", "told"), [(1, 8), (8, 8), (9, 16), (100, 128), (300, 320), (512, 512)])
def test_the_rank_that_vllm_is_told_holds_the_adapter(r: int, told: int) -> None:
    assert max_lora_rank(r) == told
