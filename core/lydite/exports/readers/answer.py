"""What is asked of a program that opens an export."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lydite.types import Message


@dataclass(frozen=True, slots=True)
class Answer:
    """A greedy answer."""

    token_ids: tuple[int, ...]
    """With the token that ends it, where one did."""
    logps: tuple[float, ...]
    """Of each token at temperature 1, in nats."""
    cut: bool = False
    """True where the program does not tell how it goes on."""

    def equals(self, token_ids: Sequence[int]) -> bool:
        """Whether these are the answer's tokens, as far as it is told."""
        there = tuple(token_ids)
        return self.token_ids == (there[: len(self.token_ids)] if self.cut else there)


class Reader(Protocol):
    """An export, opened by a program that people use it with."""

    name: str
    """The program and its version."""

    def chat_template(self) -> str | None:
        """The chat template that the export carries."""
        ...

    def reads(self, text: str, token_ids: Sequence[int]) -> bool:
        """Whether the export's own tokenizer makes these tokens of a prompt's text."""
        ...

    def renders(self, messages: Sequence[Message], token_ids: Sequence[int]) -> bool:
        """Whether the export's own chat template and tokenizer make these tokens of a conversation, up to an answer."""
        ...

    def ends_at(self, token_id: int) -> bool:
        """Whether the program ends an answer with this token when nobody tells it to."""
        ...

    def weights(self) -> Mapping[str, Tensor] | None:
        """The export's tensors by transformers' names, as the numbers that they are; None where it shows none."""
        ...

    def answers(self, prompts: Sequence[Sequence[int]], limit: int, stops: Collection[int]) -> list[Answer]:
        """The likeliest answer to each prompt: at most `limit` tokens, or up to the first of `stops`."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...
