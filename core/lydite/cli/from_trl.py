"""`lydite train --from-trl`: a file for `trl grpo` is read, said line by line, and written as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lydite.cli.processes import is_first
from lydite.cli.speaking import print_note
from lydite.configfile.trl import from_trl
from lydite.configfile.trl.reading import PLUGINS
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import load_plugins


def config_from_trl(path: Path, *, dry_run: bool) -> Mapping[str, Any]:
    """The tables of the configuration, written as a TOML file beside the YAML file; under a dry run to stdout.

    What was taken over and what was not is said on stderr.

    Raises:
        ConfigError: as `from_trl`, and when a TOML file of that name is there and says something else.
    """
    made = from_trl(path, rows=_rows)
    if not is_first():  # of several processes one speaks and writes
        return made.tables
    for line in made.lines:
        print_note(line)
    file = path.with_suffix(".toml")
    if dry_run:
        print(made.toml())
    elif not file.exists():
        file.write_text(made.toml(), encoding="utf-8")
        print_note(f"written to {file}; from now on: lydite train {file}")
    elif file.read_text(encoding="utf-8") != made.toml():
        raise ConfigError(
            f"{file} is there and says something else than {path}; to train by it: lydite train {file}; or move it away"
        )
    return made.tables


def _rows(data: Mapping[str, Any]) -> int:
    """The number of samples of a [data] table."""
    offer = load_plugins(allow=PLUGINS).find("datasets", data["use"])
    options = check_options(f"data set {data['use']!r}", offer.thing, data.get("options", {}))
    return sum(1 for _ in offer.thing(**options))
