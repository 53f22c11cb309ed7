"""What stands between two turns of the model, as its own chat template writes it.

What the model said is kept token by token, and never written again by a template: the tokens that are trained are
those that were sampled. Only what comes behind a turn is rendered: the end of the turn, the new messages, and the
beginning of the next turn. That is right for a template that writes a conversation from front to back, which is
tried out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from lydite.errors import ModelError
from lydite.policy.chat import PROBE, alternating
from lydite.types import Message

_WORD: Final = "bellwether"  # another ordinary word, said by the environment in the trials
_QUESTION: Final[Message] = {"role": "user", "content": "a"}
_TURN: Final[Message] = {"role": "assistant", "content": PROBE}


class Turns:
    """Writes messages behind a turn of the model. Tool messages become a user's where the template has no such role.

    Raises:
        ModelError: when the tokenizer has no chat template, or one that does not write turn by turn.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                "an [environment] speaks through the model's chat template, and this tokenizer has none; take a model "
                "that was trained on conversations, or let a plugin's lydite_family give it a template"
            )
        self._tokenizer = tokenizer
        self._check_role("user")
        self._tool_role: Literal["tool", "user"] = "tool"
        try:
            self._check_role("tool")
        except ModelError:  # the template has no such role; the one of users is known to be in order
            self._tool_role = "user"

    def between(self, messages: Sequence[Message], last_token: int) -> tuple[int, ...]:
        """The tokens from behind a turn, which ended with `last_token`, to where the next turn begins.

        A turn that was cut off is ended first; one that ended by itself is not ended twice.

        Raises:
            ModelError: when the template refuses the messages.
        """
        spoken: list[Message] = [
            {"role": self._tool_role, "content": one["content"]} if one["role"] == "tool" else one for one in messages
        ]
        ids: list[int] = self._tokenizer(self._written(spoken), add_special_tokens=False).input_ids
        if last_token in ids:
            place = ids.index(last_token)
            if not self._tokenizer.decode(ids[:place]).strip():
                ids = ids[place + 1 :]
        return tuple(ids)

    def _written(self, spoken: Sequence[Message]) -> str:
        """What is written for the messages; for those of a user as one where the template wants turns to alternate."""
        try:
            return self._behind([_QUESTION, _TURN], spoken)
        except ModelError:
            if len(spoken) < 2:
                raise
        return self._behind([_QUESTION, _TURN], alternating([{**one, "role": "user"} for one in spoken]))

    def _check_role(self, role: str) -> None:
        """Nothing, when a message of this role is written behind what is there, whatever that is."""
        said: Message = {"role": role, "content": _WORD}
        longer: list[Message] = [_QUESTION, {"role": "assistant", "content": "b"}, said, _TURN]
        behind = self._behind([_QUESTION, _TURN], [said])
        ended = self._behind([_QUESTION, _TURN], [])
        if _WORD not in behind or not behind.startswith(ended) or behind != self._behind(longer, [said]):
            raise ModelError(
                f"the model's chat template does not write messages of the role {role!r} one behind another, so that "
                "an [environment] cannot answer between two turns; take another model, or let a plugin's lydite_family "
                "give it a template that does"
            )

    def _behind(self, conversation: Sequence[Message], messages: Sequence[Message]) -> str:
        """What is written behind the last turn of the conversation."""
        try:
            text: str = self._tokenizer.apply_chat_template(
                [*conversation, *messages], tokenize=False, add_generation_prompt=bool(messages)
            )
        except Exception as error:
            roles = ", ".join(one["role"] for one in messages)
            raise ModelError(f"the model's chat template refuses messages of the roles {roles}: {error}") from error
        return text.partition(PROBE)[2]  # what is said behind it may hold the word again
