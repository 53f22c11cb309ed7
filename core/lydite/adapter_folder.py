"""Adapters on disk, each a folder that is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from lydite.disk import drafted_folder, spoken_size, why_unwritten
from lydite.errors import WriteError
from lydite.policy import Policy


def save_adapter_atomically(policy: Policy, target: Path) -> None:
    """Writes the adapter as peft does; a folder of that name stays as it is until the new one is whole.

    Raises:
        WriteError: when it cannot be written, for example on a full disk.
    """
    try:
        with drafted_folder(target) as draft:
            policy.save_adapter(draft)
    except (OSError, SafetensorError) as error:
        size = spoken_size(sum(tensor.nbytes for tensor in policy.trainable().values()))
        raise WriteError(
            f"cannot write the adapter, about {size}, to {target}: {why_unwritten(error, target)}"
        ) from error
