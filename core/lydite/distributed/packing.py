"""Objects as bytes, from one process of a run to another."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
from torch import Tensor


def packed(thing: Any) -> bytes:
    """The pickled object, with the numbers of its tensors in it, wherever they are.

    A step's figures are hundreds of tensors of one number, for each of which torch's own format writes a file of an
    archive: it takes ten times as long.
    """
    file = io.BytesIO()
    _Packer(file, protocol=5).dump(thing)
    return file.getvalue()


def unpacked(content: bytes) -> Any:
    """What `packed` was given, with tensors on the CPU and without gradients."""
    return pickle.loads(content)  # noqa: S301 - written by a process of this run a moment ago


class _Packer(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        if type(thing) is not Tensor:
            return NotImplemented
        own = thing.detach().cpu()
        return _tensor, (own.reshape(-1).view(torch.uint8).numpy().tobytes(), own.dtype, tuple(own.shape))


def _tensor(numbers: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not numbers:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(numbers), dtype=dtype).reshape(shape)
