"""Whether the weights at a path are those that they were, without reading all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from lydite.config import ModelConfig
from lydite.policy.source import WEIGHTS, resolve_source

_PIECES: Final = 64  # of each file, evenly spaced: a fine-tuned copy differs in every one of them
_PIECE: Final = 4096  # bytes


def weights_digest(config: ModelConfig) -> str | None:
    """A digest of the names and sizes of a model's files of weights and of pieces of each.

    Equal for copies in other places. None for a model on the hub, whose name and revision say what it is.
    """
    source = resolve_source(config)
    if source.kind == "hub":
        return None
    folder = Path(source.location)
    names = [folder / source.gguf_file] if source.gguf_file else [one for kind in WEIGHTS for one in folder.glob(kind)]
    digest = hashlib.sha256()
    for path in sorted(names):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for piece in range(_PIECES):
                file.seek(max(size - _PIECE, 0) * piece // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    return digest.hexdigest()
