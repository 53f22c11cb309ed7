"""The check of one reward, from its name to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lydite.configfile import read_config
from lydite.contracts import Format
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import Plugins
from lydite.rewards.worker import WorkerPool
from lydite.testing import attacking, contract, golds, invariances, lengths, robustness, security, speed, table
from lydite.testing.cases import CaseFile, read_cases
from lydite.testing.finding import default_case_file
from lydite.testing.from_run import cases_of_run, reward_of_run
from lydite.testing.material import Gold, chosen, gold_rows, with_wrong_answers
from lydite.testing.results import CheckReport, Item, Section
from lydite.testing.subject import Subject, find_plugins, worker_pool

SECTIONS: Final = (
    "cases", "invariances", "gold", "attacks", "length", "robustness", "contract", "security", "speed",
)  # fmt: skip
ITEM_NAMES: Final = (
    *table.NAMES, *invariances.NAMES, *golds.NAMES, *attacking.NAMES, *lengths.NAMES, *robustness.NAMES,
    *contract.NAMES, *security.NAMES, *speed.NAMES,
)  # fmt: skip
"""What the `allow` of a case file may name."""
MOST_GOLDS: Final = 5
FEWEST_GOLDS: Final = 1
SECONDS_FOR_ATTACKS: Final = 5.0
ATTACKS_PER_GOLD: Final = 60  # with the wrong answers that are looked for first


def check(
    reward: str | Callable[..., Any],
    *,
    cases: str | Path | None = None,
    run: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
    format: str | None = None,
    pool: WorkerPool | None = None,
) -> CheckReport:
    """The report on a reward: a name that a plugin offers, `module:function`, or a function.

    `cases` is a case file (by default the one beside the reward). `run` is the configuration of a run, to do without
    one: the gold answers of its data are the cases, the reward is called by its name there, and options, judge, format
    and plugin files are the run's. `plugins` are local files that may offer the reward, `format` takes completions
    apart as in a run (by default the whole text is the answer), and `options` go before those of the case file.
    Worker processes are those of `pool`, or are started and ended here.

    Raises:
        UnknownNameError: when nobody offers the reward or the format.
        ConfigError: on wrong options, a judge that is needed and not named in the case file, or a configuration that
            is broken or lacks the reward.
        DataError: when the case file is broken; nothing was judged then.
        RewardError: when the reward cannot be loaded in a worker.
    """
    began = time.perf_counter()
    file: CaseFile | None
    if run is not None:
        offered, name, file, form = _of_run(reward, Path(run), cases, plugins, format)
    else:
        offered, name = find_plugins(reward, files=plugins)
        file = _case_file(offered, name, cases)
        told = file if format is None and file is not None and file.format else None
        form = _format(offered, format or (told.format if told else None), told.format_options if told else {})
    with ExitStack() as stack:
        subject = Subject(
            name,
            offered,
            pool if pool is not None else stack.enter_context(worker_pool()),
            format=form,
            options={**(file.options if file else {}), **(options or {})},
            judge=file.judge if file else None,
            judge_options=file.judge_options if file else None,
            timeout=file.timeout if file else None,
            pays_for=file.pays_for if file else None,
            range=file.range if file else None,
        )
        stack.callback(subject.close)
        sections = _sections(subject, file)
    allow = file.allow if file else {}
    return CheckReport(
        name,
        str(subject.offer.owner),
        subject.pays_for,
        str(file.path) if file else "",
        tuple(_allowed(one, allow) for one in sections),
        time.perf_counter() - began,
    )


def _sections(subject: Subject, file: CaseFile | None) -> list[Section]:
    if file is None:
        return [Section("cases", (_no_cases(subject),)), Section("security", security.check_security(subject))]
    for case in file.cases:  # wrong options are found before anything is judged
        subject.binding(case.options)
    found = {"cases": table.check_table(subject, file)}
    if any(one.name == table.IN_TIME for one in found["cases"]):
        return [Section("cases", found["cases"]), Section("security", security.check_security(subject))]
    over_the_table = list(subject.call_seconds)
    every = gold_rows(file) if not subject.grouped else []
    rows = [with_wrong_answers(subject, gold, file) for gold in chosen(every, _most_golds(subject))]
    found |= _from_golds(subject, rows)
    found["robustness"] = robustness.check_robustness(subject, file, rows)
    found["contract"] = contract.check_contract(subject)
    found["security"] = security.check_security(subject)
    found["speed"] = speed.check_speed(subject, over_the_table)
    return [Section(name, found[name]) for name in SECTIONS]


def _from_golds(subject: Subject, rows: list[Gold]) -> dict[str, tuple[Item, ...]]:
    """The sections that gold rows are needed for, each with the reason where it does not bind this reward."""
    why = ""
    if subject.grouped:
        why = "a group reward compares completions with each other"
    elif not rows:
        why = 'no row of the case file has "gold": true'
    penalty = "a reward that can only take pays nobody"
    form = "a reward for the form looks at no gold"
    answer_only = why or {"penalty": penalty, "form": form}.get(subject.pays_for, "")
    paying = why or (penalty if subject.pays_for == "penalty" else "")
    return {
        "invariances": _or_skipped(answer_only, lambda: invariances.check_invariances(subject, rows)),
        "gold": _or_skipped(answer_only, lambda: golds.check_golds(subject, rows)),
        "attacks": _or_skipped(paying, lambda: attacking.check_attacks(subject, rows)),
        "length": _or_skipped(paying, lambda: lengths.check_lengths(subject, rows)),
    }


def _or_skipped(why: str, run: Callable[[], tuple[Item, ...]]) -> tuple[Item, ...]:
    return (Item("all", "skipped", note=why),) if why else run()


def _most_golds(subject: Subject) -> int:
    """Fewer rows for a slow reward, so that a check stays a matter of seconds."""
    affordable = int(SECONDS_FOR_ATTACKS / (ATTACKS_PER_GOLD * max(subject.seconds_per_call, 1e-6)))
    return max(FEWEST_GOLDS, min(MOST_GOLDS, affordable))


def _allowed(section: Section, allow: Mapping[str, str]) -> Section:
    """The section with the failures that the author allows, each under its reason."""
    items = tuple(
        replace(one, status="allowed", note=allow[one.name]) if one.status == "failed" and one.name in allow else one
        for one in section.items
    )
    return Section(section.name, items)


def _case_file(plugins: Plugins, name: str, given: str | Path | None) -> CaseFile | None:
    if given is not None:
        return read_cases(Path(given), known_items=ITEM_NAMES)
    group = plugins.offers["group_rewards"].get(name)
    usual = default_case_file(group if group is not None else plugins.find("rewards", name))
    if usual is None or not usual.is_file():
        return None
    return read_cases(usual, known_items=ITEM_NAMES)


def _no_cases(subject: Subject) -> Item:
    usual = default_case_file(subject.offer)
    place = f"{usual.parent.parent.name}/{usual.parent.name}/{usual.name}" if usual else "a file given with --cases"
    rows = table.ROWS_NEEDED[subject.pays_for]
    return Item(
        "enough-rows", "failed", got="no case file", expected=f"at least {rows} rows in {place}",
        note='write one JSON object a line: {"completion": ..., "expected": "pass" or "fail", "reference": ...}, with '
        'right answers, wrong ones and cheats; mark three or more with "gold": true. Until then, --run RUN.toml takes '
        "the gold answers of a run's data",
    )  # fmt: skip


def _of_run(
    reward: str | Callable[..., Any],
    run: Path,
    cases: str | Path | None,
    plugins: Sequence[str | Path],
    format: str | None,
) -> tuple[Plugins, str, CaseFile, Format]:
    """What is offered, the reward's name there, the run's gold answers as cases, and the format."""
    if cases is not None:
        raise ConfigError("the cases are those of a case file or the gold answers of a run: give one of the two")
    if not isinstance(reward, str):
        raise ConfigError(f"a reward of a run is checked by its name there, got {type(reward).__name__}")
    config = read_config(run)
    used = reward_of_run(config, reward)
    offered, name = find_plugins(used.use, files=[*config.plugin_files, *plugins])
    told = config.format
    form = _format(offered, format or told.use, told.options if format is None else {})
    file = cases_of_run(config, run, used, offered, form)
    own = _case_file(offered, name, None)
    if own is not None:  # what its author allows holds wherever the rows come from
        file = replace(file, allow=own.allow, pays_for=own.pays_for)
    return offered, name, file, form


def _format(plugins: Plugins, name: str | None, options: Mapping[str, Any]) -> Format:
    factory = plugins.find("formats", name or "plain").thing
    checked = check_options(f"format {name!r}", factory, options)
    try:
        made: Format = factory(**checked)
    except ValueError as error:
        raise ConfigError(f"format {name!r}: {error}") from error
    return made
