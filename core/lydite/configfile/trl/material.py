"""Data, rewards and held-out evaluation of a file for TRL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lydite.configfile.problems import shown
from lydite.configfile.trl.given import Translation, as_number
from lydite.configfile.trl.steps import counted, named_strategy
from lydite.suggest import did_you_mean

# What TRL's commands know by a short name, and what they call them with.
_SHIPPED: Final[Mapping[str, dict[str, Any]]] = {
    "accuracy_reward": {},
    "reasoning_accuracy_reward": {},
    "think_format_reward": {},
    "get_soft_overlong_punishment": {"max_completion_len": 1280, "soft_punish_cache": 256},
}
_OPEN_R1: Final = (
    "accuracy", "format", "reasoning_steps", "cosine", "repetition_penalty", "length", "code", "binary_code",
    "ioi_code", "cf_code", "code_format", "tag_count", "soft_overlong_punishment",
)  # fmt: skip
_FILES: Final = {"json": "jsonl", "csv": "csv", "parquet": "parquet"}
_TRACKERS: Final = ("wandb", "tensorboard", "mlflow")
_ASKED: Final = 128  # held-out rows, lydite's default: TRL asks all, which takes as long as it takes
_ENTRY: Final = ("path", "name", "data_dir", "data_files", "split", "columns", "fraction")


def put_data(work: Translation) -> None:
    """[data], from `dataset_name` (taken already, by its new name) or from the one entry of `datasets`."""
    entries = work.given.get("datasets")
    work.put(("data", "use"), "hub")
    if not entries:
        if not work.given.get("dataset_name"):
            work.problems.append("dataset_name is needed: a data set of the hub, or a local folder")
        return
    if not isinstance(entries, Sequence) or len(entries) != 1 or not isinstance(entries[0], Mapping):
        work.refuse("datasets", "expected one entry; write a mixture to a file, and name it in [data]")
        return
    entry = entries[0]
    unknown = [name for name in entry if name not in _ENTRY]
    work.problems += [f"datasets: an entry has no {name!r}{did_you_mean(name, _ENTRY)}" for name in unknown]
    if not entry.get("path"):
        work.problems.append("datasets: an entry needs path")
        return
    _put_entry(work, entry)


def put_rewards(work: Translation) -> None:
    """[rewards]: a table for each of `reward_funcs`, named as the function."""
    functions = work.given.get("reward_funcs")
    functions = [functions] if isinstance(functions, str) else functions
    if not functions:
        work.problems.append('reward_funcs is needed: a list such as ["think_format_reward", "my_rewards.correct"]')
        return
    weights = work.given.get("reward_weights")
    weights = [1.0] * len(functions) if weights is None else weights
    weights = [as_number(one) if isinstance(one, str) else one for one in weights] if isinstance(weights, list) else []
    numbers = [one for one in weights if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) != len(functions) or len(weights) != len(functions):
        work.refuse(
            "reward_weights", f"expected a list of {len(functions)} numbers, one weight for each of reward_funcs"
        )
        return
    for function, weight in zip(functions, numbers, strict=True):
        options = _options(work, str(function))
        if options is None:
            continue
        name = _free_name(str(function), work.tables.get("rewards", {}))
        work.put(("rewards", name), {"use": "adapters/trl", "weight": float(weight), "options": options})
        work.taken.append(f"reward_funcs: rewards.{name} = {options['function']}, with weight {float(weight):g}")


def put_evaluation(work: Translation, rows: Callable[[Mapping[str, Any]], int] | None) -> None:
    """[eval], where `eval_strategy` asks for one: by the first reward function, on `dataset_test_split`."""
    strategy = named_strategy(work.value("eval_strategy", "no"))
    if strategy == "no":
        for name in ("eval_steps", "dataset_test_split"):
            if name in work.given:
                work.dropped.append(f"{name}: eval_strategy is no")
        return
    if strategy not in ("steps", "epoch"):
        work.refuse("eval_strategy", f"take no, steps or epoch{did_you_mean(strategy, ('no', 'steps', 'epoch'))}")
        return
    rewards = work.tables.get("rewards", {})
    if not rewards:
        return
    if strategy == "epoch":
        if work.updates_per_epoch is None:
            work.refuse("eval_strategy", "the rows of this data are not counted; take steps, and eval_steps")
            return
        every: Any = work.updates_per_epoch
    else:
        every = work.value("eval_steps", 0) or work.value("logging_steps", 10)
        if isinstance(every, bool) or not isinstance(every, int | float) or every <= 0:
            work.refuse("eval_steps", "expected a number greater than 0")
            return
        every = counted(every, work.updates or 1)
    name, first = next(iter(rewards.items()))
    work.take("eval_strategy", ("eval", "metric"), name, "held-out answers are judged by the first reward function")
    work.put(("eval", "reward"), {key: first[key] for key in ("use", "options")})
    asked = "eval_strategy" if strategy == "epoch" else "eval_steps"
    work.take(asked, ("eval", "every"), max(-(-int(every) // work.updates_per_step), 1))
    if not work.given.get("datasets"):
        options = {**work.tables["data"].get("options", {}), "split": work.value("dataset_test_split", "test")}
        work.put(("eval", "data"), {"use": "hub", "options": options})
        n = _ASKED if rows is None or work.problems else min(_ASKED, rows(work.tables["eval"]["data"]))
        work.put(("eval", "n"), n)
        work.taken.append(f"dataset_test_split: eval.data.options.split = {shown(options['split'])}, {n} of its rows")


def _put_entry(work: Translation, entry: Mapping[str, Any]) -> None:
    files = entry.get("data_files")
    if entry.get("data_dir") is not None or (files is not None and (entry["path"] not in _FILES or not _is_one(files))):
        work.problems.append("datasets: of data_dir and data_files lydite takes one file of json, csv or parquet")
        return
    for name in ("columns", "fraction"):
        if entry.get(name) is not None:
            work.dropped.append(f"datasets.{name}: of one data set every row is read, with every column")
    if files is not None:
        path = files if isinstance(files, str) else files[0]
        work.take("datasets", ("data", "use"), _FILES[entry["path"]])
        work.take("datasets", ("data", "options"), {"path": path})
        return
    options = {name: entry[name] for name in ("path", "name", "split") if entry.get(name) is not None}
    if work.given.get("streaming"):
        options["streaming"] = True
    work.take("datasets", ("data", "options"), options)


def _is_one(files: Any) -> bool:
    return isinstance(files, str) or (isinstance(files, list) and len(files) == 1 and isinstance(files[0], str))


def _options(work: Translation, function: str) -> dict[str, Any] | None:
    """The options of adapters/trl for a function as `trl grpo` names it."""
    if function in _SHIPPED:
        arguments = _SHIPPED[function]
        return {"function": f"trl.rewards:{function}", **({"arguments": arguments} if arguments else {})}
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", function):
        module, _, name = function.rpartition(".")
        return {"function": f"{module}:{name}"}
    work.problems.append(f"reward_funcs: {function!r} {_no_function(function)}")
    return None


def _no_function(function: str) -> str:
    """Why a text names no reward function, and what to write."""
    if function in _OPEN_R1:
        instead = {"accuracy": "accuracy_reward, TRL's own", "format": "think_format_reward, TRL's own"}.get(function)
        path = "the path of the function where open-r1 is installed, such as open_r1.rewards.tag_count_reward"
        return f"is a name of open-r1's; write {instead or path}"
    if not function.isidentifier():
        stem = Path(re.split(r"[:\s]", function)[0]).name.removesuffix(".py")
        module = stem if stem.isidentifier() else "my_rewards"
        return f"is no import path; write one such as {module}.NAME, for a module of the current folder"
    return f"is no function of TRL's and no path such as my_rewards.correct{did_you_mean(function, _SHIPPED)}"


def _free_name(function: str, taken: Mapping[str, Any]) -> str:
    name = re.sub(r"[^\w-]", "_", function.rpartition(".")[2])
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def put_trackers(work: Translation) -> None:
    """The plugins of the trackers that `report_to` names, among the run's."""
    given = work.given.get("report_to")
    for name in [given] if isinstance(given, str) else given or ():
        if name in _TRACKERS:
            work.tables["plugins"].append(f"lydite-{name}")
            work.taken.append(f"report_to: plugins has lydite-{name}; its options stand in [observers.{name}]")
        elif name != "none":
            work.dropped.append(f"report_to: lydite has no plugin for {name}; it has {', '.join(_TRACKERS)}")


def put_place(work: Translation, file: Path) -> None:
    """The run's folder: what `output_dir` names, or the file's own name in `runs`."""
    given = work.given.get("output_dir")
    if given is None:
        work.put(("name",), file.stem)
        return
    folder = Path(str(given))
    work.take("output_dir", ("output_dir",), str(folder.parent))
    work.take("output_dir", ("name",), folder.name or file.stem)
