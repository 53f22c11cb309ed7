"""Where a rubric's file lies: a path, or a place inside an installed package."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path, PurePosixPath
from typing import Final

LARGEST: Final = 1_000_000
"""Bytes of a rubric's file."""
_PREFIX: Final = "package:"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def content_of(given: str) -> bytes:
    """The bytes of a rubric's file. `package:name/folder/file.toml` is a file that a package brought along.

    The package is located and not imported.

    Raises:
        ValueError: when there is no such file, naming those beside it, or when it is too large.
    """
    path = _inside_package(given) if given.startswith(_PREFIX) else Path(given)
    if path.suffix not in (".toml", ".json"):
        raise ValueError(f"a rubric's file ends in .toml or .json, got {given!r}")
    if not path.is_file():
        raise ValueError(f"there is no rubric file {given!r}{_beside(path)}")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"the rubric file {given!r} is larger than {LARGEST} bytes")
    return path.read_bytes()


def _inside_package(given: str) -> Path:
    package, _, inside = given.removeprefix(_PREFIX).partition("/")
    parts = PurePosixPath(inside).parts
    if not _NAME.match(package) or not parts or ".." in parts or parts[0] == "/":
        raise ValueError(f"expected 'package:name/folder/file.toml', got {given!r}")
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise ValueError(
            f"the package {package!r} of {given!r} is not installed (install the distribution that has it)"
        )
    return Path(folders[0]).joinpath(*parts)


def _beside(path: Path) -> str:
    """A clause with the rubric files of the same folder; paths are resolved from the folder that a run starts in."""
    if not path.parent.is_dir():
        return f": the folder {path.parent} does not exist (seen from {Path.cwd()})"
    names = sorted(one.name for one in path.parent.iterdir() if one.suffix in (".toml", ".json"))
    return (
        f" in {path.parent.resolve()}; there are: {', '.join(names[:12])}" if names else f" in {path.parent.resolve()}"
    )
