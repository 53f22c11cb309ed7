"""One arm of `benchmarks.multi_gpu`: a run in so many processes, one GPU each, and what they tell each other, timed.

    python -m benchmarks.gpu.several ARM.json PROCESSES

Each process runs this module again, as the launcher has it.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu import ours
from benchmarks.gpu.steps import coin_of

REPEATS: Final = 10
ROLLOUT_BYTES: Final = 13
"""Of one sampled token on its way: a number up to a vocabulary's size, and a float of 64 bit, pickled."""


def main() -> None:
    """Starts the processes of an arm, or is one of them."""
    arm, count = Path(sys.argv[1]), int(sys.argv[2])
    if count > 1 and "RANK" not in os.environ:
        from lydite.distributed import launch

        sys.exit(launch(count, sys.argv[1:], module="benchmarks.gpu.several"))
    _train(json.loads(arm.read_text()), arm.with_name("between.json"))


def _train(config: dict[str, Any], told: Path) -> None:
    from lydite.cli import set_environment
    from lydite.cli.processes import take_own_gpu
    from lydite.config import RunConfig

    set_environment(os.environ)
    logging.basicConfig(level=logging.WARNING)
    take_own_gpu(RunConfig.model_validate(config))
    import lydite

    # What is shared out is loaded by the run itself; else no answer ends before its time.
    whole = config["distributed"]["strategy"] == "ddp"
    policy = ours.load(Path(config["model"]["path"]), config["model"]["quantization"]) if whole else None
    done = lydite.train(config, rewards={"coin": coin}, policy=policy, display="none")
    figures = _between(done.policy, config["train"])
    if figures and os.environ["RANK"] == "0":
        told.write_text(json.dumps(figures))


def coin(text: str) -> float:
    """A random reward, decided by the text."""
    return coin_of(text)


def _between(policy: Any, train: dict[str, Any]) -> dict[str, float]:
    """Seconds of what goes from process to process in a step, nobody waited for; nothing for one process."""
    import torch

    from lydite.distributed.exchange import Exchange

    if not torch.distributed.is_initialized():
        return {}
    exchange = Exchange()
    trained = list(policy.trainable().values())
    sequences = train["per_device_train_batch_size"] * train["gradient_accumulation_steps"]
    own = os.urandom(ROLLOUT_BYTES * train["max_completion_length"] * sequences // torch.distributed.get_world_size())
    return {
        "gradient_bytes": 4 * sum(one.numel() for one in trained),
        "gradient_sum_s": _timed(exchange, lambda: exchange.sum_gradients(trained)),
        "rollout_bytes": len(own) * torch.distributed.get_world_size(),
        "rollouts_s": _timed(exchange, lambda: exchange.all_gather(own)),
        "small_object_s": _timed(exchange, lambda: exchange.all_gather(b"1")),
    }


def _timed(exchange: Any, call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS + 2):
        exchange.all_gather(b"1")  # all begin together
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[2:])  # the first meets the others


if __name__ == "__main__":
    main()
