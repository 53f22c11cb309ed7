"""The target `vllm`: a folder that `vllm serve` takes, merged or as a base and a LoRA folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lydite.errors import ExportError
from lydite.exports.bounds import bound_for
from lydite.exports.merged import open_merged, save_merged
from lydite.exports.merging import generation_settings, plain_model
from lydite.exports.readers import Reader
from lydite.exports.readers.hf import TransformersReader
from lydite.exports.readers.vllm import VllmReader
from lydite.exports.target import Check, Wanted, Written
from lydite.exports.trained import Trained
from lydite.policy import resolve_source
from lydite.policy.adapter_files import SETTINGS
from lydite.policy.dtypes import DTYPES
from lydite.policy.quiet import without_chatter
from lydite.rollout.vllm import can_run, installed_version

ADAPTER: Final = "adapter"
BASE: Final = "base"
_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's --max-lora-rank may be


def write_vllm(trained: Trained, draft: Path, wanted: Wanted) -> Written:
    """Writes the merged model, or by the layout `adapter` the LoRA folder and, where vLLM could not find it, the base.

    vLLM finds a base that is an ordinary folder or on the hub. One that was unpacked from GGUF, or packed in 4 bit for
    training, is written beside the adapter, as the policy multiplied by it.
    """
    if wanted.layout == "merged":
        save_merged(trained, draft, DTYPES[wanted.dtype])
        return _written(trained, draft, wanted, draft, None, lambda folder, base: f"vllm serve {_quoted(folder)}")
    lora = draft / ADAPTER
    trained.policy.save_adapter(lora)
    trained.policy.tokenizer.save_pretrained(lora)
    generation_settings(trained.policy).save_pretrained(lora)
    source = resolve_source(trained.config.model)
    rank, name = max_lora_rank(trained.config.lora.r), trained.run.name
    if trained.config.model.quantization == "none" and source.gguf_file is None:
        model: Path | str = source.location
    else:
        model = draft / BASE
        with without_chatter():
            plain_model(trained.policy, DTYPES[wanted.dtype], merge=False).save_pretrained(model)
            trained.policy.tokenizer.save_pretrained(model)
        _name_base(lora, f"../{BASE}")

    beside = model == draft / BASE

    def command(folder: Path, base: str) -> str:
        # A base that lies beside has the run's chat template and end tokens too. Where vLLM is sent for them it looks
        # for a model as well, and logs errors when there is none.
        lora = _quoted(folder / ADAPTER)
        words = "" if beside else f" \\\n  --tokenizer {lora} --generation-config {lora}"
        return (
            f"vllm serve {_quoted(folder / BASE if beside else base)}{words} \\\n"
            f"  --enable-lora --max-lora-rank {rank} --lora-modules {shlex.quote(f'{name}={folder / ADAPTER}')}"
        )

    return _written(trained, draft, wanted, model, lora, command)


def max_lora_rank(r: int) -> int:
    """The least rank that vLLM can be told of and that holds adapters of rank r."""
    return next((one for one in _RANKS if one >= r), r)


def _written(
    trained: Trained,
    draft: Path,
    wanted: Wanted,
    model: Path | str,
    lora: Path | None,
    usage: Callable[[Path, str], str],
) -> Written:
    bound = bound_for(wanted.dtype if lora is None else "float32", wanted.precision)
    if can_run():
        dtype = "float32" if wanted.precision == "float32" else wanted.dtype
        rank = max_lora_rank(trained.config.lora.r)

        def start() -> Reader:
            words = None if model == draft / BASE else lora
            return VllmReader(model, dtype, wanted.longest, adapter=lora, words=words, max_lora_rank=rank)

        return Written("transformers", (Check(start, bound, wanted.dtype),), usage, "bash")
    version = installed_version()
    unchecked = f"vLLM: {'not installed' if version is None else f'version {version} is not known here'}"

    def load() -> Reader:
        if lora is None:
            return open_merged(trained, draft, wanted.precision)
        return _open_lora(trained, model, lora, wanted)

    return Written("transformers", (Check(load, bound, wanted.dtype),), usage, "bash", (unchecked,))


def _open_lora(trained: Trained, model: Path | str, lora: Path, wanted: Wanted) -> TransformersReader:
    import peft
    import transformers

    dtype = DTYPES["float32" if wanted.precision == "float32" else wanted.dtype]
    try:
        with without_chatter():
            base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
            adapted: Any = peft.PeftModel.from_pretrained(base.to(trained.policy.device), str(lora))
            tokenizer = transformers.AutoTokenizer.from_pretrained(lora)
            adapted.generation_config = transformers.GenerationConfig.from_pretrained(lora)
    except Exception as error:
        raise ExportError(f"peft cannot load the export: {type(error).__name__}: {error}") from error
    return TransformersReader(f"peft {peft.__version__}", adapted, tokenizer, plain=False)


def _name_base(lora: Path, base: str) -> None:
    """Lets the adapter's settings name the base that lies beside it."""
    file = lora / SETTINGS
    content = json.loads(file.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = base
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _quoted(path: Path | str) -> str:
    return shlex.quote(str(path))
