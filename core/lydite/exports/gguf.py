"""The target `gguf`: one file for llama.cpp and what is built on it, written here or by llama.cpp's own converter."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from lydite.errors import ConfigError, ExportError, MissingExtraError
from lydite.exports.bounds import bound_for
from lydite.exports.gguf_architectures import rope_factors
from lydite.exports.gguf_writer import OUTTYPES, write_gguf
from lydite.exports.merged import save_merged
from lydite.exports.readers.hf import TransformersReader
from lydite.exports.readers.llama_cpp import LlamaCppReader, has_llama_cpp
from lydite.exports.target import Check, Precision, Wanted, Written
from lydite.exports.trained import Trained
from lydite.policy.quiet import without_chatter
from lydite.suggest import did_you_mean

CONVERTER: Final = "convert_hf_to_gguf.py"
_OF_THE_CONVERTER: Final = ("f32", "f16", "bf16", "q8_0")
_LAST_LINES: Final = 5


def find_converter(given: Path) -> Path:
    """The converter: a file, or a name on the PATH.

    Raises:
        ConfigError: when it is neither.
    """
    if given.is_file():
        return given
    if (found := shutil.which(str(given))) is not None:
        return Path(found)
    raise ConfigError(f"--converter {given}: there is no such file, nor on the PATH; it is llama.cpp's {CONVERTER}")


def check_gguf(outtype: str, converter: Path | None) -> None:
    """Nothing, where such a file can be written.

    Raises:
        ConfigError: for an unknown type of weights, or one that the converter does not write.
        MissingExtraError: without the package gguf.
    """
    if outtype not in OUTTYPES:
        raise ConfigError(f"--outtype {outtype}: no such type of weights{did_you_mean(outtype, OUTTYPES)}")
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtraError("a GGUF file needs the package gguf; pip install 'lydite[gguf]'")
    if converter is None:
        return
    if outtype not in _OF_THE_CONVERTER:
        raise ConfigError(
            f"llama.cpp's converter writes {', '.join(_OF_THE_CONVERTER)}, and not {outtype}; leave --converter out, "
            "or quantise its file with llama-quantize"
        )


def write_gguf_file(trained: Trained, draft: Path, wanted: Wanted) -> Written:
    """Writes one GGUF file; it is opened again by transformers and, where it is installed, by llama.cpp.

    Raises:
        MissingExtraError: for a model that transformers reads otherwise than llama.cpp, without llama.cpp.
    """
    if rope_factors(trained.policy.config.get_text_config(decoder=True)) is not None and not has_llama_cpp():
        raise MissingExtraError(
            "a GGUF file with Llama 3's rotary factors is checked by llama.cpp alone; pip install 'lydite[gguf]'"
        )
    file = draft / f"{trained.run.name}-{wanted.outtype.upper()}.gguf"
    if wanted.converter is None:
        write_gguf(trained, file, wanted.outtype)
    else:
        _convert(trained, file, wanted.outtype, wanted.converter)
    checks, unchecked = [], []
    if rope_factors(trained.policy.config.get_text_config(decoder=True)) is None:
        bound = bound_for(wanted.outtype, wanted.precision)
        checks.append(Check(lambda: open_gguf(trained, file, wanted.precision), bound))
    else:
        unchecked.append("transformers: it leaves Llama 3's rotary factors out when it reads a GGUF file")
    if has_llama_cpp():
        rounded = bound_for(wanted.outtype, wanted.precision, llama_cpp=True)
        checks.append(Check(lambda: LlamaCppReader(file, wanted.longest), rounded))
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
    return TransformersReader(f"transformers {transformers.__version__}", model.to(trained.policy.device), tokenizer)


def _convert(trained: Trained, file: Path, outtype: str, converter: Path) -> None:
    """Writes the merged model in float32 and lets llama.cpp's converter make the file of it.

    Raises:
        ExportError: when the converter fails, with the last it said.
    """
    with TemporaryDirectory(prefix="lydite-merged-", dir=file.parent.parent) as folder:
        save_merged(trained, Path(folder), torch.float32)
        command = [sys.executable, str(converter), folder, "--outfile", str(file), "--outtype", outtype]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's own file
    if done.returncode != 0 or not file.is_file():
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise ExportError(f"llama.cpp's converter failed with exit code {done.returncode}:\n{said}")
