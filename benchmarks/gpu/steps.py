"""Arms that train: whole GRPO steps of lydite, and what every trainer's steps are written down with."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.ballast import card_of
from benchmarks.gpu.make import model_folder
from benchmarks.gpu.meter import Meter, Parts, now
from benchmarks.gpu.results import Writer

GROUP: Final = 8
LEARNING_RATE: Final = 1e-5
# What fits on a card of 5 GiB: nothing is kept that can be had again.
SMALL_ENGINE: Final = {"unpack_weights": "never", "release_kv_cache": "always"}
SMALL_TRAIN: Final = {"gradient_checkpointing": True, "optim": "adamw_8bit", "logprob_chunk_size": 256}
SMALL_MICRO_BATCH: Final = 4
# What TRL does by its defaults: activations are computed again. The cache is given back, which an 80 GB card need not.
EVEN_ENGINE: Final = {"release_kv_cache": "always"}
EVEN_TRAIN: Final = {"gradient_checkpointing": True}
PROFILES: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "even": (EVEN_ENGINE, EVEN_TRAIN),
    "small": (SMALL_ENGINE, SMALL_TRAIN),
    "fast": ({}, {}),
}


@dataclass
class Steps:
    """When steps ended, and what was reported of each; memory is measured from the end of the warm-up."""

    given: argparse.Namespace
    meter: Meter
    parts: Parts
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

    def seconds(self) -> list[float]:
        """Of the steps after the warm-up, from the end of one to the end of the next."""
        ends = self.ends[self.given.warm_up :]
        return [after - before for before, after in itertools.pairwise(ends)]

    def write(self, writer: Writer) -> None:
        """Writes what the steps took."""
        seconds, tokens = self.seconds(), self.given.sequences * self.given.new
        self.parts.read_log()
        parts = {name: round(value, 2) for name, value in self.parts.seconds.items()}
        outer = [value for name, value in self.parts.seconds.items() if ":" not in name]
        writer.figure("start, warm-up steps included", "s", [sum(outer)], parts=parts)
        writer.figure("step", "s", seconds)
        writer.figure("new tokens per second of the whole step", "tokens/s", [tokens / one for one in seconds])
        training = self.meter.peaks()
        whole = {name: max(gib, self.starting.get(name, gib)) for name, gib in training.items()}
        for when, peaks in (("after the warm-up", training), ("from start to end", whole)):
            for name, gib in peaks.items():
                writer.figure(f"peak memory {when}, {name}", "GiB", [gib], idle=self.meter.idle.get("device"))


def lydite(given: argparse.Namespace, writer: Writer, *, profile: str) -> None:
    """Training by lydite, QLoRA: even with TRL's defaults, small on a card of `--card` GiB, or with memory to spare."""
    import torch

    with card_of(given.card if profile == "small" and torch.cuda.is_available() else None):
        _lydite(given, writer, profile)


def _lydite(given: argparse.Namespace, writer: Writer, profile: str) -> None:
    from benchmarks.gpu import ours
    from benchmarks.gpu.told import TOLD

    parts, meter = Parts(), Meter()
    folder, output = model_folder(given.models, given.model), given.logs / f"run-{writer.arm}"
    with parts.part("import"):
        import torch
        import transformers  # noqa: F401 - the import is what is timed

        import lydite as library
        from lydite import api
    with parts.part("weights"):
        policy = ours.load(folder, "nf4")
    shutil.rmtree(output, ignore_errors=True)
    vllm, small = given.engine == "vllm", profile == "small"
    engine, train = PROFILES[profile]
    config = ours.run_config(
        folder, output=output, prompt=given.prompt, new=given.new, sequences=given.sequences,
        micro_batch=SMALL_MICRO_BATCH if small else given.micro_batch, steps=given.warm_up + given.repeats,
        quantization="nf4", engine={"use": given.engine, **(engine if vllm else {})},
        train={"learning_rate": LEARNING_RATE, **(train if torch.cuda.is_available() else {})},
    )  # fmt: skip

    @library.reward(isolation="inline")
    def coin(text: str) -> float:
        return coin_of(text)

    steps = Steps(given, meter, parts)
    begun = now()

    def told(report: Any) -> None:
        if not steps.ends:  # the first step has ended; when it began is known from its own clock
            steps.begin()
            steps.ends[0] -= report.timings["step_time"]
            parts.seconds["engine"] = steps.ends[0] - begun
        steps.end()

    TOLD.append(told)
    result = api.train(config, rewards={"coin": coin}, policy=policy, display="none")
    _check_lengths(result.folder / "completions.jsonl", given)
    steps.write(writer)
    for metric, unit, key in (
        ("generation", "s", "time/generate"),
        ("training", "s", "time/train"),
        ("reward", "s", "time/score"),
    ):
        writer.figure(metric, unit, _of_steps(result.folder / "timings.jsonl", key, given.warm_up))
    metrics = (result.folder / "metrics.jsonl").read_text().splitlines()
    write_gap(writer, [json.loads(line) for line in metrics][given.warm_up :])


def coin_of(text: str) -> float:
    """A random reward, decided by the text."""
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] / 255


def _of_steps(file: Path, key: str, warm_up: int) -> list[float]:
    return [json.loads(line)[key] for line in file.read_text().splitlines()][warm_up:]


def _check_lengths(file: Path, given: argparse.Namespace) -> None:
    lengths = {json.loads(line)["tokens"] for line in file.read_text().splitlines()}
    if lengths != {given.new}:
        raise SystemExit(f"completions had {sorted(lengths)} tokens, and {given.new} were meant")


def write_gap(writer: Writer, logs: Sequence[dict[str, Any]]) -> None:
    """How far sampler and trainer are apart, by the names that both trainers give it.

    Ratios are told apart by what they are of: lydite weighs tokens, TRL whole completions.
    """
    for name in sorted(name for name in logs[0] if name.startswith("sampling/")):
        unit = "nats" if "logp_difference" in name else "ratio"
        of = f", of a {'token' if writer.ours else 'completion'}" if "importance_sampling_ratio" in name else ""
        writer.figure(f"{name}{of}", unit, [float(one[name]) for one in logs])
