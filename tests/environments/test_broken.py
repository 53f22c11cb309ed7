"""Environments as users write them at first: each is told in one clear line, and none takes the run with it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lydite import Message, Observation, Sample
from lydite.errors import DataError
from lydite.rollout import Sampling, generate_with_retry
from lydite.types import Episode

LONG = Sampling(1, 400, 1.0)
WRONG: Any = Observation  # for what its types forbid


class Game:
    """Says what it is told to say."""

    def __init__(self, answer: Any = None, opening: Any = ()) -> None:
        self._answer, self._opening = answer, opening

    def reset(self, sample: Sample) -> Sequence[Message]:
        opening: Sequence[Message] = self._opening() if callable(self._opening) else self._opening
        return opening

    def step(self, reply: str) -> Observation:
        answer: Observation = self._answer(reply) if callable(self._answer) else self._answer
        return answer


def played(playing: Any, opened: Any, answer: Any, **limits: Any) -> Episode:
    engine, _, environments = playing(lambda seen, index: "a", lambda: Game(answer), **limits)
    episode: Episode = engine.generate(opened(environments), LONG, 0)[0].completions[0].episode
    return episode


def unread() -> Any:
    return json.loads("{")


@pytest.mark.parametrize(
    ("opening", "told"),
    [
        (None, "TypeError: reset gives a list of messages {role, content}, which may be empty, and this one gave None"),
        ("Your move?", "TypeError: reset gives a list of messages .* and this one gave 'Your move\\?'"),
        ({"role": "user", "content": "Go"}, "TypeError: reset gives a list of messages"),
        (["Go"], "ValueError: an environment says messages .*'Go'"),
        ([{"role": "user", "content": 7}], "ValueError: an environment says messages"),
        (unread, r"JSONDecodeError: Expecting property name .* \(test_broken.py, line \d+\)"),
        (lambda: time.sleep(5), r"it took longer than environment.deadline = 0.1 s"),
    ],
)
def test_a_beginning_that_fails_is_found_before_training(offered: Any, opening: Any, told: str) -> None:
    environments = offered(lambda: Game(opening=opening), deadline=0.1)
    with pytest.raises(DataError, match=f"^environment 'test/it' of a test cannot begin with sample 's': {told}"):
        environments.opening(Sample("s", "?"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "TypeError: step gives a lydite.Observation, and this one gave NoneType"),
        (("next", 1.0, False, {}), "TypeError: step gives a lydite.Observation, and this one gave tuple"),
        (lambda reply: WRONG(7), "TypeError: an observation's content is text, or messages {role, content}, got 7"),
        (lambda reply: WRONG({"role": "user"}), "TypeError: an observation's content is text"),
        (lambda reply: WRONG(("go",)), "ValueError: an environment says messages"),
        (lambda reply: WRONG("go", reward="1"), "TypeError: an observation's reward must be a finite number"),
        (lambda reply: WRONG("go", reward=np.nan), "ValueError: an observation's reward must be a finite number"),
        (lambda reply: WRONG(""), "ValueError: an observation that does not end the episode must say something"),
        (lambda reply: unread(), "JSONDecodeError: Expecting property name"),
        (lambda reply: exit(3), "SystemExit: 3"),
    ],
)
def test_an_answer_that_fails_ends_its_episode_alone(playing: Any, opened: Any, answer: Any, told: str) -> None:
    episode = played(playing, opened, answer)
    assert episode.ended == "error"
    assert episode.error.startswith(told)
    assert "\n" not in episode.error


def test_numbers_of_numpy_become_pythons(playing: Any, opened: Any) -> None:
    paid = WRONG("on", reward=np.float32(0.5), done=np.bool_(True))
    episode = played(playing, opened, paid)
    assert json.dumps([episode.rewards, episode.ended]) == '[[0.5], "done"]'
    assert paid.done is True
    assert WRONG([{"role": "user", "content": "x"}]).content == ({"role": "user", "content": "x"},)


def test_failures_of_one_kind_are_told_once(playing: Any, opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    def lost(reply: str) -> Observation:
        raise KeyError(reply)

    words = iter("abcdefgh")
    engine, _, environments = playing(lambda seen, index: next(words), lambda: Game(lost))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            engine.generate(opened(environments), Sampling(4, 50, 1.0), 0)
    assert caplog.text.count("left out of training") == 1


def test_environments_that_are_too_slow_are_told_and_do_not_end_the_run(
    playing: Any, opened: Any, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    engine, _, environments = playing(
        lambda seen, index: "a", lambda: Game(lambda reply: released.wait(5)), deadline=0.1
    )
    with caplog.at_level(logging.WARNING):
        (rollout,) = generate_with_retry(engine, opened(environments), Sampling(2, 50, 1.0), 0)
    released.set()
    assert [one.episode and one.episode.ended for one in rollout.completions] == ["deadline"] * 2
    assert caplog.text.count("the environment took more than the 0.1 s that it has for an episode") == 1
    assert "left out" not in caplog.text


def test_a_hang_is_told_when_it_is_found_and_not_when_all_are_through(playing: Any, opened: Any) -> None:
    told = threading.Event()

    class Notices(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "took more than" in record.getMessage():
                told.set()

    def hangs_until_told(reply: str) -> Observation:
        assert told.wait(5)
        return Observation(done=True)

    notices = Notices()
    logging.getLogger("lydite").addHandler(notices)
    try:
        engine, _, environments = playing(lambda seen, index: "a", lambda: Game(hangs_until_told), deadline=0.3)
        (rollout,) = engine.generate(opened(environments), Sampling(2, 50, 1.0), 0)
    finally:
        logging.getLogger("lydite").removeHandler(notices)
    assert [one.episode.ended for one in rollout.completions] == ["deadline", "done"]


def test_an_environment_that_never_ends_is_stopped_by_turns_or_by_room(playing: Any, opened: Any) -> None:
    assert played(playing, opened, Observation("on"), max_turns=5).ended == "max_turns"
    assert played(playing, opened, Observation("on" * 40), max_turns=500).ended == "length"


def test_an_episode_may_end_at_once_and_pay_nothing(playing: Any, opened: Any) -> None:
    episode = played(playing, opened, Observation(done=True))
    assert (episode.ended, episode.reward, len(episode.turns)) == ("done", None, 1)


def test_a_flood_of_text_takes_no_time_and_no_room(playing: Any, opened: Any) -> None:
    flood = "All work and no play. " * 500_000
    began = time.monotonic()
    episode = played(playing, opened, Observation(flood), max_turns=2, max_observation_tokens=30)
    assert time.monotonic() - began < 5.0  # tokenised as a whole it takes a quarter of a minute
    shown = episode.turns[1]["content"]
    kept, _, note = shown.partition("\n[cut here: ")
    assert flood.startswith(kept)
    assert note == f"{len(flood) - len(kept)} more characters]"


def test_letters_that_no_file_can_hold_are_question_marks(playing: Any, opened: Any) -> None:
    episode = played(playing, opened, Observation("caf\udce9"), max_turns=2)
    assert (episode.ended, episode.turns[1]["content"]) == ("max_turns", "caf?")


def test_with_one_lane_environments_are_called_one_after_another(playing: Any, opened: Any) -> None:
    busy = threading.Lock()

    def alone(reply: str) -> Observation:
        assert busy.acquire(blocking=False), "two at once"
        time.sleep(0.01)
        busy.release()
        return Observation("on", reward=1.0)

    def ended(**limits: Any) -> set[str]:
        engine, _, environments = playing(lambda seen, index: "a", lambda: Game(alone), max_turns=3, **limits)
        rollouts = engine.generate(opened(environments, "a", "b"), Sampling(4, 200, 1.0), 0)
        return {one.episode.ended for rollout in rollouts for one in rollout.completions}

    assert ended() == {"max_turns"}
    assert "error" in ended(concurrency=8)  # the proof that the lock sees two at once
