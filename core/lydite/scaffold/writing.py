"""Names, checked; templates, filled in; files, written."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

from lydite.errors import ConfigError

LONGEST_NAME: Final = 40  # characters; the name becomes part of a folder, a package and a reward
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX: Final = "lydite-"
_TAKEN: Final = frozenset(
    [
        "adapters",
        "code",
        "datasets",
        "families",
        "formats",
        "judges",
        "legal",
        "math",
        "medical",
        "mlflow",
        "reasoning-gym",
        "rubric",
        "tensorboard",
        "text",
        "wandb",
    ]
)
"""What lydite's own distributions are called behind the prefix."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    folder: Path
    reward: str
    """The name that the package offers its reward under."""
    files: tuple[Path, ...]
    """Relative to the folder, in order."""


def write_reward_package(name: str, into: Path) -> Written:
    """Writes the package `lydite-NAME` into a new folder of that name.

    Raises:
        ConfigError: on a name that a package cannot have, or a folder that is there already; nothing is written then.
    """
    short = _checked(name)
    folder = into / f"{_PREFIX}{short}"
    if folder.exists():
        raise ConfigError(f"{folder} is there already; choose another name, or another place with --into")
    if not into.is_dir():
        raise ConfigError(f"--into {into}: there is no such folder; make it first, or leave out --into")
    package = f"lydite_{short.replace('-', '_')}"
    words = {"name": short, "distribution": f"{_PREFIX}{short}", "package": package, "title": short.replace("-", " ")}
    contents = dict(_filled(resources.files("lydite.scaffold") / "reward", words))
    for path, text in contents.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Written(folder, f"{short}/answer", tuple(sorted(contents)))


def _checked(given: str) -> str:
    """The name without lydite's prefix."""
    short = given.removeprefix(_PREFIX)
    if not _NAME.fullmatch(short) or len(short) > LONGEST_NAME:
        raise ConfigError(
            f"a package cannot be called {given!r}: expected at most {LONGEST_NAME} lower-case letters, digits and "
            f"single hyphens, beginning with a letter{_near(short)}"
        )
    if short in _TAKEN:
        raise ConfigError(f"{_PREFIX}{short} is a distribution of lydite's own; try {short}-mine")
    return short


def _near(given: str) -> str:
    """A clause with the closest name that would do; empty when there is none."""
    plain = unicodedata.normalize("NFKD", given)
    bare = "".join(one for one in plain if not unicodedata.combining(one))  # an accent is no reason to lose a letter
    parts = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", bare).lower())
    near = "-".join(parts).lstrip("0123456789-")[:LONGEST_NAME].rstrip("-")
    return f"; {near!r} would do" if len(near) > 1 and _NAME.fullmatch(near) else ""


def _filled(folder: Traversable, words: dict[str, str], below: str = "") -> list[tuple[Path, str]]:
    """Every template under the folder with its place in the package; `.tmpl` is cut off its name."""
    found: list[tuple[Path, str]] = []
    for entry in folder.iterdir():
        if entry.name == "__pycache__":
            continue
        name = words["package"] if entry.name == "package" else entry.name.removesuffix(".tmpl")
        path = f"{below}{name}"
        if entry.is_dir():
            found += _filled(entry, words, f"{path}/")
        else:
            found.append((Path(path), Template(entry.read_text(encoding="utf-8")).substitute(words)))
    return found
