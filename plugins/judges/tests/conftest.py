"""A server that speaks the chat protocol on this machine and says what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import lydite_judges.asking
from lydite import Sample
from lydite.builtin import Plain
from lydite.config import RunConfig
from lydite.plugins import load_plugins
from lydite.rewards import build_stack
from lydite.types import Generated, Prompt, Rollout, ScoredCompletion


class Server(ThreadingHTTPServer):
    """Answers each request with the next of its replies, the last one for ever.

    A reply is a text that the model says, the bytes of a body, a status, both, or a function of the handler.
    """

    daemon_threads = True
    request_queue_size = 64  # the default of 5 resets connections that come all at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[str | bytes | int | tuple[int, bytes] | Callable[[Handler], None]] = []
        self.requests: list[dict[str, Any]] = []
        self.usage: dict[str, int] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def chat(self, content: Any) -> bytes:
        """The body of a reply with this content."""
        reply: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": content}}]}
        return json.dumps(reply if self.usage is None else {**reply, "usage": self.usage}).encode()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({"path": self.path, "body": body, "headers": dict(self.headers)})
        replies = self.server.replies
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if callable(reply):
            reply(self)
        elif isinstance(reply, str):
            self.answer(200, self.server.chat(reply))
        elif isinstance(reply, bytes):
            self.answer(200, reply)
        else:
            self.answer(*((reply, b"") if isinstance(reply, int) else reply))

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test's output clean."""


@pytest.fixture(autouse=True)
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of this test's accounts; waits between attempts are short, and nothing is remembered."""
    monkeypatch.setattr(lydite_judges.asking, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("LYDITE_RUN_FOLDER", str(tmp_path / "run"))
    for name in ("LYDITE_ENGINE_URL", "LYDITE_ENGINE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    lydite_judges.asking._replies.clear()
    return tmp_path / "run" / "judges.json"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture
def by_a_stack() -> Callable[..., list[ScoredCompletion]]:
    """What a stack with `judge/yes` makes of texts, each the one answer to a prompt, in worker processes."""

    def score(
        texts: Sequence[str], prompt: str, options: dict[str, Any], judge_options: dict[str, Any], *, workers: int
    ) -> list[ScoredCompletion]:
        reward = {"use": "judge/yes", "judge": "openai", "options": options, "judge_options": judge_options}
        config = RunConfig.model_validate(
            {
                "model": {"path": "nowhere"},
                "data": {"use": "nothing"},
                "rewards": {"polite": reward},
                "stack": {"workers": workers, "max_error_share": 1.0},
            }
        )
        rollouts = [
            Rollout(Prompt(Sample(str(place), prompt), prompt, (1,)), (Generated((1,), text, text, "stop"),))
            for place, text in enumerate(texts)
        ]
        stack = build_stack(config, load_plugins(allow=["lydite-judges"]), Plain())
        try:
            groups = stack.score(rollouts, step=1).groups
        finally:
            stack.close()
        return [group.completions[0] for group in groups]

    return score
