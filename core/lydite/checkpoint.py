"""Checkpoints: all that a run needs to go on as if it had never been stopped.

A checkpoint is a folder that appears whole or not at all: it is written under another name, forced to
disk, and renamed. Each holds the digest of every file in it, so that a damaged one is noticed and the one
before is taken.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from lydite.disk import spoken_size, why_unwritten
from lydite.errors import CheckpointError, WriteError

_PREFIX: Final = "step-"
_DRAFT: Final = ".draft-"
_DIGESTS: Final = "digests.json"
_BESIDE: Final = "algorithm.safetensors"
_UNREADABLE: Final = (OSError, ValueError, KeyError, RuntimeError, EOFError)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after one of its steps."""

    step: int
    adapter: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    """As torch's optimisers give it: tensors, numbers, lists and dictionaries of them."""
    state: Mapping[str, Any]
    """Everything else, in JSON terms: length of the logs, token count, best evaluation, reward stack."""
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    """What the algorithm trains besides the policy, by name."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for a run's newest checkpoint came to."""

    checkpoint: Checkpoint | None
    damaged: tuple[str, ...]
    """Newer checkpoints that could not be read, each with the reason."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Writes a checkpoint below `folder` and drops all but the newest `keep`.

    Those of later steps are dropped as well: the run went back past them because they were damaged.

    Raises:
        WriteError: when it cannot be written; those that were there before stay as they are.
    """
    target = folder / f"{_PREFIX}{checkpoint.step:06d}"
    draft = folder / f"{_DRAFT}{target.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        digests = {
            "adapter.safetensors": _write(draft / "adapter.safetensors", save_tensors(_on_cpu(checkpoint.adapter))),
            "optimizer.pt": _write_torch(draft / "optimizer.pt", checkpoint.optimizer),
            "state.json": _write(
                draft / "state.json", json.dumps({"step": checkpoint.step, **checkpoint.state}, indent=2).encode()
            ),
        }
        if checkpoint.beside:
            digests[_BESIDE] = _write(draft / _BESIDE, save_tensors(_on_cpu(checkpoint.beside)))
        _write(draft / _DIGESTS, json.dumps(digests, indent=2).encode())
        _sync(draft)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        size = spoken_size(_bytes_of([checkpoint.adapter, checkpoint.optimizer, checkpoint.beside]))
        raise WriteError(
            f"cannot write the checkpoint of step {checkpoint.step}, about {size}, to {target}: "
            f"{why_unwritten(error, target)}. The checkpoints before it are untouched"
        ) from error
    steps = _steps(folder)
    here = steps.index(target)
    for old in (*steps[:here], *steps[here + keep :]):
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest_step(folder: Path) -> int | None:
    """The step of the newest checkpoint, whole or not; None where there is none."""
    return max(map(_step_of, _steps(folder)), default=None)


def newest_checkpoint(folder: Path, *, before: int | None = None) -> Found:
    """The newest checkpoint that is whole, and the newer ones that are not; of those `before` a step, where given."""
    damaged: list[str] = []
    for path in _steps(folder):
        if before is not None and _step_of(path) >= before:
            continue
        try:
            return Found(_read(path), tuple(damaged))
        except _UNREADABLE as error:
            damaged.append(f"{path.name}: {error}")
    return Found(None, tuple(damaged))


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is one of a run's checkpoints, whole or not."""
    return (path / _DIGESTS).is_file()


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a folder.

    Raises:
        CheckpointError: when it is damaged, or none.
    """
    try:
        return _read(path)
    except _UNREADABLE as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read: {error}; take another one of the run") from None


def _read(path: Path) -> Checkpoint:
    digests = json.loads((path / _DIGESTS).read_text())
    contents: dict[str, bytes] = {}
    for name, digest in digests.items():
        contents[name] = (path / name).read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise ValueError(f"{name} is damaged")
    state = json.loads(contents["state.json"])
    optimizer = torch.load(path / "optimizer.pt", weights_only=True, map_location="cpu")
    beside = load_tensors(contents[_BESIDE]) if _BESIDE in contents else {}
    return Checkpoint(state.pop("step"), load_tensors(contents["adapter.safetensors"]), optimizer, state, beside)


def _steps(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}


def _write(path: Path, content: bytes | memoryview) -> str:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def _write_torch(path: Path, content: Mapping[str, Any]) -> str:
    # Not into the file itself: what its write raises, a full disk or a signal's interruption, torch's zip writer turns
    # into an error of its own, in words that do not say so.
    written = io.BytesIO()
    torch.save(dict(content), written)
    return _write(path, written.getbuffer())


def _bytes_of(content: Any) -> int:
    """What the tensors in nested lists and mappings take."""
    if isinstance(content, Tensor):
        return content.nbytes
    inner = content.values() if isinstance(content, Mapping) else content if isinstance(content, list) else ()
    return sum(_bytes_of(one) for one in inner)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
