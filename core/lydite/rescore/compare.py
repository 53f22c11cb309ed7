"""A file of saved completions through another stack: every row's new record, and what changed, as data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeAlias

from lydite.config import RunConfig
from lydite.contracts import Format
from lydite.plugins import Plugins
from lydite.records import completion_records
from lydite.rescore.gold import Golds
from lydite.rescore.judge import Rejudged, Rejudging
from lydite.rescore.saved import SavedCompletions
from lydite.rescore.tally import Moments, RewardTally, Tally
from lydite.rewards import RewardStack
from lydite.types import Scored, Status

DECIMALS: Final = 6
Write: TypeAlias = Callable[[int, Mapping[str, Any]], None]
"""Takes the number of a row, from 0, and its new record."""
Serving: TypeAlias = Callable[[RewardStack], AbstractContextManager[None]]
"""Held open while a stack is asked, such as by whoever serves its judge."""


def rescore(
    completions: SavedCompletions,
    config: RunConfig,
    plugins: Plugins,
    *,
    format: Format | None = None,
    golds: Golds | None = None,
    write: Write | None = None,
    progress: Callable[[int], None] | None = None,
    serving: Serving | None = None,
) -> dict[str, Any]:
    """What changed under the stack of `config`, in JSON terms.

    `format` reads the answers anew; without it they are those of the file, or else whole texts. `golds` adds the
    references and columns that the file lacks. `write` is given each new record, in the order of the groups;
    `progress` the number of rows that are done.

    Raises:
        ConfigError: when a reward cannot be asked about saved completions.
        DataError: on a row that is none, or that lacks what a reward needs.
        RewardError: when a reward's errors exceed the share that the stack allows.
    """
    tally = Tally()
    began = time.perf_counter()
    judging = Rejudging(config, plugins, format, golds, with_tokens=completions.holds_tokens)
    try:
        with nullcontext() if serving is None else serving(judging.stack):
            for step in judging.judge(completions.groups()):
                tally.steps += 1
                for one in step:
                    tally.add(one)
                    if write is not None:
                        for number, record in _records(one):
                            write(number, record)
                if progress is not None:
                    progress(tally.rows)
    finally:
        judging.close()
    seconds = time.perf_counter() - began
    return summary(tally, seconds=seconds, regrouped=completions.regrouped)


def summary(tally: Tally, *, seconds: float, regrouped: int) -> dict[str, Any]:
    """The tally in JSON terms.

    Of each reward: `share` is its part of all that the rewards pay or take, without signs; `share_of_variance`
    its covariance with the total, divided by the total's variance, over all completions and inside groups. The
    latter is what advantages are made of. Those of all rewards add up to 1; with gates, `gates` has the rest.
    """
    size = sum(one.size for one in tally.rewards.values())
    rewards = {name: _reward(one, size, tally) for name, one in tally.rewards.items()}
    verdicts = sum(sum(one.status.values()) for one in tally.rewards.values())
    return {
        "rows": tally.rows,
        "groups": tally.groups,
        "steps": tally.steps,
        "regrouped": regrouped,
        "reward": {
            "before": _moments(tally.then),
            "after": _moments(tally.now),
            "changed": tally.changed if tally.then.n else None,
            "correlation": _rounded(tally.both.correlation),
        },
        "unscored": {"before": tally.rows - tally.then.n if tally.then.n else None, "after": tally.rows - tally.now.n},
        "order": {
            "pairs": sum(tally.order.values()),
            **{key: tally.order[key] for key in ("same", "swapped", "told apart", "now equal")},
        },
        "advantages": {
            "compared": sum(tally.signs.values()),
            "signs": {f"{was} to {now}": n for (was, now), n in sorted(tally.signs.items())},
            "completions_changed": sum(n for (was, now), n in tally.signs.items() if was != now),
            "completions_flipped": tally.signs["+", "-"] + tally.signs["-", "+"],
            "groups_compared": tally.groups_compared,
            "groups_changed": tally.groups_changed,
            "groups_flipped": tally.groups_flipped,
            "groups": tally.worst_groups,
        },
        "rewards": rewards,
        "gates": {
            "completions": tally.gated,
            "share_of_variance": _rest([one["share_of_variance"] for one in rewards.values()]),
            "share_of_variance_in_groups": _rest([one["share_of_variance_in_groups"] for one in rewards.values()]),
        }
        if tally.gated
        else None,
        "verdicts": verdicts,
        "seconds": round(seconds, 3),
        "verdicts_per_second": round(verdicts / seconds, 1) if seconds > 0 else None,
    }


def _reward(one: RewardTally, size: float, tally: Tally) -> dict[str, Any]:
    variance = one.contribution.syy
    return {
        "weight": one.weight,
        "mean": _rounded(one.value.mean_x) if one.value.n else None,
        "mean_before": _rounded(one.before.mean_x) if one.before.n else None,
        "passed": _rounded(one.passed / one.judged) if one.judged else None,
        "contribution": _rounded(one.contribution.mean_x) if one.contribution.n else None,
        "share": _rounded(one.size / size) if size > 0 else None,
        "share_of_variance": _rounded(one.contribution.sxy / variance) if variance > 0 else None,
        "share_of_variance_in_groups": _rounded(one.within / tally.total_within) if tally.total_within > 0 else None,
        "status": {status.value: one.status[status] for status in Status},
        "reasons": dict(one.reasons.most_common()),
        "first_error": one.first_error or None,
    }


def _records(one: Rejudged) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row's number and its record, in the form of a run's own, with what was before beside it if it was saved."""
    records = completion_records(one.step, Scored((one.after,), {}, {}))
    for (number, saved), then, record in zip(one.rows, one.before, records, strict=True):
        if saved.generated is not None:
            yield number, record
            continue
        before = {"reward": saved.reward, "advantage": then, "values": dict(saved.values)}
        yield number, {**record, "step": saved.step if saved.step is not None else record["step"], "before": before}


def _moments(one: Moments) -> dict[str, Any] | None:
    return {"n": one.n, "mean": _rounded(one.mean_x), "std": _rounded(one.std_x)} if one.n else None


def _rest(shares: list[float | None]) -> float | None:
    known = [one for one in shares if one is not None]
    return _rounded(1.0 - sum(known)) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
