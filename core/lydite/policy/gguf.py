"""GGUF weights as an ordinary model: unpacked once, and kept in a cache where that is cheap."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from lydite.policy.quiet import without_chatter

CACHE_VARIABLE: Final = "LYDITE_CACHE"
# Unpacking the 135M demo model takes 15 s, reading it unpacked 1 s. Beyond this size the disk is worth more.
CACHE_AT_MOST: Final = 2 * 2**30
_FORMAT: Final = 1  # raise it when what is cached changes

logger = logging.getLogger("lydite")


def cache_folder() -> Path:
    """Where unpacked models are kept: `$LYDITE_CACHE`, or `lydite` in the user's cache folder."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "lydite"


def load_gguf(location: str, gguf_file: str, dtype: torch.dtype, revision: str | None) -> tuple[Any, Any]:
    """The model and the tokenizer of a GGUF file, the weights unpacked to `dtype`.

    The model is one that `save_pretrained` can write: nothing of it remembers the packed file.
    """
    cached = _cached(location, gguf_file, dtype)
    if cached is not None and cached.is_dir():
        return (
            transformers.AutoModelForCausalLM.from_pretrained(cached, dtype=dtype),
            transformers.AutoTokenizer.from_pretrained(cached),
        )
    model, tokenizer = _unpack(location, gguf_file, dtype, revision)
    if cached is not None and _size(model) <= CACHE_AT_MOST:
        _keep(model, tokenizer, cached)
    return model, tokenizer


def _unpack(location: str, gguf_file: str, dtype: torch.dtype, revision: str | None) -> tuple[Any, Any]:
    options: dict[str, Any] = {"gguf_file": gguf_file, "revision": revision or "main"}
    with without_chatter():
        tokenizer = transformers.AutoTokenizer.from_pretrained(location, **options)
        if hasattr(transformers, "GgufConfig"):  # newer releases keep the blocks packed unless told otherwise
            options["quantization_config"] = transformers.GgufConfig(dequantize=True)
        packed = transformers.AutoModelForCausalLM.from_pretrained(location, dtype=dtype, **options)
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.load_state_dict(packed.state_dict(), assign=True)
    for name, buffer in packed.named_buffers():  # those that are in no state dict, such as rotary frequencies
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, buffer)
    model.tie_weights()
    model.generation_config = packed.generation_config
    return model.eval(), tokenizer


def _cached(location: str, gguf_file: str, dtype: torch.dtype) -> Path | None:
    """The cache's folder for this very file; None for a file on the hub, which has a cache of its own."""
    file = Path(location) / gguf_file
    if not file.is_file():
        return None
    stat = file.stat()
    identity = (str(file.resolve()), stat.st_size, stat.st_mtime_ns, str(dtype), transformers.__version__, _FORMAT)
    return cache_folder() / "gguf" / hashlib.sha256(repr(identity).encode()).hexdigest()[:32]


def _size(model: Any) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _keep(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the model beside its place and renames it there, so that no half-written one is ever read."""
    scratch: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
        with without_chatter():
            model.save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
        scratch.rename(folder)
    except OSError as error:  # a full or read-only disk, or another process was first: the model is here anyway
        logger.debug("the unpacked model is not cached in %s: %s", folder, error)
    finally:
        if scratch is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(scratch)
