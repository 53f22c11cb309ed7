"""The target `merged`: one ordinary model, for whatever reads models of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from lydite.errors import ExportError
from lydite.exports.bounds import bound_for
from lydite.exports.merging import plain_model
from lydite.exports.readers.hf import TransformersReader
from lydite.exports.target import Check, Precision, Wanted, Written
from lydite.exports.trained import Trained
from lydite.policy.dtypes import DTYPES
from lydite.policy.quiet import without_chatter

_SHARD: Final = "5GB"  # a file that hubs and old file systems take


def write_merged(trained: Trained, draft: Path, wanted: Wanted) -> Written:
    """Writes the merged model with tokenizer, chat template and generation settings; weights in files of up to 5 GB."""
    save_merged(trained, draft, DTYPES[wanted.dtype])

    def usage(folder: Path, base: str) -> str:
        return (
            "import transformers\n\n"
            f'model = transformers.AutoModelForCausalLM.from_pretrained("{folder}", dtype="auto")\n'
            f'tokenizer = transformers.AutoTokenizer.from_pretrained("{folder}")'
        )

    check = Check(
        lambda: open_merged(trained, draft, wanted.precision), bound_for(wanted.dtype, wanted.precision), wanted.dtype
    )
    return Written("transformers", (check,), usage)


def save_merged(trained: Trained, folder: Path, dtype: torch.dtype) -> None:
    """Writes the policy as `plain_model` has it, and its tokenizer."""
    with without_chatter():
        plain_model(trained.policy, dtype).save_pretrained(folder, max_shard_size=_SHARD)
        trained.policy.tokenizer.save_pretrained(folder)


def open_merged(trained: Trained, folder: Path, precision: Precision) -> TransformersReader:
    """The model in the folder, as plain transformers loads it.

    Raises:
        ExportError: when it cannot.
    """
    import transformers

    dtype = torch.float32 if precision == "float32" else "auto"
    try:
        with without_chatter():
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        raise ExportError(f"transformers cannot load the export: {type(error).__name__}: {error}") from error
    return TransformersReader(f"transformers {transformers.__version__}", model.to(trained.policy.device), tokenizer)
