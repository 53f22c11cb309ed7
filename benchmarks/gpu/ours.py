"""lydite's side: a policy with a trained adapter that never ends an answer, and the configuration around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.shapes import LORA_ALPHA, LORA_RANK, Shape

PLUGIN: Final = Path(__file__).with_name("plugin.py")
NEVER: Final = ()
"""Stop tokens: none, so that every completion has its full length."""
CANARY: Final = 384
"""Tokens that the engine must have room for: the sentinels' fixed prompt is 363 letters, and so are its tokens here."""


def load(folder: Path, quantization: str) -> Any:
    """The policy, its adapter random and not zero."""
    from lydite.config import LoraConfig, ModelConfig
    from lydite.plugins import load_plugins
    from lydite.policy import load_policy

    policy = load_policy(
        ModelConfig(path=str(folder), quantization=quantization),  # type: ignore[arg-type]
        LoraConfig(r=LORA_RANK, alpha=LORA_ALPHA),
        load_plugins(allow=()),
        seed=0,
    )
    policy.stop_token_ids = NEVER
    fill_adapter(policy, seed=0)
    return policy


def load_packed(shape: Shape, folder: Path) -> Any:
    """The same of a model that is made in 4 bit where it is used, and whose folder holds no weights."""
    import torch
    from benchmarks.gpu.make import make_skeleton, packed_model

    from lydite.policy import load as loading

    make_skeleton(shape, folder)
    read = loading._read

    def packed(config: Any, source: Any, dtype: Any) -> tuple[Any, Any]:
        from transformers import AutoTokenizer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return packed_model(shape, device=device), AutoTokenizer.from_pretrained(source.location)

    loading._read = packed
    try:
        return load(folder, "nf4")
    finally:
        loading._read = read


def fill_adapter(policy: Any, *, seed: int) -> None:
    """Random numbers for the whole adapter, those that a seed gives."""
    import torch

    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.01)


def run_config(
    folder: Path,
    *,
    output: Path,
    prompt: int,
    new: int,
    sequences: int,
    micro_batch: int,
    steps: int,
    quantization: str,
    engine: dict[str, Any],
    train: dict[str, Any] | None = None,
    group: int = 8,
) -> dict[str, Any]:
    """A run on prompts of random letters, as `lydite.train` takes it."""
    return {
        "name": "benchmark",
        "output_dir": str(output),
        "plugin_files": [str(PLUGIN)],
        "model": {"path": str(folder), "quantization": quantization},
        "lora": {"r": LORA_RANK, "alpha": LORA_ALPHA},
        "data": {
            "use": "letters",
            "options": {"length": prompt, "size": steps * sequences // group},
            "max_prompt_length": max(prompt, CANARY - new),
            "check_reference": "off",
        },
        "rewards": {"coin": {"use": "coin"}},
        "probes": {"steps": 0, "canaries": False},
        "engine": engine,
        "train": {
            "max_steps": steps,
            "num_generations": group,
            "per_device_train_batch_size": micro_batch,
            "gradient_accumulation_steps": sequences // micro_batch,
            "max_completion_length": new,
            "save_steps": steps,
            **(train or {}),
        },
    }
