"""Laps over the prompts: each lap an arrangement of indices that are asked once, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from lydite.data import prompt_order
from lydite.errors import CheckpointError

Arrange = Callable[[int], Sequence[int]]
"""The indices of a lap, counted from 0, in the order in which they are asked."""


class Laps:
    """A cursor in laps laid end to end.

    A prompt that would come twice in one step (the end of a lap and the beginning of the next) waits for the next
    step, and is then asked first.
    """

    def __init__(self, arrange: Arrange, n: int, *, remember: bool = False) -> None:
        """`n` prompts in all, each of which comes in any 2 n places that follow one another.

        `remember`: the arrangement of a lap is made once, from what is known then, and saved with the cursor.
        """
        self._arrange = arrange
        self._n = n
        self._remember = remember
        self._lap = 0
        self._place = 0
        self._waiting: list[int] = []
        self._arranged: Sequence[int] | None = None

    def take(self, count: int, step: int, busy: Collection[int], resting: Callable[[int], bool]) -> list[int]:
        """The next `count` indices that are not busy; those that rest are passed over until their next lap.

        Fewer where there are no more.
        """
        ready = [index for index in self._waiting if index not in busy][:count]
        self._waiting = [index for index in self._waiting if index not in ready]
        taken = dict.fromkeys(index for index in ready if not resting(index))
        passed_over = 0
        while len(taken) < count and passed_over < 2 * self._n:
            index = self._next()
            if index in busy or index in taken:
                self._wait(index)
            elif not resting(index):
                taken[index] = None
                passed_over = 0
                continue
            passed_over += 1
        return list(taken)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, in JSON terms."""
        state: dict[str, Any] = {"lap": self._lap, "place": self._place, "waiting": list(self._waiting)}
        if self._remember:
            state["arranged"] = list(self._current())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state.

        Raises:
            CheckpointError: when it is none of laps like these.
        """
        try:
            self._lap, self._place = int(state["lap"]), int(state["place"])
            self._waiting = [int(index) for index in state["waiting"]]
            self._arranged = [int(index) for index in state["arranged"]] if self._remember else None
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint does not say where the order of the prompts was ({type(error).__name__}: {error}); "
                "go on with the version of lydite that the run's manifest names"
            ) from None

    def _current(self) -> Sequence[int]:
        if self._arranged is None:
            self._arranged = self._arrange(self._lap)
        return self._arranged

    def _next(self) -> int:
        if self._place == len(self._current()):
            self._lap, self._place, self._arranged = self._lap + 1, 0, None
        self._place += 1
        return self._current()[self._place - 1]

    def _wait(self, index: int) -> None:
        if index not in self._waiting:
            self._waiting.append(index)


def shuffled_laps(n: int, seed: int, *, shuffle: bool) -> Laps:
    """Epochs: all `n` prompts a lap, in a new order each time, or in their own without `shuffle`."""
    return Laps(lambda lap: prompt_order(n, seed, lap, shuffle), n)


def curriculum_laps(
    n: int, seed: int, *, shuffle: bool, length: int, difficulty: Callable[[], Sequence[float]], remember: bool
) -> Laps:
    """Laps of `length` prompts, each from the easiest to the hardest; equals stay in the order of the epochs.

    Which prompts a lap has is decided by the epochs laid end to end, so that a lap that is shorter than an epoch,
    since the run is, has hard prompts too. `difficulty` gives the number of every prompt at the start of a lap;
    `remember` where it changes over the run.
    """

    def arrange(lap: int) -> Sequence[int]:
        places = range(lap * length, (lap + 1) * length)
        drawn = [prompt_order(n, seed, place // n, shuffle)[place % n] for place in places]
        return sorted(drawn, key=difficulty().__getitem__)

    return Laps(arrange, n, remember=remember)
