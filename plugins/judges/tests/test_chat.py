"""The judge `openai` against a real server that speaks the chat protocol on this machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from lydite import LyditeError, Message
from lydite.options import check_options
from lydite_judges import JudgeError, openai

ASKED = (Message(role="user", content="Is 2 even?"),)


def ask(server: Any, **options: Any) -> str:
    return asyncio.run(openai(ASKED, **{"base_url": server.url, "model": "judge-1", **options}))


def test_the_request_and_the_reply_follow_the_protocol(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    server.replies = [" Yes\n"]
    assert ask(server, api_key_env="JUDGE_KEY", temperature=0.5, max_tokens=3) == " Yes\n"
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["body"] == {
        "model": "judge-1",
        "messages": [{"role": "user", "content": "Is 2 even?"}],
        "temperature": 0.5,
        "max_tokens": 3,
    }
    assert request["headers"]["Authorization"] == "Bearer secret"


def test_without_a_key_no_authorization_is_sent_and_the_defaults_are_sober(server: Any) -> None:
    server.replies = ["no"]
    ask(server)
    assert "Authorization" not in server.requests[0]["headers"]
    assert server.requests[0]["body"]["temperature"] == 0.0


def test_a_key_that_is_not_set_is_told_before_anything_is_sent(server: Any) -> None:
    with pytest.raises(JudgeError, match="LYDITE_NO_SUCH_KEY, which is not set"):
        ask(server, api_key_env="LYDITE_NO_SUCH_KEY")
    assert server.requests == []


NO_TEXT = b'{"choices": [{"message": {"role": "assistant", "content": null}}]}'
LIST = b'{"choices": [{"message": {"content": ["yes"]}}]}'


def hang_up(handler: Any) -> None:
    handler.connection.close()


@pytest.mark.parametrize(
    "broken",
    [(500, b"oops"), (503, b""), (429, b"slow down"), b"garbage", b"{}", NO_TEXT, hang_up],
)
def test_what_may_pass_is_tried_again(server: Any, broken: Any) -> None:
    server.replies = [broken, broken, "yes"]
    assert ask(server, retries=2) == "yes"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ((500, b"out of memory"), r"'judge-1' at http.* after 2 attempts: HTTP 500: out of memory"),
        (b"<html>", r"after 2 attempts: the reply is not JSON: b'<html>'"),
        (b"[" * 99_999, r"the reply is not JSON"),
        (b'{"choices": []}', r"holds no choices\[0\]\.message\.content"),
        (b"[1]", r"holds no choices\[0\]\.message\.content"),
        (LIST, r"the reply's content is list, not text"),
        (hang_up, r"after 2 attempts: the connection broke|cannot be reached"),
    ],
)
def test_what_does_not_pass_is_an_error_that_says_so(server: Any, broken: Any, message: str) -> None:
    server.replies = [broken]
    with pytest.raises(JudgeError, match=message) as caught:
        ask(server, retries=1)
    assert isinstance(caught.value, LyditeError)
    assert len(server.requests) == 2


def test_a_refusal_is_final_and_never_shows_the_key(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    server.replies = [(401, b"bad key")]
    with pytest.raises(JudgeError, match=r"gave no reply: HTTP 401: bad key") as caught:
        ask(server, api_key_env="JUDGE_KEY")
    assert len(server.requests) == 1
    assert "secret" not in str(caught.value)


def test_a_redirect_is_not_followed_with_the_key(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    server.replies = [lambda handler: handler.answer(302, b"", Location="/elsewhere"), "yes"]
    with pytest.raises(JudgeError, match="HTTP 302"):
        ask(server, api_key_env="JUDGE_KEY")
    assert [one["path"] for one in server.requests] == ["/v1/chat/completions"]


def test_a_server_that_is_not_there(server: Any) -> None:
    with pytest.raises(JudgeError, match="cannot be reached"):
        ask(server, base_url="http://127.0.0.1:1/v1", retries=0)


def silent(handler: Any) -> None:
    threading.Event().wait(2.0)


def dripping(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        pass  # the client has hung up, as it should


@pytest.mark.parametrize("slow", [silent, dripping])
def test_a_server_that_never_finishes_runs_into_the_timeout(server: Any, slow: Any) -> None:
    server.replies = [slow]
    with pytest.raises(JudgeError, match=r"no reply within 0\.2 s"):
        ask(server, timeout=0.2, retries=0)


def test_a_flood_is_cut_off(server: Any) -> None:
    server.replies = [(200, b" " * 5_000_000)]
    with pytest.raises(JudgeError, match=r"larger than 4000000 bytes|the connection broke"):
        ask(server, retries=0)


def test_many_questions_wait_side_by_side(server: Any) -> None:
    together = threading.Barrier(20, timeout=10)

    def meet(handler: Any) -> None:
        together.wait()  # breaks unless twenty requests are open at once
        handler.answer(200, handler.server.chat("yes"))

    server.replies = [meet]

    async def all_at_once() -> list[str]:
        asked = [openai(ASKED, base_url=server.url, model="m", retries=0) for _ in range(20)]
        return list(await asyncio.gather(*asked))

    assert asyncio.run(all_at_once()) == ["yes"] * 20


def test_a_proxy_is_not_asked_for_this_machine(server: Any) -> None:
    server.replies = ["yes"]
    code = f"""
import asyncio, lydite_judges
asked = [{{"role": "user", "content": "?"}}]
print(asyncio.run(lydite_judges.openai(asked, base_url={server.url!r}, model="m", retries=0)))
"""
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:1") | dict.fromkeys(
        ("no_proxy", "NO_PROXY"), ""
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **proxies}, capture_output=True, text=True)
    assert done.stdout.strip() == "yes", done.stderr


def test_a_server_that_asks_for_patience_gets_it(server: Any) -> None:
    server.replies = [lambda handler: handler.answer(429, b"", Retry_After="1"), "yes"]
    before = time.monotonic()
    assert ask(server) == "yes"
    assert 0.9 < time.monotonic() - before < 3.0


@pytest.mark.parametrize("nonsense", ["soon", "-5", "nan", "inf", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_wait_that_is_no_number_is_not_kept(server: Any, nonsense: str) -> None:
    server.replies = [lambda handler: handler.answer(503, b"", Retry_After=nonsense), "yes"]
    assert ask(server, deadline=2.0) == "yes"


def test_nothing_goes_beyond_the_deadline(server: Any) -> None:
    server.replies = [lambda handler: handler.answer(503, b"busy", Retry_After="60")]
    before = time.monotonic()
    with pytest.raises(JudgeError, match="HTTP 503: busy"):
        ask(server, retries=10, deadline=0.5)
    server.replies = [silent]
    with pytest.raises(JudgeError, match="no reply within"):
        ask(server, retries=10, timeout=30.0, deadline=0.5)
    assert time.monotonic() - before < 2.0


def test_the_waits_differ_so_that_workers_do_not_come_back_all_at_once(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def noted(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("lydite_judges.asking.asyncio.sleep", noted)
    server.replies = [500]
    for _ in range(10):
        with pytest.raises(JudgeError):
            ask(server, retries=2)
    first, second = waits[::2], waits[1::2]
    assert len(set(waits)) == 20
    assert all(0.005 <= one <= 0.015 for one in first)
    assert all(0.01 <= one <= 0.03 for one in second)


def test_further_fields_are_sent_and_ours_cannot_be_replaced(server: Any) -> None:
    server.replies = ["yes"]
    ask(server, extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    assert server.requests[0]["body"]["chat_template_kwargs"] == {"enable_thinking": False}
    with pytest.raises(ValueError, match="'temperature' cannot be set here"):
        check_options("judge", openai, {"model": "m", "base_url": "http://x", "extra_body": {"temperature": 1}})


def test_an_equal_question_is_asked_once_at_temperature_0(server: Any) -> None:
    server.replies = ["yes", "no", "maybe", "perhaps", "well"]
    assert [ask(server), ask(server)] == ["yes", "yes"]
    assert ask(server, model="judge-2") == "no"
    assert ask(server, temperature=0.1) == "maybe"
    assert ask(server, temperature=0.1) == "perhaps"
    assert ask(server, cache=0) == "well"
    assert len(server.requests) == 5


def test_a_failure_is_not_remembered(server: Any) -> None:
    server.replies = [500, "yes"]
    with pytest.raises(JudgeError):
        ask(server, retries=0)
    assert ask(server, retries=0) == "yes"


def test_the_oldest_replies_are_forgotten(server: Any) -> None:
    server.replies = ["yes"]
    for number in (1, 2, 3, 1):
        ask(server, model=f"judge-{number}", cache=2)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "m"}, "needs the option 'base_url'"),
        ({"model": "m", "base_url": "localhost:8000"}, "starts with http"),
        ({"model": "m", "base_url": "file:///etc/passwd"}, "starts with http"),
        ({"model": "m", "base_url": "http://x", "retry": 1}, "did you mean 'retries'"),
        ({"model": "m", "base_url": "http://x", "timeout": 0}, "greater than 0"),
    ],
)
def test_wrong_options_are_told_when_the_configuration_is_read(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_options("judge", openai, options)


def test_a_slash_behind_the_address_does_no_harm() -> None:
    assert check_options("judge", openai, {"model": "m", "base_url": "http://x/v1/"})["base_url"] == "http://x/v1"
