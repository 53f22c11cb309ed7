"""What every target of an export is given, and what it says of the files that it wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from lydite.exports.parity import Bound
from lydite.exports.readers import Reader
from lydite.policy.dtypes import Dtype

Layout: TypeAlias = Literal["merged", "adapter"]
Precision: TypeAlias = Literal["float32", "model"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an export is to be written and checked."""

    dtype: Dtype
    """Of merged weights."""
    outtype: str = "f16"
    """Of the weights in a GGUF file."""
    layout: Layout = "merged"
    """What vLLM is given."""
    converter: Path | None = None
    """llama.cpp's `convert_hf_to_gguf.py`; None: lydite's own writer."""
    precision: Precision = "float32"
    """What policy and export compute in while they are compared."""
    limit: int = 64
    """Tokens of an answer."""
    longest: int = 512
    """Tokens of the longest prompt with its answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """A program to open an export with, and what the export may then be off by."""

    open: Callable[[], Reader]
    bound: Bound
    kind: str
    """Type of the weights that it reads, by torch's name or llama.cpp's."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a target are there."""

    library: str
    """What the hub calls the program that loads them."""
    checks: tuple[Check, ...]
    usage: Callable[[Path, str], str]
    """How to load them, as the text of a code block, from where they end up and with the base of a name or place."""
    language: str = "python"
    """Of that block."""
    unchecked: tuple[str, ...] = ()
    """Programs that they could not be opened with, and why."""
