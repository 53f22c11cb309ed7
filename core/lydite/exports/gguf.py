"""The target `gguf`: one file for llama.cpp and what is built on it, written here or by llama.cpp's own converter."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import torch

from lydite.errors import ConfigError, ExportError, MissingExtraError
from lydite.exports.bounds import bound_for
from lydite.exports.gguf_blocks import quantiser
from lydite.exports.gguf_converter import OF_THE_CONVERTER, convert
from lydite.exports.gguf_limits import transformers_leaves_out, warnings_of
from lydite.exports.gguf_tokenizer import transformers_leaves_out_of_the_tokenizer
from lydite.exports.gguf_types import OUTTYPES, WITH_K
from lydite.exports.gguf_writer import write_gguf
from lydite.exports.merging import generation_settings
from lydite.exports.readers.hf import TransformersReader
from lydite.exports.readers.llama_cpp import LlamaCppReader, has_llama_cpp
from lydite.exports.target import Check, Precision, Wanted, Written
from lydite.exports.trained import Trained
from lydite.policy.quiet import without_chatter
from lydite.suggest import did_you_mean

logger = logging.getLogger("lydite")


def check_gguf(outtype: str, converter: Path | None) -> None:
    """Nothing, where such a file can be written.

    Raises:
        ConfigError: for an unknown type of weights, or one that the converter does not write.
        MissingExtraError: without the package gguf, or without llama.cpp for a type that it packs.
    """
    if outtype not in OUTTYPES:
        raise ConfigError(f"--outtype {outtype}: no such type of weights{did_you_mean(outtype, OUTTYPES)}")
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtraError("a GGUF file needs the package gguf; pip install 'lydite[gguf]'")
    if converter is None:
        if outtype in WITH_K:
            quantiser()
        return
    if outtype not in OF_THE_CONVERTER:
        raise ConfigError(
            f"llama.cpp's converter writes {', '.join(OF_THE_CONVERTER)}, and not {outtype}; leave --converter out, "
            "or quantise its file with llama-quantize"
        )


def write_gguf_file(trained: Trained, draft: Path, wanted: Wanted) -> Written:
    """Writes one GGUF file; it is opened again by transformers and, where it is installed, by llama.cpp.

    Raises:
        MissingExtraError: for a model that transformers reads otherwise than llama.cpp, without llama.cpp.
    """
    config = trained.policy.config.get_text_config(decoder=True)
    left_out = transformers_leaves_out(config) or transformers_leaves_out_of_the_tokenizer(
        trained.policy.tokenizer, config.model_type
    )
    if left_out is not None and not has_llama_cpp():
        raise MissingExtraError(
            f"a GGUF file with {left_out} is read rightly by llama.cpp alone, which checks it; "
            "pip install 'lydite[gguf]'"
        )
    for warning in warnings_of(config):
        logger.warning(warning)
    file = draft / f"{trained.run.name}-{wanted.outtype.upper()}.gguf"
    if wanted.converter is None:
        write_gguf(trained, file, wanted.outtype)
    else:
        convert(trained, file, wanted.outtype, wanted.converter)
    kind, checks, unchecked = wanted.outtype, [], []
    if left_out is None:
        bound = bound_for(kind, wanted.precision)
        checks.append(Check(lambda: open_gguf(trained, file, wanted.precision), bound, kind))
    else:
        unchecked.append(f"transformers: it leaves out {left_out} when it reads a GGUF file")
    if has_llama_cpp():
        rounded = bound_for(kind, wanted.precision, llama_cpp=True)
        checks.append(Check(lambda: LlamaCppReader(file, wanted.longest), rounded, kind))
    else:
        unchecked.append("llama.cpp: not installed; pip install 'lydite[gguf]' brings it as xllamacpp")
    return Written(
        "gguf", tuple(checks), lambda folder, base: f"llama-cli -m {folder / file.name}", "bash", tuple(unchecked)
    )


def open_gguf(trained: Trained, file: Path, precision: Precision) -> TransformersReader:
    """The file as transformers unpacks it.

    Raises:
        ExportError: when it cannot.
    """
    import transformers

    options = {"gguf_file": file.name}
    dtype = torch.float32 if precision == "float32" else trained.policy.dtype
    try:
        with without_chatter():
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **options)
            if hasattr(transformers, "GgufConfig"):  # newer releases keep the blocks packed unless told otherwise
                options["quantization_config"] = transformers.GgufConfig(dequantize=True)
            model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=dtype, **options)
    except Exception as error:
        raise ExportError(f"transformers cannot load the GGUF file: {type(error).__name__}: {error}") from error
    # A GGUF file names two end tokens at most. llama.cpp knows the usual others by their text, and is asked about them.
    model.generation_config = generation_settings(trained.policy)
    name = f"transformers {transformers.__version__}"
    # In the model's own type the numbers are rounded once more, and no longer those of the file.
    return TransformersReader(name, model.to(trained.policy.device), tokenizer, plain=precision == "float32")
