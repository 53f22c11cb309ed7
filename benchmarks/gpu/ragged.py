"""Memory over many batches of ragged lengths: does the peak stay where the first whole batch put it?"""

from __future__ import annotations

import argparse
import random
from typing import Any, Final

from benchmarks.gpu.meter import Meter, Parts
from benchmarks.gpu.results import Writer
from benchmarks.gpu.rollouts import GROUP, start_lydite
from benchmarks.gpu.shapes import SHAPES

BATCHES: Final = 50


def ragged(given: argparse.Namespace, writer: Writer) -> None:
    """One batch of full length, then 50 of other numbers of prompts, prompt lengths and completion lengths."""
    meter = Meter()
    policy, engine = start_lydite(given, Parts(), unpack=given.unpack)
    from lydite.rollout import Sampling
    from lydite.types import Prompt, Sample

    drawn, vocabulary = random.Random(0), SHAPES[given.model].end_token

    def batch(number: int, prompts: int, shortest: int, new: int) -> None:
        asked: list[Any] = []
        for place in range(prompts):
            length = drawn.randint(shortest, given.prompt)
            ids = tuple(drawn.randrange(vocabulary) for _ in range(length))
            asked.append(Prompt(Sample(f"{number}-{place}", ""), "", ids))
        engine.take_adapter(policy)
        engine.generate(asked, Sampling(GROUP, new), number)

    batch(0, given.sequences // GROUP, given.prompt, given.new)
    whole = meter.peaks()
    meter.reset()
    for number in range(1, BATCHES + 1):
        batch(number, drawn.randint(1, given.sequences // GROUP), 1, drawn.randint(1, given.new))
    for name, gib in meter.peaks().items():
        writer.figure(f"peak memory of {BATCHES} ragged batches, {name}", "GiB", [gib])
        over = f"peak memory of {BATCHES} ragged batches over that of a whole one, {name}"
        writer.figure(over, "ratio", [gib / whole[name]])
    engine.close()
