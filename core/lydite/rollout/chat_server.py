"""The run's own model behind OpenAI's chat protocol, on this machine alone: how worker processes ask it.

Rewards run in worker processes and the model sits in the trainer's. While the trainer waits for verdicts, a
server thread answers what the workers ask (see `chat_batches`). Workers learn address and token from the
environment that they inherit.
"""

from __future__ import annotations

import hmac
import itertools
import json
import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lydite.config import RunConfig
from lydite.config_checks import ENGINE_JUDGE
from lydite.policy import Policy
from lydite.rewards import RewardStack
from lydite.rollout.chat_batches import ChatBatches
from lydite.rollout.chat_protocol import LARGEST, Refusal, error_body, models_body, read_request, reply_body
from lydite.rollout.engine import Engine

URL_VARIABLE: Final = "LYDITE_ENGINE_URL"
TOKEN_VARIABLE: Final = "LYDITE_ENGINE_TOKEN"  # noqa: S105 - a variable's name
FOLDER_VARIABLE: Final = "LYDITE_RUN_FOLDER"
"""Tells judges the run's folder, where the processes of a run keep common accounts."""

PATH: Final = "/v1"
MOST_CONNECTIONS: Final = 512
READ_SECONDS: Final = 30.0  # for a client to send its request


class ChatServer:
    """Serves a policy's engine on the loopback address, to whoever holds the token.

        with ChatServer(engine, policy) as server:
            print(server.url, server.token)

    The models are `base`, without what was learned, and `policy`. With `always=False` requests are answered only
    inside `answering`, which a trainer opens while it does nothing else with the model.
    """

    def __init__(self, engine: Engine, policy: Policy, *, always: bool = True) -> None:
        self.token = secrets.token_urlsafe(32)
        self._batches = ChatBatches(engine, policy, always=always)
        self._http = _Http(self._batches, self.token)
        self.url = f"http://127.0.0.1:{self._http.server_port}{PATH}"
        """Up to `/chat/completions`."""
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="lydite-http", daemon=True)
        self._thread.start()

    def answering(self) -> AbstractContextManager[None]:
        """While open, requests are answered; closing waits for the batch under way."""
        return self._batches.answering()

    def close(self) -> None:
        """Ends the server after the batch under way."""
        self._http.shutdown()
        self._thread.join()
        self._batches.close()  # lets the handlers go that still wait
        self._http.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def serving_judge(
    config: RunConfig, stacks: Sequence[RewardStack | None], engine: Engine, policy: Policy, folder: Path
) -> Iterator[None]:
    """While open, the judges that these stacks ask find the run's folder, and the judge `engine` the run's model.

    Without rewards that ask a judge nothing is done; the server is started only for the judge `engine`. Worker
    processes that were started before are ended, because they have the old environment.
    """
    asked = judges_of(config)
    there = [stack for stack in stacks if stack is not None]
    if not asked:
        yield
        return
    found = {FOLDER_VARIABLE: str(folder.resolve())}
    with ExitStack() as open_:
        if ENGINE_JUDGE in asked:
            server = open_.enter_context(ChatServer(engine, policy, always=False))
            for stack in there:
                open_.enter_context(_answering_while_judged(server, stack))
            found |= {URL_VARIABLE: server.url, TOKEN_VARIABLE: server.token}
        open_.enter_context(_environment(found))
        for stack in there:
            stack.pool.close()
        yield


def judges_of(config: RunConfig) -> set[str]:
    """The names of the judges that a run's rewards ask, that of the evaluation included."""
    rewards = [*config.rewards.values(), *([config.eval.reward] if config.eval is not None else [])]
    return {reward.judge for reward in rewards if reward.judge is not None}


@contextmanager
def _answering_while_judged(server: ChatServer, stack: RewardStack) -> Iterator[None]:
    """While open, the server answers whenever the stack asks its rewards, and only then."""
    before, stack.while_judging = stack.while_judging, server.answering
    try:
        yield
    finally:
        stack.while_judging = before


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that says nothing does not keep the run from ending
    request_queue_size = MOST_CONNECTIONS  # the default of 5 resets connections that come all at once

    def __init__(self, batches: ChatBatches, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.batches = batches
        self.token = token
        self.numbers = itertools.count(1)
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that hangs up is its own concern, and what fails in the model is logged there."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    server_version = "lydite"
    sys_version = ""
    timeout = READ_SECONDS

    def do_GET(self) -> None:
        if self._is_allowed():
            if self.path == f"{PATH}/models":
                self._send(200, models_body())
            else:
                self._send(404, error_body(404, f"nothing at {self.path[:80]!r}; this server has {PATH}/models"))

    def do_POST(self) -> None:
        try:
            body = self._body()
            if not self._is_allowed():
                return
            if self.path != f"{PATH}/chat/completions":
                raise Refusal(404, f"nothing at {self.path[:80]!r}; this server answers {PATH}/chat/completions")
            request = read_request(body)
            reply = self.server.batches.ask(request, self._is_gone).result()
        except Refusal as refusal:
            self._send(refusal.status, error_body(refusal.status, str(refusal)))
            return
        self._send(200, reply_body(request, reply, number=next(self.server.numbers), created=int(time.time())))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a run's output is the run's."""

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            raise Refusal(411, "a request needs a Content-Length")
        if len(length) > 9 or int(length) > LARGEST:
            raise Refusal(413, f"a request has at most {LARGEST} bytes, got {length[:20]}")
        return self.rfile.read(int(length))

    def _is_allowed(self) -> bool:
        given = self.headers.get("Authorization", "").encode()
        if hmac.compare_digest(given, f"Bearer {self.server.token}".encode()):
            return True
        self._send(401, error_body(401, "this server wants its token: Authorization: Bearer ..."))
        return False

    def _is_gone(self) -> bool:
        """Whether the client has hung up: nobody would read the reply."""
        poller = select.poll()
        try:
            poller.register(self.connection, select.POLLIN)
            return bool(poller.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def _send(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
