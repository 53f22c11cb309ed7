"""The target `adapter`: what was trained and nothing else, as peft reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lydite.errors import ConfigError, ExportError
from lydite.exports.bounds import bound_for
from lydite.exports.merging import generation_settings
from lydite.exports.readers.hf import TransformersReader
from lydite.exports.target import Check, Wanted, Written
from lydite.exports.trained import Trained, in_float32
from lydite.policy import resolve_source
from lydite.policy.load import load_base
from lydite.policy.quiet import without_chatter


def check_adapter(trained_weights: bool) -> None:
    """Nothing, for a run that trained an adapter.

    Raises:
        ConfigError: for one that trained every weight.
    """
    if not trained_weights:
        raise ConfigError("the run trained every weight (lora.enabled = false) and has no adapter; take --to merged")


def write_adapter(trained: Trained, draft: Path, wanted: Wanted) -> Written:
    """Writes the adapter with the tokenizer and its chat template; peft's own code loads it for the check."""
    trained.policy.save_adapter(draft)
    trained.policy.tokenizer.save_pretrained(draft)
    generation_settings(trained.policy).save_pretrained(draft)

    def usage(folder: Path, base: str) -> str:
        return (
            "import transformers\nfrom peft import PeftModel\n\n"
            f"base = transformers.AutoModelForCausalLM.from_pretrained(\n    {', '.join(_loading(trained, base))}\n)\n"
            f'model = PeftModel.from_pretrained(base, "{folder}")\n'
            f'model.generation_config = transformers.GenerationConfig.from_pretrained("{folder}")\n'
            f'tokenizer = transformers.AutoTokenizer.from_pretrained("{folder}")'
        )

    return Written(
        "peft",
        (Check(lambda: open_adapter(trained, draft, wanted), bound_for("float32", wanted.precision), "float32"),),
        usage,
    )


def _loading(trained: Trained, base: str) -> list[str]:
    """The arguments with which transformers loads the base as the run held it."""
    model = trained.config.model
    source = resolve_source(model)
    arguments = [f'"{base}"', f'dtype="{model.dtype}"']
    if source.gguf_file is not None:
        arguments.append(f'gguf_file="{source.gguf_file}"')
    if model.revision is not None:
        arguments.append(f'revision="{model.revision}"')
    if model.quantization == "nf4":
        kept = f", llm_int8_skip_modules={list(model.keep_16bit)}" if model.keep_16bit else ""
        arguments.append(
            'quantization_config=transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", '
            f'bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="{model.dtype}"{kept})'
        )
    return arguments


def open_adapter(trained: Trained, folder: Path, wanted: Wanted) -> TransformersReader:
    """The base as the run held it, with the adapter that lies in the folder.

    Raises:
        ExportError: when peft cannot load it.
    """
    import peft
    import transformers

    base: Any = load_base(trained.config.model)
    try:
        with without_chatter():
            model = peft.PeftModel.from_pretrained(base, str(folder))
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    except Exception as error:
        raise ExportError(f"peft cannot load the adapter: {type(error).__name__}: {error}") from error
    if wanted.precision == "float32":
        in_float32(model)
    return TransformersReader(f"peft {peft.__version__}", model, tokenizer, plain=False)
