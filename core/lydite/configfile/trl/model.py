"""The model: its weights, its type, its device, its adapter, and the engine that samples from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from lydite.configfile.problems import shown
from lydite.configfile.trl.given import Translation

_TYPES: Final = ("bfloat16", "float16", "float32")
_ELSEWHERE: Final = {"revision": "model_revision", "dtype": "dtype", "torch_dtype": "dtype"}
_DROPPED: Final = ("attn_implementation", "use_cache", "low_cpu_mem_usage", "use_kernels", "device_map")


def put_model(work: Translation) -> None:
    """What of TRL's ModelConfig is worked out, and `use_cpu` and `use_vllm`."""
    if "model_name_or_path" not in work.given:
        work.problems.append("model_name_or_path is needed: a hub name, a folder, or package:NAME")
    loading = _loading(work)
    revision = work.given.get("model_revision", loading.get("model_revision"))
    if revision not in (None, "main"):
        work.take("model_revision", ("model", "revision"), revision)
    _put_type(work, loading.get("dtype"))
    if work.value("use_cpu", False):
        work.take("use_cpu", ("model", "device"), "cpu")
    if work.value("load_in_4bit", False) and not work.value("use_peft", False):
        work.refuse("load_in_4bit", "4-bit weights are frozen, and train through LoRA; set use_peft: true")
    elif work.value("load_in_4bit", False):
        work.take("load_in_4bit", ("model", "quantization"), "nf4")
    if "use_vllm" in work.given:
        work.take("use_vllm", ("engine", "use"), "vllm" if work.given["use_vllm"] else "hf")
    if work.value("use_peft", False):
        _put_targets(work)
    else:
        for name in work.given:
            if name.startswith("lora_"):
                work.dropped.append(f"{name}: use_peft is not true, so that TRL trains every weight")


def _loading(work: Translation) -> dict[str, Any]:
    """The keys of `model_init_kwargs` that are arguments elsewhere, under the names they have there."""
    given = work.given.get("model_init_kwargs") or {}
    if not isinstance(given, Mapping):
        work.refuse("model_init_kwargs", "expected a table")
        return {}
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in _ELSEWHERE:
            found[_ELSEWHERE[name]] = value
        elif name in _DROPPED:
            work.dropped.append(f"model_init_kwargs.{name}: how a model is computed is chosen by the machine")
        else:
            work.problems.append(
                f"model_init_kwargs.{name} = {shown(value)}: a model is loaded with {', '.join(_ELSEWHERE)} and no more"
            )
    return found


def _put_type(work: Translation, loaded: Any) -> None:
    """The type of the computation: TRL's mixed precision, unless it is turned off."""
    half = bool(work.value("fp16", False))
    brain = work.given.get("bf16")
    brain = not half if brain is None else bool(brain)
    if half and brain:
        work.refuse("fp16", "bf16 is true as well; one of them is the type of the computation")
        return
    held = str(work.given.get("dtype", loaded) or "float32").removeprefix("torch.")
    if held not in (*_TYPES, "auto"):
        work.refuse("dtype", f"expected one of {', '.join(_TYPES)}, auto")
        return
    whole = "float32" if held == "auto" else held
    computed = "float16" if half else "bfloat16" if brain else whole
    said = [name for name in ("dtype", "bf16", "fp16") if name in work.given]
    if said:
        note = f"computed in {computed}; what is trained is held in float32" if held == "float32" != computed else ""
        work.take(" and ".join(said), ("model", "dtype"), computed, note)
    else:
        work.take_default("bf16", ("model", "dtype"), computed)


def _put_targets(work: Translation) -> None:
    targets = work.given.get("lora_target_modules")
    if targets is None:
        work.dropped.append(
            "lora_target_modules: not given; peft would take a few layers for the architecture, and lydite adapts "
            "every linear one"
        )
        return
    listed = [targets] if isinstance(targets, str) else list(targets)
    patterns = [one for one in listed if one != "all-linear" and not re.fullmatch(r"[\w.-]+", str(one))]
    if patterns:
        work.refuse("lora_target_modules", 'patterns are not read; name the layers, such as ["q_proj", "v_proj"]')
        return
    work.take("lora_target_modules", ("lora", "target_modules"), [] if listed == ["all-linear"] else listed)
