"""Reading a run's samples: from a plugin's data set to what is trained on and what is held out."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import length_hint
from typing import Any, Final

from lydite.config import DataConfig, RunConfig
from lydite.data.checks import Data, Skipped
from lydite.errors import DataError, LyditeError
from lydite.options import check_options
from lydite.plugins import Plugins
from lydite.types import Sample

SPARE_SHARE: Final = 0.25
"""Read from an endless source beyond what the steps take, for samples that checks will leave out."""
SPARE_AT_LEAST: Final = 64


def load_data(config: RunConfig, plugins: Plugins) -> Data:
    """The samples of a run, checked, with the held-out ones set apart.

    Without `eval.data`, `eval.n` samples with different prompts are drawn by the run's seed and set aside.
    Either way, a training sample that asks the same as a held-out one is left out and listed. `data.limit`
    counts the samples read, before any are set aside.

    A source with a length (a list), or with a length hint (a table on disk), is read whole, so that a
    shuffle reaches all of it; any other iterable, such as a generator, only as far as the run can use it.

    Raises:
        UnknownNameError: when no plugin offers the data set.
        ConfigError: on options the data set does not have.
        DataError: when the data is missing, broken, empty, too small, or names two samples alike.
    """
    held = config.eval
    steps_take = config.train.max_steps * config.train.prompts_per_step * (1 + config.sampling.max_refills)
    heldout: tuple[Sample, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    if held is None:
        samples = train = _read("data", config.data, plugins, steps_take)
    elif held.data is not None:
        samples = _read("data", config.data, plugins, steps_take)
        pool = _read("eval.data", held.data, plugins, held.n)
        heldout = _draw(pool, held.n, config.seed, shuffle=held.data.shuffle)
        if len(heldout) < held.n:
            raise DataError(
                f"eval.n = {held.n} different held-out prompts are asked for, and eval.data ({held.data.use!r}) has "
                f"{len(heldout)}; lower eval.n"
            )
        train, skipped = _without_overlap(samples, heldout, set())
    else:
        samples = _read("data", config.data, plugins, steps_take + held.n)
        heldout = _draw(samples, held.n, config.seed, shuffle=True)
        train, skipped = _without_overlap(samples, heldout, {one.id for one in heldout})
        if len(heldout) < held.n or not train:
            raise DataError(
                f"eval.n = {held.n} samples are to be held out of the {len(samples)} of data ({config.data.use!r}), "
                "which leaves nothing to train on; lower eval.n, give more data, or name eval.data"
            )
    if len(train) < config.train.prompts_per_step:
        raise DataError(
            f"a step asks {config.train.prompts_per_step} different prompts, and data ({config.data.use!r}) has "
            f"{len(train)} to train on" + (f" ({len(samples)} were read)" if len(samples) > len(train) else "")
        )
    return Data(train, heldout, skipped)


def _read(section: str, config: DataConfig, plugins: Plugins, usable: int) -> tuple[Sample, ...]:
    """Every sample of a data set, or as many as are of use."""
    offer = plugins.find("datasets", config.use)
    options = check_options(f"data set {config.use!r}", offer.thing, config.options)
    what = f"{section} ({config.use!r} of {offer.owner})"
    samples: list[Sample] = []
    first_at: dict[str, int] = {}
    try:
        source = offer.thing(**options)
        if inspect.isawaitable(source) or not isinstance(source, Iterable):
            raise DataError(f"{what} must give an iterable of samples, got {type(source).__name__}")
        finite = length_hint(source, -1) >= 0
        wanted = None if finite else usable + max(SPARE_AT_LEAST, int(SPARE_SHARE * usable))
        for number, given in enumerate(islice(source, config.limit if config.limit is not None else wanted)):
            sample = _checked(given, f"{what}, sample {number}")
            if sample.id in first_at:
                raise DataError(f"{what}: samples {first_at[sample.id]} and {number} have the same id {sample.id!r}")
            first_at[sample.id] = number
            samples.append(sample)
    except LyditeError:
        raise
    except Exception as error:
        raise DataError(f"{what} broke after {len(samples)} samples: {type(error).__name__}: {error}") from error
    if not samples:
        raise DataError(f"{what} is empty: it gave no samples")
    return tuple(samples)


def _checked(given: Any, where: str) -> Sample:
    """The sample, when it is one: plugins are not type-checked, and a wrong field would only show mid-run."""
    if not isinstance(given, Sample):
        raise DataError(f"{where}: expected a lydite.Sample, got {type(given).__name__}")
    if not isinstance(given.id, str) or not given.id:
        raise DataError(f"{where}: its id must be text that is not empty, got {given.id!r}")
    if isinstance(given.prompt, str):
        if not given.prompt.strip():
            raise DataError(f"{where}: its prompt is empty")
    elif not isinstance(given.prompt, tuple) or not given.prompt or not all(_is_message(one) for one in given.prompt):
        raise DataError(f"{where}: its prompt must be text, or a tuple of {{role, content}}, got {given.prompt!r:.80}")
    try:
        json.dumps(given.reference, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: its reference cannot be written as JSON, {error}: {given.reference!r:.80}") from None
    return given


def _is_message(one: Any) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(key), str) for key in ("role", "content"))


def _asked(sample: Sample) -> str:
    """What a sample asks, to tell whether two ask the same; white space and case do not make a difference."""
    if isinstance(sample.prompt, str):
        return " ".join(sample.prompt.split()).casefold()
    turns = [{"role": one["role"], "content": " ".join(one["content"].split()).casefold()} for one in sample.prompt]
    # One user message asks the same as its plain text.
    return turns[0]["content"] if len(turns) == 1 and turns[0]["role"] == "user" else json.dumps(turns)


def _draw(samples: Sequence[Sample], n: int, seed: int, *, shuffle: bool) -> tuple[Sample, ...]:
    """Up to n samples that ask different things, in the order of the data; the first ones without `shuffle`."""
    order = list(range(len(samples)))
    if shuffle:
        random.Random(f"lydite held-out {seed}").shuffle(order)  # noqa: S311
    chosen: list[int] = []
    seen: set[str] = set()
    for index in order:
        if len(chosen) == n:
            break
        asked = _asked(samples[index])
        if asked not in seen:
            seen.add(asked)
            chosen.append(index)
    return tuple(samples[index] for index in sorted(chosen))


def _without_overlap(
    samples: Sequence[Sample], heldout: Sequence[Sample], set_aside: set[str]
) -> tuple[tuple[Sample, ...], tuple[Skipped, ...]]:
    """The samples to train on, and those that are left out because a held-out sample asks the same."""
    asked = {_asked(one): one.id for one in heldout}
    train: list[Sample] = []
    skipped: list[Skipped] = []
    for sample in samples:
        twin = asked.get(_asked(sample))
        if twin is None:
            train.append(sample)
        elif sample.id not in set_aside:
            skipped.append(Skipped(sample.id, f"held out: asks the same as the held-out sample {twin!r}"))
    return tuple(train), tuple(skipped)
