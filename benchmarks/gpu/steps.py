"""Arms that train: whole GRPO steps of lydite, and what every trainer's steps are written down with."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.ballast import card_of
from benchmarks.gpu.make import model_folder
from benchmarks.gpu.meter import Meter, Parts, now
from benchmarks.gpu.profiles import PROFILES
from benchmarks.gpu.results import Writer, read_lines
from benchmarks.gpu.trace import trace_generation, trace_update
from benchmarks.gpu.work import PEAK, Work, fix_lengths, shape_of, training_flops, work_of

LEARNING_RATE: Final = 1e-5
AWAKE: Final = 1e-3
"""Seconds that waking takes at least: what is shorter found the engine awake."""


@dataclass
class Steps:
    """When steps ended, and what was reported of each; memory is measured from the end of the warm-up."""

    given: argparse.Namespace
    meter: Meter
    parts: Parts
    writer: Writer
    ends: list[float] = field(default_factory=list)
    starting: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """The run's first step begins."""
        self.ends.append(now())

    def end(self) -> None:
        """A step has ended."""
        self.ends.append(now())
        if len(self.ends) == 1 + self.given.warm_up:
            self.parts.seconds["warm-up"] = self.ends[-1] - self.ends[0]
            self.starting = self.meter.peaks()
            self.meter.reset()
        if len(self.seconds()) > 1:  # should the arm be ended by its limit, this much is known
            self.writer.figure("step", "s", self.seconds())
            self._write_peaks("after the warm-up", self.meter.peaks())

    def seconds(self) -> list[float]:
        """Of the steps after the warm-up, from the end of one to the end of the next."""
        ends = self.ends[self.given.warm_up :]
        return [after - before for before, after in itertools.pairwise(ends)]

    def write(self, writer: Writer) -> None:
        """Writes what the steps took."""
        seconds, tokens = self.seconds(), work_of(self.given).new
        self.parts.read_log()
        parts = {name: round(value, 2) for name, value in self.parts.seconds.items()}
        outer = [value for name, value in self.parts.seconds.items() if ":" not in name]
        writer.figure("start, warm-up steps included", "s", [sum(outer)], parts=parts)
        writer.figure("step", "s", seconds)
        writer.figure("new tokens per second of the whole step", "tokens/s", [tokens / one for one in seconds])
        training = self.meter.peaks()
        whole = {name: max(gib, self.starting.get(name, gib)) for name, gib in training.items()}
        self._write_peaks("after the warm-up", training)
        self._write_peaks("from start to end", whole)
        if retries := allocations_done_again():
            writer.figure("allocations that had to give memory back first", "times", [retries])

    def _write_peaks(self, when: str, peaks: Mapping[str, float]) -> None:
        for name, gib in peaks.items():
            self.writer.figure(f"peak memory {when}, {name}", "GiB", [gib], idle=self.meter.idle.get("device"))


def lydite(
    given: argparse.Namespace, writer: Writer, *, profile: str, load: Callable[[Path], Any] | None = None
) -> None:
    """Training by lydite, QLoRA, by one of `PROFILES`; those for small cards on one of `--card` GiB.

    `load` makes the policy of the model's folder where it is not read from there.
    """
    import torch

    with card_of(given.card if PROFILES[profile].on_card and torch.cuda.is_available() else None):
        _lydite(given, writer, profile, load)


def _lydite(given: argparse.Namespace, writer: Writer, name: str, load: Callable[[Path], Any] | None) -> None:
    from benchmarks.gpu import ours
    from benchmarks.gpu.told import TOLD

    logging.basicConfig(format="%(name)s %(message)s")
    logging.getLogger("lydite").setLevel(logging.INFO)  # the arm's log says what was planned
    parts, meter, profile, work = Parts(), Meter(), PROFILES[name], work_of(given)
    folder, output = model_folder(given.models, given.model), given.logs / f"run-{writer.arm}"
    counted = given.warm_up + given.repeats
    with parts.part("import"):
        import transformers  # noqa: F401 - the import is what is timed

        import lydite as library
        from lydite import api
        from lydite.trainer import Trainer
    with parts.part("weights"):
        policy = ours.load(folder, "nf4") if load is None else load(folder)
    shutil.rmtree(output, ignore_errors=True)
    config = ours.run_config(
        folder, output=output, prompt=given.prompt, new=given.new, sequences=given.sequences, group=given.group,
        micro_batch=profile.micro_batch or given.micro_batch, steps=counted + 2 * given.trace, quantization="nf4",
        engine={"use": given.engine, **(profile.engine if given.engine == "vllm" else {})},
        train={"learning_rate": LEARNING_RATE, **profile.train},
    )  # fmt: skip

    @library.reward(isolation="inline")
    def coin(text: str) -> float:
        return coin_of(text)

    steps = Steps(given, meter, parts, writer)
    begun = now()
    handovers: list[float] = []
    waking: list[float] = []
    sleeping: list[float] = []

    def told(report: Any) -> None:
        nonlocal waking, sleeping
        if not steps.ends:  # the first step has ended; when it began is known from its own clock
            steps.begin()
            steps.ends[0] -= report.timings["step_time"]
            parts.seconds["engine"] = steps.ends[0] - begun
        if report.step <= counted:
            steps.end()
        if report.step == counted:
            steps.write(writer)
            waking, sleeping = [*waking], [*sleeping]  # the engine wakes for what is traced as well

    make_engine = api.make_engine

    def engine_of(config: Any, policy: Any) -> Any:
        nonlocal handovers, waking, sleeping
        engine = make_engine(config, policy)
        fix_lengths(engine, policy, work.lengths)
        handovers = timed(engine, "take_adapter")
        if hasattr(engine, "_wake"):  # vLLM, which gives memory back between rollouts where it is short
            waking, sleeping = timed(engine, "_wake"), timed(engine, "_sleep")
        if given.trace:
            trace_update(counted + 1, given.logs / f"trace-{writer.arm}-update.txt", writer)
            file = given.logs / f"trace-{writer.arm}-generation.txt"
            trace_generation(engine, counted + 2, len(work.lengths), file, writer)
        return engine

    TOLD.append(told)
    api.make_engine = engine_of
    Trainer._save = lambda self: None  # its last step always writes a checkpoint; TRL is told to write none
    result = api.train(config, rewards={"coin": coin}, policy=policy, display="none")
    _check_lengths(result.folder / "completions.jsonl", work)
    timings = read_lines(result.folder / "timings.jsonl")
    measured = timings[given.warm_up : counted]
    for metric, key in (("generation", "generate"), ("training", "train"), ("reward", "score"), ("sentinels",) * 2):
        writer.figure(metric, "s", [one.get(f"time/{key}", 0.0) for one in measured])
    # The first adapter is handed over before the first step.
    writer.figure("hand-over of weights", "s", handovers[1 + given.warm_up : 1 + counted])
    for metric, seconds in (("engine wakes", waking), ("engine sleeps", sleeping)):
        if told_of := [one for one in seconds if one > AWAKE][-given.repeats :]:
            writer.figure(metric, "s", told_of)
    for metric, some in (("in the warm-up", timings[: given.warm_up]), ("after the warm-up", measured)):
        if some and "kernels/compiled" in some[0]:
            writer.figure(f"programs compiled {metric}", "programs", [sum(one["kernels/compiled"] for one in some)],
                          seconds=round(sum(one["kernels/compile_seconds"] for one in some), 2))  # fmt: skip
    write_speed(writer, given, work, [one["time/train"] for one in measured], shared=profile.shares)
    write_gap(writer, read_lines(result.folder / "metrics.jsonl")[given.warm_up : counted])


def write_speed(
    writer: Writer, given: argparse.Namespace, work: Work, training: Sequence[float], *, shared: bool
) -> None:
    """How fast training is, by its seconds a step: in tokens, and as a share of the GPU's arithmetic."""
    flops = training_flops(shape_of(given), work, shared=shared)
    writer.figure("training, real tokens per second", "tokens/s", [work.real / one for one in training],
                  counted="each completion with its prompt, no padding")  # fmt: skip
    writer.figure("training, share of 780 TFLOP/s", "share", [flops / one / PEAK for one in training],
                  counted="without padding and without what is only computed again")  # fmt: skip
    writer.figure("tokens of a step, over those with each prompt once", "ratio", [work.real / work.unique],
                  real=work.real, unique=work.unique, new=work.new)  # fmt: skip


def allocations_done_again() -> int:
    """How often torch had no room and gave back all that it held unused, which waits for the GPU; 0 on a CPU."""
    import torch

    return int(torch.cuda.memory_stats().get("num_alloc_retries", 0)) if torch.cuda.is_available() else 0


def timed(holder: Any, name: str) -> list[float]:
    """The seconds of each call of the method from now on."""
    method: Callable[..., Any] = getattr(holder, name)
    seconds: list[float] = []

    def measured(*args: Any, **kwargs: Any) -> Any:
        begun = now()
        try:
            return method(*args, **kwargs)
        finally:
            seconds.append(now() - begun)

    setattr(holder, name, measured)
    return seconds


def coin_of(text: str) -> float:
    """A random reward, decided by the text."""
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] / 255


def _check_lengths(file: Path, work: Work) -> None:
    lengths = [line["tokens"] for line in read_lines(file)]
    steps = len(lengths) // len(work.lengths)
    if sorted(lengths) != sorted(work.lengths * steps):
        raise SystemExit(f"completions had {sum(lengths)} tokens in all, and {steps} x {work.new} were meant")


def write_gap(writer: Writer, logs: Sequence[dict[str, Any]]) -> None:
    """How far sampler and trainer are apart, by the names that both trainers give it.

    Ratios are told apart by what they are of: lydite weighs tokens, TRL whole completions.
    """
    names = {name for one in logs for name in one if name.startswith("sampling/")}  # a canary is not in every step
    for name in sorted(names):
        unit = "nats" if "logp_difference" in name else "ratio"
        of = f", of a {'token' if writer.ours else 'completion'}" if "importance_sampling_ratio" in name else ""
        writer.figure(f"{name}{of}", unit, [float(one[name]) for one in logs if name in one])
