"""The model that is trained, as the rest of lydite sees it: hidden states and a head, an adapter, text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lydite.contracts import Family
from lydite.errors import ModelError
from lydite.kernels.logps import LogitShape
from lydite.policy.adapter import Switch
from lydite.policy.attention import agree_on_a_trial, attend_packed, may_pack, unread_mask
from lydite.policy.chat import Chat
from lydite.policy.decode import decode
from lydite.policy.end_tokens import pad_token, stop_tokens
from lydite.policy.evaluating import evaluating
from lydite.policy.head import Head, head_of, head_product
from lydite.policy.layout import Layout
from lydite.policy.nf4 import unpacked_copies
from lydite.policy.quiet import without_chatter
from lydite.policy.sampler import Draw, uniform_table
from lydite.types import Message, Prompt, Sample

if TYPE_CHECKING:
    from lydite.policy.recording import Recording

GENERATE_AT_ONCE = 64  # prompts of `generate` that are decoded together


class Policy:
    """A causal language model with what is trained of it.

    `model` is peft's wrapper around the model, or the model itself when all of it is trained. Made by
    `load_policy`, never by hand.
    """

    def __init__(
        self,
        *,
        model: Any,
        causal: Any,
        tokenizer: Any,
        family: Family | None,
        device: torch.device,
        dtype: torch.dtype,
        switch: Switch | None,
        load_start: Callable[[], Any],
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.family = family
        self.device = device
        self.dtype = dtype
        """Type of the computation. What is trained is kept in float32 whatever this is."""
        # The marks of thinking are part of what a format reads, even where the tokenizer calls them special.
        self.chat = Chat(tokenizer, shown=(family.think_tokens if family is not None else None) or ())
        self.pad_token_id = pad_token(tokenizer)
        self.stop_token_ids = stop_tokens(tokenizer, causal, family, self.chat)
        self._causal = causal
        self._switch = switch
        self._load_start = load_start
        self._start: Any = None
        self._packs: bool | None = None
        self.recording: Recording | None = None
        """Fills packed passes up and replays their layers; None: they run as they are."""

    @property
    def config(self) -> Any:
        """The model's own configuration, transformers' `PretrainedConfig`."""
        return self._causal.config

    @property
    def causal(self) -> Any:
        """The model itself, with the adapter's layers in it where there is one."""
        return self._causal

    @property
    def is_reference(self) -> bool:
        """True inside `reference()`."""
        return self._causal is self._start or (self._switch is not None and not self._switch.on)

    @property
    def switch(self) -> Switch | None:
        """Turns the adapter off and on; None without one."""
        return self._switch

    @property
    def adapted(self) -> bool:
        """True with a LoRA adapter; False when every weight is trained."""
        return self._switch is not None

    # Forward

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        """The trunk's last hidden states [B, L, H] of tokens [B, L]; `head()` makes logits of them.

        Under full fine-tuning the weights are float32 and the products run in `dtype`.
        """
        with self._autocast():
            output = trunk_of(self._causal)(
                input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
            )
        hidden: Tensor = output.last_hidden_state
        return hidden

    @property
    def packs(self) -> bool:
        """True when this model takes a micro-batch packed into one sequence, `packed_hidden_states`.

        It is False for layers that are no plain attention, and when a small trial gives other hidden states than
        prompt and completion have alone. The first question makes the trial.
        """
        if self._packs is None:
            with evaluating(self.model):
                self._packs = may_pack(self._causal.config) and agree_on_a_trial(self)
        return self._packs

    def packed_hidden_states(self, input_ids: Tensor, position_ids: Tensor, layout: Layout) -> Tensor:
        """The trunk's last hidden states [S, H] of a packed micro-batch's tokens [S], which see what it lets them."""
        attend_packed(self._causal)  # the frozen start, too, which is loaded late
        tokens = layout.tokens
        filled = None if self.recording is None else self.recording.begin(layout)
        if filled is not None:
            filling = filled.tokens - tokens
            input_ids = nn.functional.pad(input_ids, (0, filling), value=self.pad_token_id)
            position_ids = torch.cat([position_ids, torch.arange(filling, device=position_ids.device)])
            layout = filled
        with self._autocast():
            output = trunk_of(self._causal)(
                input_ids=input_ids[None],
                attention_mask=unread_mask(input_ids.device),
                position_ids=position_ids[None],
                use_cache=False,
                layout=layout,
            )
        hidden: Tensor = output.last_hidden_state[0, :tokens]
        return hidden

    def trunk_step(self, input_ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor, cache: Any) -> Tensor:
        """Hidden states [N, L, H] of new tokens [N, L], whose past is in the cache and which are added to it."""
        with self._autocast():
            output = trunk_of(self._causal)(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=True,
            )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def head(self) -> Head:
        """The output layer as plain tensors; the frozen start's inside `reference()`."""
        return head_of(self._causal)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [N, V] of hidden states [N, H]. For a few rows at a time; training goes by chunks of `head()`."""
        head = self.head()
        return LogitShape(head.logit_scale, head.softcap).logits(head_product(hidden, head.weight, head.bias))

    @contextmanager
    def reference(self) -> Iterator[None]:
        """While open, the policy computes as the model it started from.

        With an adapter: the same weights, the adapter off. Under full fine-tuning: a frozen second copy of the
        start weights, read from the model's source the first time it is needed.
        """
        if self._switch is not None:
            before, self._switch.on = self._switch.on, False
            try:
                yield
            finally:
                self._switch.on = before
            return
        if self._start is None:
            self._start = self._load_start()
        trained, self._causal = self._causal, self._start
        try:
            yield
        finally:
            self._causal = trained

    # What is trained

    def adapter_held(self) -> AbstractContextManager[None]:
        """While open, what is trained stays as it is, so that passes may share what they make of the adapter."""
        return nullcontext() if self._switch is None else self._switch.held()

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, float32, by name, in the model's order."""
        return {name: one for name, one in self.model.named_parameters() if one.requires_grad}

    def adapter_state(self) -> dict[str, Tensor]:
        """Copies of `trainable()` on the CPU."""
        return {name: one.detach().to("cpu", copy=True) for name, one in self.trainable().items()}

    def load_adapter_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts the numbers of `adapter_state` back, in place, so that an optimiser keeps its parameters.

        Raises:
            ModelError: when names or shapes are not this model's; nothing is changed then.
        """
        own = self.trainable()
        odd = sorted(set(own) ^ set(state))
        odd += [name for name in own if name in state and own[name].shape != state[name].shape]
        if odd:
            raise ModelError(
                f"these weights belong to another model or adapter: {len(odd)} of {len(own)} parameters differ in name "
                f"or shape, the first is {odd[0]!r}; take the run's own model and lora settings"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])

    def adapter_hash(self) -> str:
        """SHA-256 over names and bytes of what is trained: equal exactly when every number is."""
        digest = hashlib.sha256()
        for name, value in sorted(self.adapter_state().items()):
            digest.update(name.encode() + b"\0" + value.contiguous().numpy().tobytes() + b"\0")
        return digest.hexdigest()

    def save_adapter(self, folder: str | Path) -> None:
        """Writes the adapter for `PeftModel.from_pretrained`; under full fine-tuning the model and its tokenizer."""
        with without_chatter():
            if self.adapted:
                # False: nothing of the embeddings is trained, and "auto" would ask the hub about the base.
                self.model.save_pretrained(str(folder), save_embedding_layers=False)
            else:
                self.model.save_pretrained(
                    str(folder),
                    state_dict={name: value.to(self.dtype) for name, value in self.model.state_dict().items()},
                )
                self.tokenizer.save_pretrained(str(folder))

    def train_mode(self) -> None:
        """Turns dropout on."""
        self.model.train()

    def eval_mode(self) -> None:
        """Turns dropout off."""
        self.model.eval()

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """While open, the policy is made for decoding: no dropout, and what is trained rounded to `dtype` once.

        The numbers are those of training, which rounds in every product. Mode and float32 values come back.
        """
        masters = [(one, one.data) for one in self.trainable().values()]
        try:
            for parameter, master in masters:
                parameter.data = master.to(self.dtype)
            with evaluating(self.model), unpacked_copies(self.model):
                yield
        finally:
            for parameter, master in masters:
                parameter.data = master

    # Text

    def encode(
        self,
        sample: Sample,
        *,
        instructions: str = "",
        system: str | None = None,
        opening: Sequence[Message] = (),
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Prompt:
        """The sample as the model reads it: its text under the chat template, and the tokens of that text.

        `opening` and `tools` are those of an environment, see `Chat.prompt`.
        """
        return self.chat.prompt(sample, instructions=instructions, system=system, opening=opening, tools=tools)

    def decode(self, token_ids: Sequence[int]) -> tuple[str, str]:
        """The text without special tokens, and with them."""
        return self.chat.text(token_ids)

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        system: str | None = None,
    ) -> list[str]:
        """One answer for each prompt, as text: greedy, or drawn at a temperature above 0.

        Each prompt is a user message under the model's chat template, with `system` before it.
        """
        asked = [prompts] if isinstance(prompts, str) else list(prompts)
        answers: list[str] = []
        with self.sampling():
            for start in range(0, len(asked), GENERATE_AT_ONCE):
                samples = [
                    Sample(str(place), one) for place, one in enumerate(asked[start : start + GENERATE_AT_ONCE], start)
                ]
                encoded = [self.encode(sample, system=system).token_ids for sample in samples]
                table = uniform_table(seed, [(sample.id, 0) for sample in samples], max_new_tokens)
                done = decode(self, encoded, 1, max_new_tokens, Draw(temperature), table)
                answers += [self.decode(one.token_ids)[0].strip() for one in done]
        return answers

    def _autocast(self) -> Any:
        if self.adapted or self.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def trunk_of(causal: Any) -> Any:
    """The model below its output head."""
    return causal.get_decoder()
