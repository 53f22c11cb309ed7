"""The figures that a running display shows, kept from step to step: the same for terminals, logs and notebooks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from lydite.report.parting import divergence_of, warning_of
from lydite.report.reader import read_run
from lydite.report.wording import NOTHING, is_number, is_share, memory_text, metric_text, number
from lydite.types import RunInfo, StepReport

_RECENT: Final = 20  # steps that the estimate of the time left is taken from
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Figures:
    """One figure's course over a run."""

    first: float | None = None
    last: float | None = None
    course: list[float] = field(default_factory=list)

    def add(self, value: Any) -> None:
        """Takes note of a value; anything that is no number is passed over."""
        if is_number(value):
            self.first = value if self.first is None else self.first
            self.last = value
            self.course.append(value)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the live table."""

    name: str
    first: str
    now: str
    course: tuple[float, ...]


class Standing:
    """Where a run stands: steps done, time left, and the course of its figures."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.name = ""
        self.folder = Path()
        self.max_steps = 0
        self.step = 0
        self.metric = "held-out"
        self.reward = Figures()
        self.heldout = Figures()
        self.speed = Figures()
        self.memory = Figures()
        self.warning: str | None = None
        """One line while the reward climbs and the held-out metric falls; None while they go together."""
        self._started = now()
        self._stepped = self._started
        self._durations: deque[float] = deque(maxlen=_RECENT)

    def start(self, run: RunInfo) -> None:
        """The run begins, or goes on."""
        self.name, self.folder = run.name, Path(run.folder)
        self.max_steps, self.step = run.max_steps, run.resumed_from
        self._started = self._stepped = self._now()
        if self.step:
            self._go_on()

    def add(self, report: StepReport) -> None:
        """A step is done; step 0 is the evaluation before the first."""
        self.max_steps, self.step = report.max_steps, report.step
        now = self._now()
        if report.step > 0:
            self._durations.append(now - self._stepped)
        self._stepped = now
        self.reward.add(report.metrics.get("reward"))
        self.speed.add(report.timings.get("tokens_per_second"))
        peak = [report.timings.get(key) for key in ("memory/peak_bytes", "memory/device_bytes", "memory/rss_bytes")]
        self.memory.add(next((one for one in peak if is_number(one)), None))
        if report.heldout is not None:
            self.metric = report.heldout.metric
            self.heldout.add(report.heldout.value)
        self.warning = warning_of(report.divergence) if report.divergence is not None else None

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, or went on."""
        return self._now() - self._started

    @property
    def left(self) -> float | None:
        """Seconds until the last step, by the mean of the recent ones; None before the first."""
        if not self._durations:
            return None
        each = sum(self._durations) / len(self._durations)
        return max(0.0, each * (self.max_steps - self.step) - (self._now() - self._stepped))

    def rows(self) -> tuple[Row, ...]:
        """The live table: reward, held-out metric, tokens per second, memory."""
        share = is_share(self.heldout.course)
        table: tuple[tuple[str, Figures, Callable[[Any], str]], ...] = (
            ("reward", self.reward, number),
            (
                self.metric,
                self.heldout,
                lambda value: metric_text(value, share=share) if value is not None else NOTHING,
            ),
            ("tokens/s", self.speed, lambda value: number(round(value)) if value is not None else NOTHING),
            ("memory", self.memory, memory_text),
        )
        return tuple(Row(name, say(one.first), say(one.last), tuple(one.course)) for name, one, say in table)

    def _go_on(self) -> None:
        """A resumed run's figures so far, so that "first" means the first of the run."""
        run = read_run(self.folder)
        for one in run.metrics:
            if one["step"] <= self.step:
                self.reward.add(one.get("reward"))
        for one in run.evals:
            if one["step"] <= self.step:
                self.metric = str(one.get("metric", self.metric))
                self.heldout.add(one.get("value"))
                parted = divergence_of(one)
                self.warning = warning_of(parted) if parted is not None else None


def sparkline(values: tuple[float, ...], width: int) -> str:
    """A curve in block characters: the means of `width` stretches at most, from the lowest to the highest."""
    if len(values) < 2 or width < 2:
        return ""
    n = min(width, len(values))
    edges = [round(place * len(values) / n) for place in range(n + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1))] if span else _BARS[0] for mean in means)


def start_facts(run: RunInfo) -> tuple[tuple[str, str], ...]:
    """What a run is about to do, as pairs of a name and a value."""
    config, manifest = run.config, run.manifest
    train, rewards = _mapping(config.get("train")), _mapping(config.get("rewards"))
    data, evaluation = _mapping(config.get("data")), _mapping(config.get("eval"))
    model = manifest.get("model") or _mapping(config.get("model")).get("path")
    weights = [f"{_mapping(one).get('weight', 1.0):g} {name}" for name, one in rewards.items()]
    judge = _mapping(evaluation.get("reward")).get("use")
    held_out = (
        f"{evaluation.get('metric', 'accuracy')} by {judge} on {evaluation.get('n', '?')} questions" if judge else ""
    )
    group = train.get("num_generations")
    resumed = f", from step {run.resumed_from}" if run.resumed_from else ""
    pairs = (
        ("model", str(model or "")),
        ("device", str(manifest.get("device") or "")),
        ("data", str(data.get("use") or "")),
        ("rewards", " + ".join(weights)),
        ("held out", held_out),
        ("steps", f"{run.max_steps}{resumed}" + (f", {group} completions a prompt" if group else "")),
        ("folder", run.folder),
    )
    return tuple((name, value) for name, value in pairs if value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
