"""Reading: a TOML file, nested mappings or a configuration, with what the command line adds, into a `RunConfig`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from lydite.config import RunConfig
from lydite.configfile.overrides import apply_overrides, plain_tables
from lydite.configfile.problems import config_error, shown
from lydite.errors import ConfigError
from lydite.suggest import close_to

Source: TypeAlias = Path | str | Mapping[str, Any] | RunConfig
"""The path of a TOML file, its content as nested mappings, or a configuration read already."""

IN_PYTHON: Final = "configuration"  # stands where a file's name would


def read_config(
    source: Source,
    *,
    overrides: Sequence[str] = (),
    plugin_files: Sequence[str | Path] = (),
    name: str | None = None,
    label: str | None = None,
) -> RunConfig:
    """The configuration of a run, checked and complete.

    `overrides` are `key=value` texts as `--set` takes them. `plugin_files` are added to the configuration's own.
    `name` comes before the configuration's own name, and that before the name of its file. Messages call the source by
    `label`, or else by its path.

    Plugin files are kept as absolute paths: those that a file names are looked for beside that file, others in
    the current folder, so that a run's own configuration can be read from anywhere.

    Raises:
        ConfigError: on a file that is missing or no TOML, and on every wrong key and value, all listed at once.
    """
    if isinstance(source, RunConfig) and not (overrides or plugin_files or name):
        return source
    content, where, folder = _content(source)
    content, origins = apply_overrides(content, overrides)
    if name is not None:
        content["name"] = name
    elif isinstance(source, str | Path):
        content.setdefault("name", Path(source).stem)
    _make_absolute(content, folder)
    if plugin_files:
        added = [str(Path(file).absolute()) for file in plugin_files]
        content["plugin_files"] = list(dict.fromkeys([*content.get("plugin_files", ()), *added]))
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise config_error(error, label or where, origins) from None


def _content(source: Source) -> tuple[dict[str, Any], str, Path]:
    """The tables, what to call them in messages, and the folder that their relative paths start from."""
    if isinstance(source, RunConfig):
        return source.model_dump(), IN_PYTHON, Path.cwd()
    if isinstance(source, Mapping):
        return plain_tables(source), IN_PYTHON, Path.cwd()
    if not isinstance(source, str | Path):
        raise ConfigError(
            f"a configuration is the path of a TOML file, a mapping or a RunConfig, got {type(source).__name__}"
        )
    path = Path(source)
    return _parsed(path), str(path), path.absolute().parent


def _parsed(path: Path) -> dict[str, Any]:
    if path.is_dir():
        inside = (
            f"; the configuration of that run is {path / 'config.toml'}" if (path / "config.toml").is_file() else ""
        )
        raise ConfigError(f"{path} is a folder, expected a TOML file{inside}")
    if not path.is_file():
        beside = {one.stem: one for one in path.parent.glob("*.toml")}
        near = close_to(path.stem, beside)
        raise ConfigError(f"{path}: there is no such file{f'; did you mean {str(beside[near])!r}?' if near else ''}")
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text in UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}{_line_of(str(error), text)}") from None


def _line_of(message: str, text: str) -> str:
    """The line that the parser stopped at, quoted, so that the file need not be opened to see the slip."""
    _, found, rest = message.partition("(at line ")
    number = rest.split(",")[0]
    lines = text.splitlines()
    if not found or not number.isdigit() or int(number) > len(lines):
        return ""
    return f": {shown(lines[int(number) - 1].strip())}"


def _make_absolute(content: dict[str, Any], folder: Path) -> None:
    files = content.get("plugin_files")
    if isinstance(files, list | tuple) and all(isinstance(one, str | Path) for one in files):
        content["plugin_files"] = [str(folder / one) for one in files]
