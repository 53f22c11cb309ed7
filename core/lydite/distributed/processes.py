"""The processes of a run: which of them this is, and what they tell each other.

All of them go through the same steps on the same numbers. What is dear (sampling, verifiers, passes) is shared out,
and its results are handed to all; what is cheap, everybody does. So nothing else in a run has to know of this.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Generic, TypeVar

import torch
from torch import nn

from lydite import errors
from lydite.distributed.exchange import Exchange
from lydite.distributed.packing import packed, unpacked
from lydite.errors import LyditeError, ProcessError

_T = TypeVar("_T")


class ToldToEnd(BaseException):
    """A process was told to end, as a launcher tells all when one is lost.

    It is no `Exception`, so that no plugin or library which goes on after any failure goes on after this one.
    """


@dataclass(frozen=True, slots=True)
class _Told(Generic[_T]):
    """What one process has to tell the others: what it made, or how it failed."""

    made: _T | None
    failed: LyditeError | None


class Processes:
    """The processes of a run, as process `index` of `count` sees them. Alone, nothing is sent anywhere."""

    def __init__(self, index: int = 0, count: int = 1, timeout: timedelta | None = None) -> None:
        self.index = index
        self.count = count
        self._exchange = Exchange(timeout)
        self.failed_here: Exception | None = None
        """What this process has told the others that it failed with; nobody else tells the user."""
        self.in_step: Callable[[], AbstractContextManager[object]] = nullcontext
        """Held open by all processes at once where each runs passes of its own; see `sharding`."""

    @property
    def is_main(self) -> bool:
        """True in the process that writes the run's folder, speaks, and tells observers."""
        return self.index == 0

    def own(self, start: int, stop: int, unit: int = 1, work: Sequence[int] | None = None) -> tuple[int, int]:
        """The part of rows `start` to `stop` - 1 that is this process's, as a range; it may be empty.

        `unit` rows stay together, which the range is a multiple of. `work` says how much each unit is, and all parts
        get about as much; without, parts differ by one unit at most.
        """
        units = (stop - start) // unit
        sums = range(units + 1) if work is None else [*accumulate(work, initial=0)]
        first, last = (_end_of(sums, index, self.count) for index in (self.index, self.index + 1))
        return start + first * unit, start + last * unit

    def seed(self, seed: int) -> int:
        """A seed of this process's own, for what need not be alike; the main process's is the given one."""
        return seed + self.index

    def gather(self, thing: _T) -> list[_T]:
        """What every process gave, in their order, with tensors on the CPU.

        Raises:
            ProcessError: when another process is gone.
        """
        if self.count == 1:
            return [thing]
        with self._talking():
            told = self._exchange.all_gather(packed(thing))
        return [unpacked(one) for one in told]

    def together(self, make: Callable[[], _T]) -> list[_T]:
        """What `make` gave in every process, in their order; what it raises in one is raised in all.

        Raises:
            ProcessError: when another process is gone, or had an error that is none of lydite's.
        """
        if self.count == 1:
            return [make()]
        own: Exception | None = None
        told: _Told[_T]
        try:
            told = _Told(make(), None)
        except ProcessError:
            raise
        except ToldToEnd as told_to:
            raise ProcessError(str(told_to)) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must not wait for this process
            own, told = error, _Told(None, self._tellable(error))
        all_told = self.gather(told)
        for index, one in enumerate(all_told):
            if one.failed is not None:
                if index == self.index and own is not None:
                    self.failed_here = own
                    raise own
                one.failed.told_elsewhere = True
                raise one.failed from own
        return [one.made for one in all_told]  # type: ignore[misc]

    def from_main(self, make: Callable[[], _T]) -> _T:
        """What `make` gives in the main process, which alone calls it; what it raises is raised in all.

        Raises:
            ProcessError: when another process is gone.
        """
        if self.count == 1:
            return make()
        own: Exception | None = None
        told: _Told[_T] | None = None
        if self.is_main:
            try:
                told = _Told(make(), None)
            except Exception as error:  # noqa: BLE001 - as above
                own, told = error, _Told(None, self._tellable(error))
        with self._talking():
            content = self._exchange.from_first(b"" if told is None else packed(told))
        if own is not None:
            raise own
        heard: _Told[_T] = unpacked(content)
        if heard.failed is not None:
            heard.failed.told_elsewhere = True
            raise heard.failed
        return heard.made  # type: ignore[return-value]

    def spread(self, count: int, run: Callable[[Sequence[int]], Sequence[_T]]) -> list[_T]:
        """What `run` gives for places 0 to `count` - 1, in order, each of which one process runs.

        `run` gets the places of this process, every `self.count`-th, and gives as many results. What it raises in
        one process is raised in all.
        """
        if count == 0:
            return []
        parts = self.together(lambda: list(run(range(self.index, count, self.count))))
        return [parts[place % self.count][place // self.count] for place in range(count)]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces each parameter's gradient by the sum of all processes'; none counts as 0.

        It is done once for an update, when all of its passes are: the update's gradient is a plain sum, divided by
        totals that every process knows. DistributedDataParallel sends while the backward pass goes on, through a
        forward of its own; the passes here do not go through the model's forward, and one that had no room is done
        once more, of which nothing may have been sent by then.
        """
        if self.count == 1:
            return
        with self._talking():
            self._exchange.sum_gradients(list(parameters))

    def take_spent(self) -> dict[str, float]:
        """Seconds since the last call that went into other processes; empty for one that is alone.

        `wait`: for the slowest to get as far. `exchange`: rollouts, verdicts and figures. `gradients`: their sum.
        """
        return self._exchange.take_spent() if self.count > 1 else {}

    def check_same(self, what: str, digest: str) -> None:
        """Nothing, when every process has the same digest.

        Raises:
            ProcessError: when one has another, so that the processes train on different things.
        """
        told = self.gather(digest)
        odd = [index for index, one in enumerate(told) if one != told[0]]
        if odd:
            others = ", ".join(map(str, odd))
            raise ProcessError(
                f"{what} of process {others} is not that of process 0, and all processes must go through the same. "
                "Look at what is not decided by the seed: a data set or a plugin that draws random numbers or reads "
                "the clock, other versions on another host"
            )

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except ToldToEnd as told_to:
            raise ProcessError(str(told_to)) from None
        except torch.OutOfMemoryError:
            raise  # this process's own trouble, and no news of others
        except RuntimeError as error:
            raise ProcessError(
                f"process {self.index} of {self.count} has lost another one, which was killed, failed, or did not "
                f"answer within distributed.timeout ({reason_of(error)})"
            ) from error

    def _tellable(self, error: Exception) -> LyditeError:
        """The error as another process can raise it."""
        for kind in type(error).__mro__:
            if issubclass(kind, LyditeError) and getattr(errors, kind.__name__, None) is kind:
                told: LyditeError = kind(str(error))
                return told
        return ProcessError(f"process {self.index} of {self.count} failed: {type(error).__name__}: {error}")


_current = Processes()


def current() -> Processes:
    """The processes of the run that this one takes part in; one that was started by itself is alone."""
    return _current


@contextmanager
def being(processes: Processes) -> Iterator[None]:
    """While open, these are the current ones."""
    global _current  # as torch's default group: what a process is part of is the process's own
    before, _current = _current, processes
    try:
        yield
    finally:
        _current = before


def reason_of(error: Exception) -> str:
    """What torch says of a process that is gone, without the places in its source and its advice."""
    first = str(error).strip().partition("\n")[0]
    return re.sub(r"^\[[^]]*\]\s*", "", first).partition(". This is typically")[0]


def _end_of(sums: Sequence[int], part: int, parts: int) -> int:
    """Where part number `part` of so many ends, given the work of the units up to each place."""
    if part == parts:
        return len(sums) - 1  # with units at the end that are no work
    wanted = sums[-1] * part
    place = bisect_left(sums, wanted / parts)
    before = max(place - 1, 0)
    return before if wanted - sums[before] * parts < sums[place] * parts - wanted else place
