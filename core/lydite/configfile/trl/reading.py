"""A YAML file as `trl grpo` and `trl rloo` take it, read into lydite's tables, with a line on each of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w

from lydite.configfile.fields import find_field
from lydite.configfile.problems import shown
from lydite.configfile.trl.fields import Command, TrlField, trl_fields
from lydite.configfile.trl.former import with_todays_names
from lydite.configfile.trl.given import Translation, as_number
from lydite.configfile.trl.material import put_data, put_evaluation, put_place, put_rewards, put_trackers
from lydite.configfile.trl.model import put_model
from lydite.configfile.trl.rloo import ONLY_RLOO
from lydite.configfile.trl.steps import NO_LIMIT, put_counts, put_ways_of_training
from lydite.errors import ConfigError, MissingExtraError
from lydite.suggest import close_to

PLUGINS: Final = ("lydite-adapters", "lydite-datasets", "lydite-families")
"""What a translated run needs: TRL's reward functions, data sets, and what differs between models."""
_NUMBER: Final = ("a number", "a whole number")
_OF_DATA: Final = ("dataset_name", "dataset_config", "dataset_train_split", "dataset_streaming")
_BOOLEANS: Final = {"true": True, "True": True, "false": False, "False": False}  # in quotes; TRL reads them so too
_ZEROS: Final = ("top_k",)  # where null said what 0 says, in earlier versions of TRL
_ORDER: Final = ("name", "output_dir", "seed", "plugins", "algorithm")  # what a TOML file has before its first table


@dataclass(frozen=True, slots=True)
class FromTrl:
    """A configuration that was written for TRL."""

    source: str
    """The file's path."""
    tables: Mapping[str, Any]
    """lydite's configuration, as `read_config` takes it."""
    taken: tuple[str, ...]
    """A line for each argument that was taken over: its name, lydite's key and value."""
    defaults: tuple[str, ...]
    """A line for each default of TRL's that holds because lydite's is another."""
    dropped: tuple[str, ...]
    """A line for each argument that is not needed, with the reason."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything that there is to say, a line each."""
        kinds = (("taken over", self.taken), ("TRL's default", self.defaults), ("dropped", self.dropped))
        return tuple(f"{kind:<14} {line}" for kind, lines in kinds for line in lines)

    def toml(self) -> str:
        """The configuration as a TOML file, with the lines as comments above it."""
        comments = [f"# {self.source}, which was written for TRL.", "#", *(f"# {line}" for line in self.lines)]
        return "\n".join(comments) + "\n\n" + tomli_w.dumps(dict(self.tables))


def from_trl(
    path: Path, rows: Callable[[Mapping[str, Any]], int] | None = None, *, command: Command | None = None
) -> FromTrl:
    """What a file for `trl grpo` or `trl rloo` means in lydite. It is meant for one process.

    `rows` counts the samples of a [data] table, for files that are measured in epochs; without it those need
    max_steps. `command` says whose file it is; None: of `trl rloo` where it has an argument that this one alone has,
    else of `trl grpo`. Where the file is silent TRL's defaults hold, not lydite's.

    Raises:
        ConfigError: when the file is missing or no YAML table, on arguments that the command does not have, and on
            every argument that lydite cannot honour, all listed at once.
        MissingExtraError: when PyYAML is not installed.
    """
    given = _read(path)
    told = [name for name in ONLY_RLOO if name in given]
    work = Translation(given, command or ("rloo" if told else "grpo"))
    with_todays_names(work)
    if work.command == "rloo":
        _put_rloo(work, told)
    _put_plain(work)
    put_place(work, path)
    work.put(("plugins",), list(PLUGINS))
    put_trackers(work)
    put_model(work)
    put_data(work)
    put_rewards(work)
    put_ways_of_training(work)
    # Data is not read for a file that ends in an error anyway.
    counting = None if rows is None else lambda: 1 if work.problems else rows(work.tables["data"])
    put_counts(work, counting)
    put_evaluation(work, rows)
    if work.problems:
        several = len(work.problems) > 1
        head = f"{path}: {len(work.problems)} things cannot be honoured:" if several else f"{path}:"
        raise ConfigError("\n  ".join([head, *work.problems]) if several else f"{head} {work.problems[0]}")
    tables: dict[str, Any] = {key: work.tables[key] for key in _ORDER if key in work.tables}
    tables |= {key: value for key, value in work.tables.items() if key not in tables}
    return FromTrl(str(path), tables, tuple(work.taken), tuple(work.defaults), tuple(work.dropped))


def _read(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("TRL's files are YAML, which needs PyYAML; pip install 'lydite[train]'") from None
    if not path.is_file():
        near = close_to(path.name, [one.name for one in path.parent.glob("*.y*ml")])
        raise ConfigError(f"{path}: there is no such file{f'; did you mean {near!r}?' if near else ''}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{path}: expected a table of the arguments of `trl grpo`, got {shown(content)}")
    return {name: _BOOLEANS.get(value, value) if isinstance(value, str) else value for name, value in content.items()}


def _put_rloo(work: Translation, told: Sequence[str]) -> None:
    why = f", which alone has {told[0]}" if told else ""
    work.put(("algorithm",), "rloo")
    work.taken.append(f'the file: algorithm = "rloo" (as one for `trl rloo`{why})')
    work.take_default("vllm_importance_sampling_correction", ("train", "vllm_importance_sampling_correction"), False)


def _put_plain(work: Translation) -> None:
    """Everything whose value goes over as it is, or not at all."""
    fields = trl_fields(work.command)
    for name, value in work.given.items():
        field = fields.get(name)
        if name == "env":
            named = (
                ", ".join(f"{key}={one}" for key, one in value.items()) if isinstance(value, Mapping) else shown(value)
            )
            work.dropped.append(f"env: set these variables before the command: {named}")
        elif field is None:
            work.problems.append(f"{name}: `trl {work.command}` has no such argument{_meant(name, work.command)}")
        elif field.fate in ("same", "renamed") and _applies(name, work):
            _take(work, field, value)
        elif field.fate == "not needed":
            work.dropped.append(f"{name}: {field.why}")
        elif field.fate == "missing" and not any(_same(value, one) for one in field.neutral):
            work.refuse(name, field.why)
    for name, field in fields.items():
        silent = name not in work.given and field.default is not None
        if silent and field.fate in ("same", "renamed") and _applies(name, work):
            work.take_default(name, _path(field), field.default)


def _meant(name: str, command: Command) -> str:
    """The nearest argument of the command; or the other command, where that one has it."""
    if command == "rloo" and name in trl_fields():
        return "; `trl grpo` has it"
    near = close_to(name, trl_fields(command))
    return f"; did you mean {near!r}?" if near else "; take it out"


def _take(work: Translation, field: TrlField, value: Any) -> None:
    key = _path(field)
    known = find_field(key)
    if value is None and field.name in _ZEROS:
        value = 0
    if field.name == "max_grad_norm" and value in (None, 0):
        work.take(field.name, key, NO_LIMIT, "0 and null are no limit")
        return
    if value is None:
        if known is not None and known.required:
            work.refuse(field.name, f"{'.'.join(key)} is needed")
        elif field.default is not None:
            work.refuse(field.name, f"expected a value, such as TRL's default {shown(field.default)}")
        return
    if isinstance(value, str) and known is not None and known.expected.startswith(_NUMBER):
        value = as_number(value)
    work.take(field.name, key, value)


def _applies(name: str, work: Translation) -> bool:
    """False for what TRL leaves out of account: a LoRA's sizes without LoRA, one data set beside a list of them."""
    if name.startswith("lora_"):
        return bool(work.given.get("use_peft"))
    if name in _OF_DATA:
        return not work.given.get("datasets")
    if name == "vllm_importance_sampling_mode" and name not in work.given:
        return work.given.get("loss_type") != "vespo"  # TRL refuses its own default there
    if name == "steps_per_generation":
        return not work.given.get("generation_batch_size")
    return True


def _path(field: TrlField) -> tuple[str, ...]:
    return tuple(field.keys[0].split("."))


def _same(value: Any, neutral: Any) -> bool:
    """Equal, where true and 1 are not."""
    return isinstance(value, bool) == isinstance(neutral, bool) and bool(value == neutral)
