"""Python files as plugins, and the digest of a plugin's files."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from lydite.errors import ConfigError
from lydite.suggest import file_meant


def import_file(path: Path) -> ModuleType:
    """The module in a file, imported under a name of its own.

    Raises:
        ConfigError: when there is no such file.
    """
    if not path.is_file():
        raise ConfigError(f"plugin_files: {path}: there is no such file{file_meant(path)}")
    name = f"lydite_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"plugin_files: {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def digest_of_package(entry_value: str) -> str:
    """Over the Python files of the entry point's package, without importing it; empty where they cannot be found."""
    package = entry_value.split(":")[0].strip().split(".")[0]  # a dotted name would import what stands before the dot
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return ""
    if spec is None or spec.origin is None:
        return ""
    origin = Path(spec.origin)
    files: Iterable[Path] = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(origin.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
