"""An export opened by transformers, with nothing of lydite in the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from lydite.exports.readers.answer import Answer
from lydite.exports.trained import rendered, tokens_of
from lydite.types import Message

_ROWS: Final = 8  # prompts of one length that are read together; a row of logits takes 4 bytes a word


class TransformersReader:
    """A model and a tokenizer as `from_pretrained` gave them; the answers are its own forward's."""

    def __init__(self, name: str, model: Any, tokenizer: Any, *, plain: bool = True) -> None:
        """`plain`: the model has no adapter in it, and tensors of the policy's names."""
        self.name = name
        self.tokenizer = tokenizer
        self._model = model.eval()
        self._plain = plain

    def chat_template(self) -> str | None:
        """See `Reader.chat_template`."""
        template: str | None = self.tokenizer.chat_template
        return template

    def reads(self, text: str, token_ids: Sequence[int]) -> bool:
        """See `Reader.reads`."""
        return tokens_of(self.tokenizer, text) == tuple(token_ids)

    def renders(self, messages: Sequence[Message], token_ids: Sequence[int]) -> bool:
        """See `Reader.renders`."""
        return rendered(self.tokenizer, messages) == tuple(token_ids)

    def ends_at(self, token_id: int) -> bool:
        """See `Reader.ends_at`: `generate` goes by the model's generation settings."""
        ends = self._model.generation_config.eos_token_id
        return token_id in (ends if isinstance(ends, list | tuple) else [ends])

    def weights(self) -> Mapping[str, Tensor] | None:
        """See `Reader.weights`."""
        tensors: Mapping[str, Tensor] | None = self._model.state_dict() if self._plain else None
        return tensors

    def answers(self, prompts: Sequence[Sequence[int]], limit: int, stops: Collection[int]) -> list[Answer]:
        """See `Reader.answers`."""
        made: dict[int, Answer] = {}
        # Prompts of one length need no padding, which would be one more thing to differ in.
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        while order:
            length = len(prompts[order[0]])
            places = [one for one in order[:_ROWS] if len(prompts[one]) == length]
            order = order[len(places) :]
            ids = torch.tensor([list(prompts[place]) for place in places], device=self._model.device)
            made.update(zip(places, self._greedy(ids, limit, stops), strict=True))
        return [made[place] for place in range(len(prompts))]

    def close(self) -> None:
        """See `Reader.close`."""
        del self._model

    @torch.no_grad()
    def _greedy(self, ids: Tensor, limit: int, stops: Collection[int]) -> list[Answer]:
        rows = ids.shape[0]
        chosen: list[list[int]] = [[] for _ in range(rows)]
        logps: list[list[float]] = [[] for _ in range(rows)]
        running = set(range(rows))
        cache = None
        for _ in range(limit):
            output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            best, token = output.logits[:, -1].float().log_softmax(-1).max(-1)
            for row in tuple(running):
                chosen[row].append(int(token[row]))
                logps[row].append(float(best[row]))
                if chosen[row][-1] in stops:
                    running.discard(row)
            if not running:
                break
            ids = token[:, None]
        return [Answer(tuple(chosen[row]), tuple(logps[row])) for row in range(rows)]
