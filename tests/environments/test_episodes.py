"""Episodes: exact tokens, what is trained, turns, budgets, and environments that break."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest

from lydite import Message, Observation, Sample
from lydite.environments import episode_figures
from lydite.errors import DataError, PluginError
from lydite.policy import Policy
from lydite.rollout import Sampling, generate_with_retry
from lydite.rollout.hf import HfEngine
from lydite.types import Completion, Generated, Parsed, Prompt, Scored, ScoredCompletion, ScoredGroup

LONG = Sampling(1, 400, 1.0)


def test_an_episode_is_what_the_model_read_and_said_token_by_token(policy: Policy, playing: Any, opened: Any) -> None:
    engine, inner, environments = playing()
    (prompt,) = opened(environments)
    (rollout,) = engine.generate([prompt], LONG, 0)
    (one,) = rollout.completions
    assert prompt.text.endswith("Count to 3.<|im_end|>\n<|im_start|>assistant\n")
    assert [turn["content"] for turn in one.episode.turns] == [
        "1", "Yes. What comes behind 1?", "2", "Yes. What comes behind 2?", "3",
    ]  # fmt: skip
    assert one.text == "3"
    assert one.raw == (
        "1<|im_end|>\n<|im_start|>user\nYes. What comes behind 1?<|im_end|>\n<|im_start|>assistant\n"
        "2<|im_end|>\n<|im_start|>user\nYes. What comes behind 2?<|im_end|>\n<|im_start|>assistant\n3<|im_end|>"
    )
    # What the model read before its third turn is the prompt and the completion up to there.
    (third,) = inner.calls[2][0]
    assert (*prompt.token_ids, *one.token_ids)[: len(third.token_ids)] == third.token_ids
    assert policy.tokenizer.decode(list(one.token_ids[len(third.token_ids) - len(prompt.token_ids) :])) == "3<|im_end|>"


def test_only_what_the_model_said_is_trained_and_has_log_probabilities(
    policy: Policy, playing: Any, opened: Any
) -> None:
    engine, _, environments = playing()
    one = engine.generate(opened(environments), LONG, 0)[0].completions[0]
    assert len(one.trained) == len(one.logps) == len(one.token_ids)
    said = [token for token, trained in zip(one.token_ids, one.trained, strict=True) if trained]
    assert policy.tokenizer.decode(said) == "1<|im_end|>2<|im_end|>3<|im_end|>"
    assert one.sampled == len(said) == 6
    assert [logp for logp, own in zip(one.logps, one.trained, strict=True) if own] == [-0.25, -0.5] * 3
    assert {logp for logp, own in zip(one.logps, one.trained, strict=True) if not own} == {0.0}


def test_episodes_of_a_step_end_each_at_its_own_time_and_pay_what_they_earned(playing: Any, opened: Any) -> None:
    def say(seen: str, index: int) -> str:
        # Only the second completions go wrong, at their second turn: they are alone in their calls by then.
        turn = 1 + seen.count("Yes.")
        return "7" if turn == 2 and "Play b." in seen else str(turn)

    engine, inner, environments = playing(say)
    rollouts = engine.generate(opened(environments, "a", "b"), Sampling(2, 400, 1.0), 0)
    earned = [[one.episode.reward for one in rollout.completions] for rollout in rollouts]
    assert earned == [[3.0, 3.0], [1.0, 1.0]]
    assert [len(call) for call, _ in inner.calls] == [2, 4, 2]
    assert [sampling.num_generations for _, sampling in inner.calls] == [2, 1, 1]
    names = [prompt.sample.id for call, _ in inner.calls[1:] for prompt in call]
    assert len(set(names)) == len(names)
    assert rollouts[1].completions[0].episode.rewards == (1.0, 0.0)


def test_what_is_drawn_does_not_depend_on_what_is_played_beside(policy: Policy, offered: Any, opened: Any) -> None:
    from lydite.environments.episodes import EpisodeEngine

    class Echo:
        def reset(self, sample: Sample) -> Sequence[Message]:
            return ()

        def step(self, reply: str) -> Observation:
            return Observation(f"You said {len(reply)}.", reward=float(len(reply)))

    environments = offered(Echo, max_turns=3, max_reply_tokens=5)
    sampling = Sampling(2, 200, 1.0)
    prompts = opened(environments, "a", "b", "c")
    engine = EpisodeEngine(HfEngine(policy, max_batch_size=64), environments, policy)
    together = engine.generate(prompts, sampling, 3)
    narrow = EpisodeEngine(HfEngine(policy, max_batch_size=1), environments, policy)
    alone = [narrow.generate([prompt], sampling, 3)[0] for prompt in reversed(prompts)][::-1]
    ids = [[one.token_ids for one in rollout.completions] for rollout in together]
    assert ids == [[one.token_ids for one in rollout.completions] for rollout in alone]
    turns = [one.episode.turns for rollout in together for one in rollout.completions if one.episode is not None]
    assert all(len(one) == 6 for one in turns)
    assert len({said[0]["content"] for said in turns}) > 1
    first = turns[0]
    assert len({turn["content"] for turn in first if turn["role"] == "assistant"}) > 1  # each turn draws anew
    assert ids != [[one.token_ids for one in rollout.completions] for rollout in engine.generate(prompts, sampling, 4)]


@pytest.mark.parametrize(("turns", "ended", "paid"), [(2, "max_turns", 2.0), (3, "done", 3.0)])
def test_turns_are_bounded(playing: Any, opened: Any, turns: int, ended: str, paid: float) -> None:
    engine, inner, environments = playing(max_turns=turns)
    one = engine.generate(opened(environments), LONG, 0)[0].completions[0]
    assert len(inner.calls) == turns
    assert (one.episode.ended, one.episode.reward, one.finish_reason) == (ended, paid, "stop")
    assert one.trained[-1]  # nothing is inserted that nobody answers


def test_the_budget_is_for_everything_behind_the_prompt(policy: Policy, playing: Any, opened: Any) -> None:
    engine, _, environments = playing()
    whole = engine.generate(opened(environments), LONG, 0)[0].completions[0]
    for limit in range(1, len(whole.token_ids) + 1):
        one = engine.generate(opened(environments), Sampling(1, limit, 1.0), 0)[0].completions[0]
        assert len(one.token_ids) <= limit
        assert one.token_ids == whole.token_ids[: len(one.token_ids)]
        assert one.trained[-1]  # it ends with something that the model said
        assert one.finish_reason == ("stop" if limit == len(whole.token_ids) else "length")
    assert engine.generate(opened(environments), Sampling(1, 10, 1.0), 0)[0].completions[0].episode.ended == "length"


def test_a_turn_that_is_cut_off_is_ended_for_the_model_and_answered(policy: Policy, playing: Any, opened: Any) -> None:
    class Patient:
        def reset(self, sample: Sample) -> Sequence[Message]:
            return ()

        def step(self, reply: str) -> Observation:
            return Observation(f"<{reply}>", done=reply == "end")

    def say(seen: str, index: int) -> str:
        return "end" if "<abcd>" in seen else "abcdefgh"

    engine, _, environments = playing(say, Patient, max_reply_tokens=4)
    one = engine.generate(opened(environments), LONG, 0)[0].completions[0]
    assert one.raw.startswith("abcd<|im_end|>\n<|im_start|>user\n<abcd>")
    assert one.trained[:5] == (True, True, True, True, False)  # the end of the turn is not the model's
    assert one.episode.turns[0]["content"] == "abcd"


def test_long_observations_are_cut_and_marks_in_them_are_text(policy: Policy, playing: Any, opened: Any) -> None:
    class Talker:
        def reset(self, sample: Sample) -> Sequence[Message]:
            return ()

        def step(self, reply: str) -> Observation:
            return Observation("<|im_end|>" + "x" * 500, reward=None)

    engine, _, environments = playing(lambda seen, index: "a", Talker, max_turns=2, max_observation_tokens=20)
    one = engine.generate(opened(environments), LONG, 0)[0].completions[0]
    shown = one.episode.turns[1]["content"]
    assert shown.startswith("< |im_end|>xx")
    kept = shown.count("x")
    assert kept < 21
    assert shown.endswith(f"[cut here: {500 - kept} more characters]")
    inserted = [token for token, own in zip(one.token_ids, one.trained, strict=True) if not own]
    assert inserted.count(policy.tokenizer.eos_token_id) == 1  # that of the user's turn
    assert one.episode.reward is None
    assert one.episode.ended == "max_turns"


class Fragile:
    """Breaks on the completions that say so."""

    closed: list[str] = []

    def reset(self, sample: Sample) -> Sequence[Message]:
        self.name = sample.id
        return ()

    def step(self, reply: str) -> Observation:
        if reply == "break":
            raise KeyError("lost")
        if reply == "hang":
            time.sleep(1.0)
        return Observation(reward=1.0, done=True) if reply != "odd" else 3  # type: ignore[return-value]

    def close(self) -> None:
        Fragile.closed.append(self.name)


def test_what_an_environment_raises_is_an_error_of_its_completion(
    playing: Any, opened: Any, caplog: pytest.LogCaptureFixture
) -> None:
    Fragile.closed.clear()
    words = ("break", "fine", "odd", "hang")
    engine, _, environments = playing(lambda seen, index: words[index], Fragile, deadline=0.2)
    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        rollout = engine.generate(opened(environments), Sampling(4, 50, 1.0), 0)[0]
    assert time.monotonic() - began < 0.9
    episodes = [one.episode for one in rollout.completions]
    assert [one.ended for one in episodes] == ["error", "done", "error", "deadline"]
    assert re.fullmatch(r"KeyError: 'lost' \(test_episodes.py, line \d+\)", episodes[0].error)
    assert "lydite.Observation" in episodes[2].error
    assert "0.2 s" in episodes[3].error
    assert "KeyError: 'lost'" in caplog.text
    assert "left out of training" in caplog.text
    assert Fragile.closed == ["a", "a", "a", "a"]  # the one of the opening, and all but the one that hangs


def test_when_every_environment_breaks_the_run_ends_and_says_why(playing: Any, opened: Any) -> None:
    engine, _, environments = playing(lambda seen, index: "break", Fragile)
    with pytest.raises(PluginError, match=r"failed in all 2 episodes; the first, of sample 'a': KeyError: 'lost' \(te"):
        generate_with_retry(engine, opened(environments), Sampling(2, 50, 1.0), 0)


def test_a_group_has_one_opening(playing: Any, opened: Any) -> None:
    class Moody:
        count = 0

        def reset(self, sample: Sample) -> Sequence[Message]:
            Moody.count += 1
            return [{"role": "user", "content": f"Number {min(Moody.count, 3)}"}]

        def step(self, reply: str) -> Observation:
            return Observation(done=True)

    engine, _, environments = playing(lambda seen, index: "a", Moody)
    prompts = opened(environments)
    with pytest.raises(PluginError, match="must depend on the sample alone"):
        generate_with_retry(engine, prompts, Sampling(2, 50, 1.0), 0)


def test_an_environment_that_cannot_begin_is_found_before_training(offered: Any) -> None:
    class Never:
        def reset(self, sample: Sample) -> Sequence[Message]:
            return [{"role": "assistant", "content": "me"}]

        def step(self, reply: str) -> Observation:
            return Observation(done=True)

    with pytest.raises(DataError, match="cannot begin with sample 's': ValueError: an environment says"):
        offered(Never).opening(Sample("s", "?"))
    with pytest.raises(DataError, match="which has no reset and step"):
        offered(dict).opening(Sample("s", "?"))


@pytest.mark.parametrize("wrong", [{"content": ""}, {"content": "x", "reward": float("nan")}])
def test_an_observation_says_something_and_pays_a_number(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="observation"):
        Observation(**wrong)


def test_figures_are_of_all_episodes(playing: Any, opened: Any) -> None:
    def scored(completions: tuple[Generated, ...]) -> Scored:
        made = tuple(ScoredCompletion(one, Completion("", Parsed("x")), {}, 1.0, 0.0) for one in completions)
        return Scored((ScoredGroup(Prompt(Sample("a", "a"), "a", (1,)), made),), {}, {})

    engine, _, environments = playing(lambda seen, index: "1" if index == 0 and "Yes." not in seen else "9")
    rollout = engine.generate(opened(environments), Sampling(2, 400, 1.0), 0)[0]
    figures = episode_figures(scored(rollout.completions))
    assert figures["episodes/turns/mean"] == 1.5
    assert figures["episodes/turns/max"] == 2
    assert figures["episodes/reward"] == 0.5
    assert figures["episodes/ended/done"] == 1.0
    assert figures["episodes/inserted_tokens"] > 5
    assert figures["tools/call_frequency"] == 0.0
    assert episode_figures(scored((Generated((1,), "x", "x", "stop"),))) == {}


def test_it_speaks_for_the_inner_engine(policy: Policy, playing: Any) -> None:
    engine, inner, _ = playing()
    engine.take_adapter(policy)
    engine.close()
    assert (engine.name, inner.took, inner.closed) == ("spoken", policy, True)
