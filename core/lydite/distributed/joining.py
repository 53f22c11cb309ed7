"""How a process finds the others of its run: through what torchrun and accelerate put into its environment."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Final

from lydite.config import RunConfig
from lydite.distributed.launched import first_to_say, follow_launcher
from lydite.distributed.processes import Processes, ToldToEnd, being
from lydite.errors import ConfigError, DataError, LyditeError, MissingExtraError, PluginError, ProcessError

logger = logging.getLogger("lydite")

_COUNT: Final = "WORLD_SIZE"
_INDEX: Final = "RANK"
_HERE: Final = "LOCAL_RANK"
_COUNT_HERE: Final = "LOCAL_WORLD_SIZE"
_FOUND_BY_ALL: Final = (ConfigError, DataError, MissingExtraError, PluginError, ProcessError)


def launched(environ: MutableMapping[str, str] = os.environ) -> tuple[int, int]:
    """Which process of how many this is, by its environment; (0, 1) for one that was started by itself."""
    count = int(environ.get(_COUNT, "1"))
    return (int(environ.get(_INDEX, "0")), count) if count > 1 else (0, 1)


def check_count(config: RunConfig, count: int) -> None:
    """Nothing, when a run can have so many processes.

    Raises:
        ConfigError: when there are more than groups in a step.
    """
    train = config.train
    groups = train.prompts_per_step
    if count > groups:
        raise ConfigError(
            f"{count} processes for the {groups} groups of a step (its {train.generation_batch_size} completions, "
            f"num_generations = {train.num_generations} of each prompt): a group stays in one process, so that "
            f"{count - groups} would have nothing to do. Take at most {groups} processes, or raise "
            "train.steps_per_generation or train.gradient_accumulation_steps"
        )


@contextmanager
def joined(config: RunConfig) -> Iterator[Processes]:
    """While open, this process is one of its run's; by itself, it is alone and nothing is done.

    Its GPU is the one of its LOCAL_RANK. SIGTERM, which a launcher sends to the others when one is lost, and which it
    gets as well when the launcher itself is gone, ends it with a ProcessError.

    Raises:
        ConfigError: when the run cannot have so many processes, or this host has fewer GPUs than processes.
        MissingExtraError: when accelerate is not installed.
    """
    index, count = launched()
    if count == 1:
        yield Processes()
        return
    processes = Processes(index, count, timedelta(seconds=config.distributed.timeout))
    try:
        check_count(config, count)
        with _told_to_end(index, count):
            follow_launcher()
            _meet(config)
            if index:
                logger.setLevel(logging.ERROR)  # one process speaks for all
            logger.info("processes: %d, strategy %s", count, config.distributed.strategy)
            with being(processes):
                yield processes
    except ToldToEnd as told_to:
        _forget_others()
        error = ProcessError(str(told_to))
        error.told_elsewhere = index % _here(count) > 0
        raise error from None
    except LyditeError as error:
        if isinstance(error, ProcessError):
            _forget_others()
        # Of what all processes of a host find, the first tells; of what may be one's alone, whoever comes first.
        common = isinstance(error, _FOUND_BY_ALL) and error is not processes.failed_here
        told = index % _here(count) > 0 if common else not first_to_say(str(error))
        error.told_elsewhere = error.told_elsewhere or told
        raise


def _here(count: int) -> int:
    """How many of the run's processes are on this host."""
    return int(os.environ.get(_COUNT_HERE, count))


def _forget_others() -> None:
    atexit.unregister(_part)  # it would wait for a process that is gone


def _meet(config: RunConfig) -> None:
    """Brings the processes together through accelerate, once in the life of each; a second run finds them so."""
    import torch

    if torch.distributed.is_initialized():
        return
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise MissingExtraError("several processes need accelerate; pip install 'lydite[train]'") from error
    on_cpu = _computes_on_cpu(config)
    # Objects go from CPU to CPU even where gradients go from GPU to GPU.
    backend = None if on_cpu else "cpu:gloo,cuda:nccl"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun has it
    PartialState(cpu=on_cpu, backend=backend, timeout=timedelta(seconds=config.distributed.timeout))
    atexit.register(_part)


def _part() -> None:
    from accelerate import PartialState

    PartialState().destroy_process_group()


def _computes_on_cpu(config: RunConfig) -> bool:
    """Whether this process computes on the CPU, because it is to or there is no GPU.

    Raises:
        ConfigError: when there are GPUs, and none for this process.
    """
    import torch

    gpus = torch.cuda.device_count()
    if config.model.device == "cpu" or gpus == 0:
        return True
    check_gpu(int(os.environ.get(_HERE, "0")), gpus)
    return False


def check_gpu(place: int, gpus: int) -> None:
    """Nothing, when a host with so many GPUs has one for its process number `place`.

    Raises:
        ConfigError: when it has not.
    """
    if place >= gpus:
        raise ConfigError(
            f"process {place} of this host has no GPU of its own: there {'is' if gpus == 1 else 'are'} {gpus}, and "
            f'each process takes one. Start at most {gpus} here, or set model.device = "cpu"'
        )


@contextmanager
def _told_to_end(index: int, count: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread
        return

    def end(number: int, frame: FrameType | None) -> None:
        if isinstance(sys.exc_info()[1], LyditeError | ToldToEnd):
            return  # it is ending already, and has more to say
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows saves what can be saved
        raise ToldToEnd(
            f"process {index} of {count} was told to end ({signal.Signals(number).name}), as all are when one is lost"
        )

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, before)
