"""Chooses the prompts of a step, and remembers how hard they turned out to be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from lydite.config import RunConfig
from lydite.data import difficulties
from lydite.errors import CheckpointError
from lydite.pool.difficulty import DifficultyPool, pass_share
from lydite.pool.frontier import Frontier
from lydite.pool.laps import Laps, curriculum_laps, shuffled_laps
from lydite.types import Sample, ScoredGroup


class Order(Protocol):
    """Says which prompts come next. All it remembers is in its state."""

    def take(self, count: int, step: int, busy: Collection[int], resting: Callable[[int], bool]) -> list[int]:
        """`count` different indices that are not busy and for which `resting` is false; fewer if there are no more."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, in JSON terms."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        ...


class Chooser:
    """The prompts of one run: their order, and the pool of their pass rates."""

    def __init__(self, samples: Sequence[Sample], config: RunConfig, pass_by: Sequence[str]) -> None:
        """`pass_by`: the rewards that a completion must pass to count as passed."""
        self._ids = [sample.id for sample in samples]
        self._sampling = config.sampling
        self._pass_by = tuple(pass_by)
        self._pool = DifficultyPool(config.sampling.pass_rate_decay)
        self._order: Order = self._make_order(samples, config)
        self._order_before = self._order.state_dict()

    def choose(self, count: int, step: int, busy: Collection[int] = ()) -> list[int]:
        """Indices of the `count` prompts to ask next, none of which the step has asked before (`busy`).

        Where too few are left that are not retired, a step that asked nothing yet takes retired ones, the one first
        that was not asked for longest; a refill is smaller.
        """

        def resting(index: int) -> bool:
            return self._rests(self._ids[index], step)

        chosen = self._order.take(count, step, busy, resting)
        if len(chosen) < count and not busy:
            retired = [index for index in range(len(self._ids)) if index not in chosen and resting(index)]
            chosen += sorted(retired, key=self._last_asked)[: count - len(chosen)]
        return chosen

    def saw(self, groups: Sequence[ScoredGroup], step: int) -> Iterator[dict[str, Any]]:
        """Takes note of a step's groups; for each that could be judged, a record of the prompt's standing."""
        for group in groups:
            sample, share = group.prompt.sample.id, pass_share(group, self._pass_by)
            if share is None:
                continue
            now = self._pool.saw(sample, share, step)
            yield {
                "step": step,
                "sample": sample,
                "passed": share,
                "pass_rate": now.pass_rate,
                "groups": now.groups,
                "retired": self._is_retired(sample),
            }

    def figures(self) -> dict[str, float]:
        """What the pool holds: prompts judged so far, their mean pass rate, and the shares at 0 and at 1."""
        rates = [one.pass_rate for one in self._pool]
        if not rates:
            return {}
        figures = {
            "pool/prompts": float(len(rates)),
            "pool/pass_rate": sum(rates) / len(rates),
            "pool/never_passed": sum(rate == 0.0 for rate in rates) / len(rates),
            "pool/always_passed": sum(rate == 1.0 for rate in rates) / len(rates),
        }
        if self._sampling.retire_at is not None:
            figures["pool/retired"] = float(sum(self._is_retired(sample) for sample in self._ids))
        return figures

    def begin_step(self) -> None:
        """Takes note of where order and pool are, for `undo_step`."""
        self._order_before = self._order.state_dict()
        self._pool.begin_step()

    def undo_step(self) -> None:
        """Forgets what was chosen and seen since `begin_step`."""
        self._order.load_state_dict(self._order_before)
        self._pool.undo_step()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, in JSON terms."""
        return {"order": self._order.state_dict(), "pool": self._pool.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state.

        Raises:
            CheckpointError: when it is not that of a run with this order.
        """
        if "order" not in state or "pool" not in state:
            raise CheckpointError(
                f"the checkpoint remembers {sorted(state)} of the prompts, and this version of lydite their order and "
                "pool; go on with the version that the run's manifest names"
            )
        self._order.load_state_dict(state["order"])
        self._pool.load_state_dict(state["pool"])

    def _make_order(self, samples: Sequence[Sample], config: RunConfig) -> Order:
        sampling, seed, shuffle, n = config.sampling, config.seed, config.data.shuffle, len(samples)
        if sampling.order == "curriculum":
            column = sampling.difficulty_column
            known = None if column is None else difficulties(samples, column)
            return curriculum_laps(
                n,
                seed,
                shuffle=shuffle,
                length=min(n, config.train.max_steps * config.train.prompts_per_step),
                difficulty=self._failure_rates if known is None else lambda: known,
                remember=known is None,
            )
        laps: Laps = shuffled_laps(n, seed, shuffle=shuffle)
        if sampling.order == "shuffle":
            return laps
        return Frontier(
            laps, n, seed, target=sampling.target, exploration=sampling.exploration, pass_rate=self._pass_rate
        )

    def _pass_rate(self, index: int) -> float | None:
        standing = self._pool.get(self._ids[index])
        return None if standing is None else standing.pass_rate

    def _failure_rates(self) -> list[float]:
        """How hard every prompt is; one that was never judged is as hard as the others are on average."""
        rates = [one.pass_rate for one in self._pool]
        average = sum(rates) / len(rates) if rates else 0.0
        known = map(self._pass_rate, range(len(self._ids)))
        return [1.0 - (average if rate is None else rate) for rate in known]

    def _is_retired(self, sample: str) -> bool:
        retire_at, standing = self._sampling.retire_at, self._pool.get(sample)
        if retire_at is None or standing is None:
            return False
        return standing.groups >= self._sampling.retire_after and standing.pass_rate >= retire_at

    def _rests(self, sample: str, step: int) -> bool:
        """True for a retired prompt that is not due to be tested again."""
        standing = self._pool.get(sample)
        return standing is not None and self._is_retired(sample) and step - standing.step < self._sampling.retest_every

    def _last_asked(self, index: int) -> int:
        standing = self._pool.get(self._ids[index])
        return 0 if standing is None else standing.step
