"""The rewards of a run at work: rollouts in, scored completions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lydite.contracts import Format, PaysFor
from lydite.errors import CheckpointError
from lydite.rewards.binding import Binding
from lydite.rewards.cache import VerdictCache
from lydite.rewards.calls import Spread, here
from lydite.rewards.cascade import Cascade, Cascades, Verdicts
from lydite.rewards.compose import Rule, weight_at, worst_of
from lydite.rewards.gold import compares_with_gold, gold_groups, misjudged
from lydite.rewards.groups import read_group, scored_groups
from lydite.rewards.inline import InlineRunner
from lydite.rewards.judging import Judged, Judging
from lydite.rewards.metrics import step_metrics, step_timings
from lydite.rewards.pool import Pool
from lydite.rewards.requests import Place, requests_for
from lydite.rewards.shaping import NAME as LENGTH
from lydite.rewards.shaping import LengthShaping
from lydite.rewards.verdicts import settled
from lydite.rewards.window import ErrorWindow
from lydite.types import Group, Rollout, Sample, Scored, ScoredGroup, Verdict


class RewardStack:
    """The named rewards of a run. Made by `build_stack` and `build_eval_stack`."""

    def __init__(
        self,
        *,
        phases: Sequence[Sequence[Binding]],
        rules: Mapping[str, Rule],
        cascades: Mapping[str, Cascade],
        length: LengthShaping | None,
        format: Format,
        max_steps: int,
        windows: Mapping[str, ErrorWindow],
        pool: Pool,
        owns_pool: bool,
        cache: VerdictCache,
        spread: Spread = here,
    ) -> None:
        self._phases = phases
        self._rules = rules
        self._cascades = Cascades(cascades, rules)
        self._length = length
        self._format = format
        self._max_steps = max_steps
        self._windows = windows
        self._owns_pool = owns_pool
        self._inline = InlineRunner()
        self._judging = Judging(pool, self._inline, cache, spread)
        self.pool = pool
        """The worker processes; another stack may share them."""
        self.while_judging: Callable[[], AbstractContextManager[object]] = nullcontext
        """Held open while rewards are asked; for a judge that can answer only then."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components, in the order of the configuration; `length` comes last."""
        return tuple(self._rules)

    def names_that_pay_for(self, what: PaysFor) -> tuple[str, ...]:
        """The rewards that pay one completion for its answer, or for its form, without asking a judge."""
        return tuple(
            one.name
            for one in self._bindings()
            if one.kind != "group" and one.judge is None and one.pays_for == what and self._pays(one.name)
        )

    @property
    def judged_names(self) -> tuple[str, ...]:
        """The rewards that ask a judge."""
        return tuple(one.name for one in self._bindings() if one.judge is not None and self._pays(one.name))

    def check_columns(self, columns: Iterable[str]) -> None:
        """Nothing, when the data set has every column that a reward asks for.

        Raises:
            ConfigError: naming the reward, the column and the nearest column there is.
        """
        known = frozenset(columns)
        for binding in self._bindings():
            binding.check_columns(known)

    def score(self, rollouts: Sequence[Rollout], step: int) -> Scored:
        """The rollouts with every reward's verdict and their totals; advantages are left at 0.

        Raises:
            RewardError: when a reward's errors exceed their share, a reward cannot be loaded, workers do not
                start, or the format raises.
        """
        groups = [read_group(rollout, self._format) for rollout in rollouts]
        judged, verdicts = self._judged(rollouts, groups, step, frozenset(self._rules))
        self._count_errors(groups, judged, verdicts)
        scored = scored_groups(rollouts, groups, self._rules, verdicts, step)
        logged = {name: value for one in judged.values() for name, value in one.logged.items()}
        return Scored(
            scored,
            {**logged, **step_metrics(scored)},
            step_timings({name: one.seconds for name, one in judged.items()}),
        )

    def try_out(self, rollouts: Sequence[Rollout], step: int, names: Sequence[str]) -> tuple[ScoredGroup, ...]:
        """What these rewards, and those that they stand on, make of texts that nobody sampled.

        Totals are over those rewards alone. Errors are not counted: a probe never stops a run.
        """
        asked = self._cascades.with_what_they_stand_on(names)
        groups = [read_group(rollout, self._format) for rollout in rollouts]
        _, verdicts = self._judged(rollouts, groups, step, asked)
        return scored_groups(rollouts, groups, self._rules, verdicts, step)

    def judge_references(self, samples: Sequence[Sample]) -> dict[str, str]:
        """By sample id, why a sample's own reference does not pass; samples that pass are not in it.

        Asked are the rewards that name `reference` and an answer, text or completion, unless passing them does
        not pay, they need a judge, or they are the second of a cascade.

        Raises:
            RewardError: when a reward cannot be loaded, or workers do not start.
        """
        groups = gold_groups(samples)
        places = [(number, 0) for number in range(len(groups))]
        phase = [
            one
            for one in self._bindings()
            if one.name not in self._cascades.by_name and compares_with_gold(one, self._rules[one.name])
        ]
        said = self._ask(phase, {one.name: places for one in phase}, groups, [((),)] * len(groups), step=0)
        found: dict[str, str] = {}
        for binding, answers in zip(phase, said, strict=True):
            complete = {place: self._settled(binding, verdict) for place, verdict in answers.verdicts.items()}
            for sample, reason in misjudged(binding.name, groups, complete).items():
                found.setdefault(sample, reason)
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from, as JSON: the error windows. Cached verdicts are judged again."""
        return {"windows": {name: window.state() for name, window in self._windows.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` gave.

        Raises:
            CheckpointError: when it is not the state of a stack with these rewards.
        """
        windows = state.get("windows")
        if not isinstance(windows, dict) or set(windows) != set(self._windows):
            raise CheckpointError(
                f"the state of the rewards must hold windows for {sorted(self._windows)}, got {windows!r:.200}"
            )
        for name, window in self._windows.items():
            window.restore(windows[name])

    def close(self) -> None:
        """Ends the worker processes, unless the pool belongs to another stack, and the event loop."""
        self._inline.close()
        if self._owns_pool:
            self.pool.close()

    def _judged(
        self, rollouts: Sequence[Rollout], groups: Sequence[Group], step: int, names: frozenset[str]
    ) -> tuple[dict[str, Judged], dict[str, dict[Place, Verdict]]]:
        """What the rewards of these names say, and their complete verdicts by name and place."""
        token_ids = [[one.token_ids for one in rollout.completions] for rollout in rollouts]
        places = [(number, index) for number, group in enumerate(groups) for index in range(len(group.completions))]
        verdicts: dict[str, dict[Place, Verdict]] = {}
        judged: dict[str, Judged] = {}
        for whole_phase in self._phases:
            phase = [binding for binding in whole_phase if binding.name in names]
            asked = {binding.name: self._cascades.asked(binding.name, places, verdicts) for binding in phase}
            with self.while_judging():
                said = self._ask(phase, asked, groups, token_ids, step)
            for binding, answers in zip(phase, said, strict=True):
                judged[binding.name] = answers
                verdicts[binding.name] = self._completed(binding, answers, places, asked[binding.name], verdicts)
        if self._length is not None and LENGTH in names:
            verdicts[LENGTH] = {
                (number, index): settled(
                    self._length.verdict(groups[number].completions[index].tokens),
                    pass_at=self._rules[LENGTH].pass_at,
                    verifier="lydite/length",
                    version="",
                )
                for number, index in places
            }
        return judged, verdicts

    def _pays(self, name: str) -> bool:
        rule = self._rules[name]
        return rule.gate or rule.weight > 0 or (rule.weight_to or 0.0) > 0

    def _bindings(self) -> list[Binding]:
        return [binding for phase in self._phases for binding in phase]

    def _ask(
        self,
        bindings: Sequence[Binding],
        asked: Mapping[str, Sequence[Place]],
        groups: Sequence[Group],
        token_ids: Sequence[Sequence[tuple[int, ...]]],
        step: int,
    ) -> list[Judged]:
        requests = []
        for binding in bindings:
            rule = self._rules[binding.name]
            requests.append(
                requests_for(
                    binding,
                    groups,
                    token_ids,
                    asked[binding.name],
                    worst=worst_of(rule, weight_at(rule, step)),
                    step=step,
                    max_steps=self._max_steps,
                )
            )
        return self._judging.judge(list(zip(bindings, requests, strict=True)))

    def _completed(
        self, binding: Binding, answers: Judged, places: Sequence[Place], asked: Sequence[Place], verdicts: Verdicts
    ) -> dict[Place, Verdict]:
        """A verdict for every completion: those of a cascade that were not asked about abstain."""
        wanted = set(asked)
        said = {
            place: answers.verdicts[place]
            if place in wanted
            else self._cascades.not_asked(binding.name, place, verdicts)
            for place in places
        }
        return {place: self._settled(binding, verdict) for place, verdict in said.items()}

    def _settled(self, binding: Binding, verdict: Verdict) -> Verdict:
        return settled(
            verdict,
            pass_at=self._rules[binding.name].pass_at,
            verifier=binding.offer.name,
            version=binding.version,
        )

    def _count_errors(self, groups: Sequence[Group], judged: Mapping[str, Judged], verdicts: Verdicts) -> None:
        for name, answers in judged.items():
            for place in sorted(answers.verdicts):
                self._windows[name].add(verdicts[name][place], groups[place[0]].sample.id)
