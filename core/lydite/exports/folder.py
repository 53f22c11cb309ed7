"""An export is a folder that is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from lydite.disk import drafted_folder, why_unwritten
from lydite.errors import ConfigError, ExportError

PARITY: Final = "parity.json"
"""What was found when the export was opened again; a folder with it is an export."""
CARD: Final = "README.md"


def check_free(target: Path, *, overwrite: bool) -> None:
    """Nothing, where an export may be written to a folder of that name.

    Raises:
        ConfigError: when it holds something, unless that is an export and may be overwritten.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / PARITY).is_file():
        raise ConfigError(f"{target} holds files that are no export of lydite; name another folder with --out")
    if not overwrite:
        raise ConfigError(f"{target} holds an earlier export; name another folder with --out, or replace it with "
                          "--overwrite")  # fmt: skip


@contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when all went well and of which nothing is left otherwise.

    Raises:
        ExportError: when it cannot be written, for example on a full disk.
    """
    try:
        with drafted_folder(target) as draft:
            yield draft
    except (OSError, SafetensorError) as error:  # safetensors says in its own way that a disk is full
        raise ExportError(
            f"the export {target} cannot be written: {why_unwritten(error, target)}; another folder is named with --out"
        ) from error
