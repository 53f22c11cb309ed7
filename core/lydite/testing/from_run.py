"""A table of cases that nobody wrote: the gold answers of a run's own data, each right for its own question only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from lydite.attacks import AnswerForm, form_of_format
from lydite.config import RewardConfig, RunConfig
from lydite.contracts import Format, spec_of
from lydite.data import load_data
from lydite.errors import ConfigError
from lydite.plugins import Plugins
from lydite.suggest import did_you_mean
from lydite.testing.cases import Case, CaseFile
from lydite.types import Sample

MOST_SAMPLES: Final = 20
_REMEDY: Final = (
    "a gold answer passes for its own question and for no other; mend the reward or the data, or write a table of "
    "cases where that is not what the reward judges"
)


def reward_of_run(config: RunConfig, name: str) -> RewardConfig:
    """The reward of the stack that has this name, or else the first that uses a reward of this name.

    Raises:
        ConfigError: when there is none.
    """
    if name in config.rewards:
        return config.rewards[name]
    for one in config.rewards.values():
        if one.use == name:
            return one
    names = [*config.rewards, *(one.use for one in config.rewards.values())]
    raise ConfigError(f"the run has no reward {name!r}{did_you_mean(name, names)}")


def cases_of_run(config: RunConfig, source: Path, reward: RewardConfig, plugins: Plugins, format: Format) -> CaseFile:
    """Two rows for each of at most 20 samples, with the options, the judge and the format of the run.

    The first gives the sample's gold answer and must pass; the second another sample's, and must fail. For a reward
    that pays for the form, or takes only, there is the first row alone, with any score.

    Raises:
        ConfigError: for a group reward, and where no sample has a gold answer that is a text or a number.
        DataError: when the run's data is missing or broken.
    """
    if reward.use in plugins.offers["group_rewards"]:
        raise ConfigError(f"{reward.use} judges groups, for which gold answers alone say nothing; give --cases")
    samples = [one for one in load_data(config, plugins).train if _gold(one) is not None]
    if not samples:
        raise ConfigError(
            f"no sample of data ({config.data.use!r}) has a gold answer that is a text or a number; give --cases"
        )
    most = min(MOST_SAMPLES, len(samples))
    chosen = [samples[place * len(samples) // most] for place in range(most)]
    spec = spec_of(plugins.find("rewards", reward.use).thing)
    bounds = reward.range or spec.range
    judged = spec.pays_for == "answer" and (bounds is None or bounds[1] > 0)
    return CaseFile(
        source,
        tuple(_rows(chosen, form_of_format(format), judged)),
        options=reward.options,
        judge=reward.judge,
        judge_options=reward.judge_options,
        timeout=reward.timeout,
        range=reward.range,
        remedy=_REMEDY,
    )


def _rows(samples: Sequence[Sample], form: AnswerForm, judged: bool) -> Iterator[Case]:
    golds = [str(_gold(one)) for one in samples]
    for place, (sample, gold) in enumerate(zip(samples, golds, strict=True)):
        yield _case(sample, gold, form, 2 * place + 1, "pass" if judged else None)
        wrong = next((one for one in golds[place:] + golds[:place] if one.casefold() != gold.casefold()), None)
        if judged and wrong is not None:
            yield _case(sample, wrong, form, 2 * place + 2, "fail")


def _case(sample: Sample, answer: str, form: AnswerForm, line: int, expected: Literal["pass", "fail"] | None) -> Case:
    return Case(
        (form.completion(answer),),
        (expected if expected is not None else (float("-inf"), float("inf")),),
        line,
        f"{sample.id}, given {answer}",
        sample.prompt,
        sample.reference,
        columns=sample.columns,
        gold=expected != "fail",
    )


def _gold(sample: Sample) -> Any:
    """The gold answer, the first where there are several; None where it is neither text nor number."""
    found = sample.reference
    if isinstance(found, list) and found:
        found = found[0]
    usable = isinstance(found, (str, int, float)) and not isinstance(found, bool) and str(found).strip()
    return found if usable else None
