"""Chat requests that come within a few milliseconds, answered by one call of the engine.

The model belongs to the run. It answers in a thread of its own, and only while the run lets it: `answering` is
open while the trainer waits for verdicts, and closing it waits for the batch under way, so that no judge ever
computes while the model is sampled from or trained.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Final

from lydite.policy import Policy
from lydite.rollout.chat_protocol import BASE, ChatReply, ChatRequest, Refusal
from lydite.rollout.engine import Engine, Sampling
from lydite.types import Message, Prompt, Sample

logger = logging.getLogger("lydite")

GATHER: Final = 0.005  # seconds without another request after which a batch is taken to be whole
GATHER_AT_MOST: Final = 0.05  # seconds that the first request of a batch waits for others
MOST_AT_ONCE: Final = 64  # requests of a batch: the first of them waits for the last
CLOSED: Final = "the run's model judges only while the run scores completions; ask again then"


@dataclass(frozen=True, slots=True)
class _Asked:
    request: ChatRequest
    gone: Callable[[], bool]
    reply: Future[ChatReply] = field(default_factory=Future)


class ChatBatches:
    """Answers chat requests from a policy's engine, batch by batch, in one thread.

    `always` answers at any time: for an engine that nobody trains. Otherwise only inside `answering`.
    """

    def __init__(self, engine: Engine, policy: Policy, *, always: bool) -> None:
        self._engine = engine
        self._policy = policy
        self._marks = marks_of(policy)
        self._longest = _context_of(policy)
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._model = threading.Lock()
        self._door = threading.Lock()
        self._open = always
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="lydite-chat", daemon=True)
        self._thread.start()

    def ask(self, request: ChatRequest, gone: Callable[[], bool] = lambda: False) -> Future[ChatReply]:
        """The reply to come. A request whose asker is `gone` by the time it would be answered is dropped.

        The future raises Refusal: with 400 for a request that the model cannot read, 503 while the run does not
        let the model judge, 500 when the engine fails.
        """
        asked = _Asked(request, gone)
        with self._door:
            if self._open and not self._ended:
                self._asked.put(asked)
                return asked.reply
        asked.reply.set_exception(Refusal(503, CLOSED))
        return asked.reply

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While open, requests are answered. Closing waits for the batch under way; what is left gets a 503."""
        with self._model:
            self._open = True
        try:
            yield
        finally:
            with self._model:
                self._open = False

    def close(self) -> None:
        """Ends the thread after the batch under way."""
        with self._door:  # nothing comes behind the None, so that nothing is left waiting
            if not self._ended:
                self._ended = True
                self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._asked.get()) is not None:
            batch, more = self._gathered(first)
            with self._model:
                if self._open:
                    self._answer([one for one in batch if not one.gone()])
            for one in batch:
                if not one.reply.done():
                    one.reply.set_exception(Refusal(503, CLOSED))
            if not more:
                return

    def _gathered(self, first: _Asked) -> tuple[list[_Asked], bool]:
        """A batch, and whether there may be another."""
        batch = [first]
        until = time.monotonic() + GATHER_AT_MOST
        while len(batch) < MOST_AT_ONCE:
            try:
                following = self._asked.get(timeout=max(min(GATHER, until - time.monotonic()), 0.0))
            except queue.Empty:
                break
            if following is None:
                return batch, False
            batch.append(following)
        return batch, True

    def _answer(self, batch: Sequence[_Asked]) -> None:
        """Equal requests are one prompt; those that are sampled alike are one call of the engine."""
        calls: dict[tuple[str, Sampling, int], dict[str, list[_Asked]]] = defaultdict(lambda: defaultdict(list))
        for one in batch:
            request = one.request
            sampling = Sampling(1, request.max_tokens, request.temperature, request.top_p)
            calls[request.model, sampling, request.seed][_id_of(request)].append(one)
        for (model, sampling, seed), questions in calls.items():
            try:
                self._call(model, sampling, seed, questions)
            except Exception as error:
                logger.exception("the run's model failed as a judge")
                for asked in questions.values():
                    _refuse(asked, Refusal(500, f"the engine failed: {type(error).__name__}: {error}"))

    def _call(self, model: str, sampling: Sampling, seed: int, questions: dict[str, list[_Asked]]) -> None:
        prompts: list[Prompt] = []
        for name, asked in questions.items():
            try:
                prompts.append(self._prompt(name, asked[0].request))
            except Refusal as refusal:
                _refuse(asked, refusal)
        if not prompts:
            return
        with self._policy.reference() if model == BASE else nullcontext():
            rollouts = self._engine.generate(prompts, sampling, seed)
        for prompt, rollout in zip(prompts, rollouts, strict=True):
            (made,) = rollout.completions
            reply = ChatReply(made.text, made.finish_reason, len(prompt.token_ids), len(made.token_ids))
            for one in questions[prompt.sample.id]:
                one.reply.set_result(reply)

    def _prompt(self, name: str, request: ChatRequest) -> Prompt:
        messages = tuple(
            Message(role=one["role"], content=plain(one["content"], self._marks)) for one in request.conversation()
        )
        try:
            prompt = self._policy.encode(Sample(name, messages))
        except Exception as error:  # a template is a program of its own
            raise Refusal(400, f"the model cannot read these messages: {error}") from error
        length = len(prompt.token_ids)
        if not length:
            raise Refusal(400, "the messages hold no text")
        if self._longest is not None and length + request.max_tokens > self._longest:
            raise Refusal(
                400,
                f"{length} tokens of messages and {request.max_tokens} of reply are more than the {self._longest} "
                "that the model reads; ask about less",
            )
        return prompt


def plain(text: str, marks: Sequence[str]) -> str:
    """The text with every mark broken by a space behind its first character.

    A tokenizer reads a turn's end out of the letters `<|im_end|>` wherever they stand. In a judged answer they
    would end the question and begin a reply of the answer's own making.
    """
    for mark in marks:
        while mark in text:  # again, since a mark may overlap with itself
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def marks_of(policy: Policy) -> tuple[str, ...]:
    """The tokens that the tokenizer finds in a text before it reads it as text, the longest first."""
    added = {token.content for token in policy.tokenizer.added_tokens_decoder.values()}
    added |= {str(token) for token in policy.tokenizer.all_special_tokens}
    return tuple(sorted((one for one in added if len(one.strip()) > 1), key=lambda one: (-len(one), one)))


def _context_of(policy: Policy) -> int | None:
    """Tokens that the model can read, or None where its configuration does not say."""
    limit = getattr(policy.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None


def _id_of(request: ChatRequest) -> str:
    """A name that equal conversations share; sampling draws by it."""
    return hashlib.sha256(json.dumps(request.conversation()).encode()).hexdigest()


def _refuse(asked: Sequence[_Asked], refusal: Refusal) -> None:
    for one in asked:
        if not one.reply.done():
            one.reply.set_exception(refusal)
