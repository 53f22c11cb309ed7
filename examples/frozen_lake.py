"""Gymnasium's FrozenLake as a game in words. A plugin file; `examples/frozen-lake.toml` names it.

pip install gymnasium
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import gymnasium
from gymnasium.envs.toy_text.frozen_lake import generate_random_map

import lydite

ACTIONS: Final = {"left": 0, "down": 1, "right": 2, "up": 3}
RULES: Final = "Cross the lake from S to G, and avoid every H. Reply with one word: left, right, up or down."
SHOWN: Final[tuple[lydite.Message, ...]] = (
    {
        "role": "user",
        "content": "The goal is to the right and down. left is ice, right is ice, up is ice, down is a hole.",
    },
    {"role": "assistant", "content": "right"},
    {"role": "user", "content": "The goal is to the down. left is a hole, right is shore, up is ice, down is ice."},
    {"role": "assistant", "content": "down"},
)


def lakes(*, size: int = 4, frozen: float = 0.8, count: int = 200, seed: int = 0) -> Iterator[lydite.Sample]:
    """`count` lakes of `size` times `size` places, a share of about `frozen` of them safe; each has a way across."""
    for number in range(count):
        rows = generate_random_map(size=size, p=frozen, seed=1000 * seed + number)
        rules: lydite.Message = {"role": "system", "content": "\n".join((RULES, *rows))}
        yield lydite.Sample(f"lake-{number}", (rules, *SHOWN), columns={"map": rows})


class FrozenLake:
    """One walk. The goal pays 1, and a step pays `closer` for each place that it is nearer to the goal."""

    def __init__(self, *, slippery: bool = False, closer: float = 0.1) -> None:
        self._slippery = slippery
        self._closer = closer
        self._game: Any = None
        self._map: Sequence[str] = ()
        self._place = 0

    def reset(self, sample: lydite.Sample) -> Sequence[lydite.Message]:
        self._map = sample.columns["map"]
        self._game = gymnasium.make("FrozenLake-v1", desc=list(self._map), is_slippery=self._slippery)
        self._place, _ = self._game.reset(seed=zlib.crc32(sample.id.encode()))
        return [{"role": "user", "content": self._view()}]

    def step(self, reply: str) -> lydite.Observation:
        said = re.findall(r"\b(left|right|up|down)\b", reply.lower())
        if len(said) != 1:  # a reply that lists all words is no move
            return lydite.Observation("One word: left, right, up or down.", reward=-self._closer)
        before = self._distance()
        place, reward, ended, _, _ = self._game.step(ACTIONS[said[0]])
        self._place = int(place)
        reward = float(reward) + self._closer * (before - self._distance())
        if not ended:
            return lydite.Observation(self._view(), reward)
        return lydite.Observation("You are there." if reward >= 1 else "You fell into a hole.", reward, done=True)

    def close(self) -> None:
        if self._game is not None:
            self._game.close()

    def _view(self) -> str:
        row, column = divmod(self._place, len(self._map))
        around = {
            "left": (row, column - 1),
            "right": (row, column + 1),
            "up": (row - 1, column),
            "down": (row + 1, column),
        }
        seen = ", ".join(f"{word} is {self._what(*place)}" for word, place in around.items())
        return f"The goal is to the {self._compass(row, column)}. {seen}."

    def _what(self, row: int, column: int) -> str:
        if not (0 <= row < len(self._map) and 0 <= column < len(self._map)):
            return "shore"
        return {"H": "a hole", "G": "the goal"}.get(self._map[row][column], "ice")

    def _compass(self, row: int, column: int) -> str:
        last = len(self._map) - 1
        return " and ".join(word for word, far in (("right", column < last), ("down", row < last)) if far)

    def _distance(self) -> int:
        return 2 * (len(self._map) - 1) - sum(divmod(self._place, len(self._map)))


@lydite.hookimpl
def lydite_environments() -> Mapping[str, Any]:
    return {"games/frozen_lake": FrozenLake}


@lydite.hookimpl
def lydite_datasets() -> Mapping[str, Any]:
    return {"games/lakes": lakes}
