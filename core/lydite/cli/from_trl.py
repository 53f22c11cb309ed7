"""`lydite train --from-trl`: a file for TRL is read, said line by line, and written as TOML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite.cli.processes import is_first
from lydite.cli.speaking import print_note
from lydite.configfile import read_config
from lydite.configfile.trl import Command, from_trl
from lydite.configfile.trl.reading import PLUGINS
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import load_plugins


def config_from_trl(path: Path, changes: Sequence[str] = (), *, dry_run: bool) -> Mapping[str, Any]:
    """The tables of the configuration, written as a TOML file beside the YAML file; under a dry run to stdout.

    What was taken over and what was not is said on stderr. Among the changes of the command line, `algorithm=rloo`
    makes it a file for `trl rloo`.

    Raises:
        ConfigError: as `from_trl` and `read_config`, and when a TOML file of that name is there and says something
            else.
    """
    made = from_trl(path, rows=_rows, command=_command(changes))
    read_config(made.tables, label=str(path))  # so that no file is written that cannot be read
    if not is_first():  # of several processes one speaks and writes
        return made.tables
    if made.tables.get("algorithm") is None:
        print_note(f"{path} is read as a file for `trl grpo`; with --set algorithm=rloo as one for `trl rloo`")
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


def _command(changes: Sequence[str]) -> Command | None:
    """The command of TRL's that `--set algorithm=` names, or None where it names none."""
    for text in changes:
        key, _, value = text.partition("=")
        if key.strip() != "algorithm":
            continue
        if value.strip().strip('"') == "rloo":
            return "rloo"
        if value.strip().strip('"') == "grpo":
            return "grpo"
        raise ConfigError(
            f"--set {text}: --from-trl reads files for `trl grpo` and `trl rloo`, and TRL has no such command for "
            f"others; train once with --from-trl FILE --dry-run > run.toml, and change the algorithm there"
        )
    return None


def _rows(data: Mapping[str, Any]) -> int:
    """The number of samples of a [data] table."""
    offer = load_plugins(allow=PLUGINS).find("datasets", data["use"])
    options = check_options(f"data set {data['use']!r}", offer.thing, data.get("options", {}))
    return sum(1 for _ in offer.thing(**options))
