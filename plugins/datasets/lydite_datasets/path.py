"""Paths that users type, checked before anything reads them."""

from __future__ import annotations

from pathlib import Path

from lydite import DataError, did_you_mean


def existing_file(path: str, ending: str) -> Path:
    """The file at that path, `~` expanded, seen from the working directory.

    Raises:
        DataError: when there is none, with the nearest name in its folder.
    """
    found = Path(path).expanduser()
    if found.is_file():
        return found
    if found.is_dir():
        raise DataError(f"{path} is a folder; a {ending} file is expected")
    if not found.parent.is_dir():
        raise DataError(f"there is no file {path}: its folder {found.parent.resolve()} does not exist")
    names = [one.name for one in found.parent.iterdir() if one.is_file() and not one.name.startswith(".")]
    raise DataError(f"there is no file {path} in {found.parent.resolve()}{did_you_mean(found.name, names)}")
