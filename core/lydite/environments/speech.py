"""What an environment says, made fit for the model to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lydite.policy import Policy
from lydite.policy.turns import Turns
from lydite.rollout.chat_batches import marks_of, plain
from lydite.types import Message

_LONGEST_TOKEN: Final = 32  # characters; few tokens are longer, and a text of nothing but those is cut a little early


class Speech:
    """Cuts what is too long, breaks what would end a turn, and writes the rest behind a turn of the model.

    Raises:
        ModelError: when the model's chat template cannot do that.
    """

    def __init__(self, policy: Policy, most: int) -> None:
        """`most`: tokens of one message."""
        self._tokenizer = policy.tokenizer
        self._most = most
        self._marks = marks_of(policy)
        self._turns = Turns(policy.tokenizer)

    def shown(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages as the model gets to see them."""
        return tuple(Message(role=one["role"], content=self._fit(one["content"])) for one in messages)

    def tokens(self, shown: Sequence[Message], last_token: int) -> tuple[int, ...]:
        """The tokens between a turn of the model that ended with `last_token`, and its next turn."""
        return self._turns.between(shown, last_token)

    def _fit(self, text: str) -> str:
        # Books are not tokenised, which takes seconds a megabyte, to keep a page of them.
        read = text[: self._most * _LONGEST_TOKEN]
        begun = plain(read, self._marks)
        ids = self._tokenizer(begun, add_special_tokens=False).input_ids
        if len(ids) <= self._most and len(read) == len(text):
            return begun
        kept = self._tokenizer.decode(ids[: self._most]).rstrip("\ufffd")  # a letter may be cut in two
        return f"{kept}\n[cut here: {len(text) - len(read) + len(begun) - len(kept)} more characters]"
