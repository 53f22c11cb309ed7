"""Completions made anew and judged at once, without training: what `lydite score --generate` does.

    starting_from -> prepare -> load_policy -> put_into -> Engine.generate -> rescore

`lydite.rescore` judges them as it judges saved ones, and knows nothing of models.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lydite.config import FormatConfig, RunConfig
from lydite.environments.episodes import with_environment
from lydite.generate.fresh import FreshCompletions, Progress
from lydite.generate.wanted import Wanted, chosen, evaluation_alone, prompts_at_once, sampling_of, with_limit
from lydite.learned import Learned, put_into, starting_from
from lydite.policy import check_source, load_policy
from lydite.policy.dtypes import settled
from lydite.prepare import make_format, prepare
from lydite.progress import seed_for
from lydite.prompts import encode_prompts
from lydite.rescore import rescore
from lydite.rescore.compare import Write
from lydite.rewards import RewardStack
from lydite.rollout import make_engine
from lydite.rollout.chat_server import serving_judge

__all__ = ["Wanted", "score_generated"]

logger = logging.getLogger("lydite")


def score_generated(
    config: RunConfig,
    wanted: Wanted | None = None,
    *,
    learned: Learned | None = None,
    judged: RunConfig | None = None,
    read_by: FormatConfig | None = None,
    write: Write | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What `lydite.rescore.rescore` says of completions that the configuration's model gives to its data.

    `generated` has in addition how they were made and, for the held-out prompts, the value of the run's metric.
    `learned` is put into the model; without it, it answers as it is before training. `judged` is the
    configuration whose rewards judge; None: this one, whose [eval] judges held-out answers. `read_by` is the
    format that finds the answers; None: the one that asked for them. `write` is given each completion's record.

    Raises:
        LyditeError: before any model is loaded, on whatever can be found wrong by then; see `lydite.errors`.
    """
    wanted = wanted or Wanted()
    config = settled(with_limit(config, wanted))
    sampling = sampling_of(config, wanted)
    metric = config.eval.metric if config.eval is not None and wanted.heldout and judged is None else None
    judging = judged or (evaluation_alone(config) if wanted.heldout else config)
    config = config if learned is None else starting_from(config, learned)
    prepared = prepare(config)
    prepared.close()  # its workers are not needed: the stack that judges has its own
    form = prepared.format if read_by is None else make_format(read_by, prepared.plugins)
    check_source(config.model)
    policy = load_policy(config.model, config.lora, prepared.plugins, config.seed)
    if learned is not None:
        put_into(policy, learned)
    rewards: list[float] = []

    def written(number: int, record: Mapping[str, Any]) -> None:
        if record["reward"] is not None:
            rewards.append(record["reward"])
        if write is not None:
            write(number, record)

    engine = player = make_engine(config, policy)
    try:
        player = with_environment(engine, prepared.environments, policy)
        prompts = chosen(encode_prompts(prepared, policy), config, wanted)
        logger.info(
            "%s samples %d of each of %d prompts from %s%s", engine.name, sampling.num_generations, len(prompts),
            config.model.path, "" if learned is None else f" with {learned}",
        )  # fmt: skip
        engine.take_adapter(policy)
        seed, at_once = seed_for(config.seed, "score", 0), prompts_at_once(config, wanted, sampling)
        fresh = FreshCompletions(player, prompts, sampling, seed, at_once, progress)
        with TemporaryDirectory(prefix="lydite-score-") as folder:  # for the accounts that judges keep

            def serving(stack: RewardStack) -> AbstractContextManager[None]:
                return serving_judge(judging, (stack,), engine, policy, Path(folder))

            found = rescore(fresh, judging, prepared.plugins, format=form, write=written, serving=serving)
    finally:
        player.close()
    mean = sum(rewards) / len(rewards) if rewards else None
    made = {
        "model": config.model.path,
        "learned": None if learned is None else str(learned),
        "engine": engine.name,
        **asdict(sampling),
        **fresh.counts(),
        "heldout": None if metric is None else {"metric": metric, "value": mean, "n": len(rewards)},
    }
    return {**found, **_without_sampling(found, fresh.seconds), "generated": made}


def _without_sampling(found: Mapping[str, Any], sampling_seconds: float) -> dict[str, Any]:
    """How long judging took, and how many verdicts a second that is: sampling went on in between."""
    seconds = max(found["seconds"] - sampling_seconds, 0.0)
    return {
        "seconds": round(seconds, 3),
        "verdicts_per_second": round(found["verdicts"] / seconds, 1) if seconds > 0 else None,
    }
