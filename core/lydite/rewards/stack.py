"""The rewards of a run at work: rollouts in, scored completions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from lydite.contracts import Format, PaysFor
from lydite.errors import CheckpointError, RewardError
from lydite.rewards.binding import Binding
from lydite.rewards.cache import VerdictCache
from lydite.rewards.calls import Spread, here
from lydite.rewards.compose import Rule, compose_group, fallback_places, wants_fallback, weight_at, worst_of
from lydite.rewards.gold import compares_with_gold, gold_groups, misjudged
from lydite.rewards.inline import InlineRunner
from lydite.rewards.judging import Judged, Judging
from lydite.rewards.metrics import step_metrics, step_timings
from lydite.rewards.pool import Pool
from lydite.rewards.requests import Place, requests_for
from lydite.rewards.shaping import NAME as LENGTH
from lydite.rewards.shaping import LengthShaping
from lydite.rewards.verdicts import settled
from lydite.rewards.window import ErrorWindow
from lydite.types import Completion, Generated, Group, Rollout, Sample, Scored, ScoredCompletion, ScoredGroup, Verdict


@dataclass(frozen=True, slots=True)
class Cascade:
    """A reward that is asked only about what another did not pass."""

    after: str
    """Name of the other reward."""
    share: float
    """At most this share of a step's completions."""


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
        self._cascades = cascades
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

    @property
    def columns_needed(self) -> frozenset[str]:
        """Columns of the data set that the rewards cannot do without."""
        return frozenset(column for binding in self._bindings() for column in binding.needed_columns)

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
        groups = [self._read(rollout) for rollout in rollouts]
        judged, verdicts = self._judged(rollouts, groups, step, frozenset(self._rules))
        self._count_errors(groups, judged, verdicts)
        scored = self._all_composed(rollouts, groups, verdicts, step)
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
        asked = self._with_what_they_stand_on(names)
        groups = [self._read(rollout) for rollout in rollouts]
        _, verdicts = self._judged(rollouts, groups, step, asked)
        return self._all_composed(rollouts, groups, verdicts, step)

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
            if one.name not in self._cascades and compares_with_gold(one, self._rules[one.name])
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
        """Goes on from a state.

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
            asked = {binding.name: self._asked(binding, places, verdicts) for binding in phase}
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

    def _with_what_they_stand_on(self, names: Sequence[str]) -> frozenset[str]:
        """The names, and every reward that one of them falls back from or counts only beside."""
        found: set[str] = set()
        left = list(names)
        while left:
            name = left.pop()
            if name in found:
                continue
            found.add(name)
            cascade, only_if = self._cascades.get(name), self._rules[name].only_if
            left += [one for one in (cascade.after if cascade else None, only_if) if one is not None]
        return frozenset(found)

    def _pays(self, name: str) -> bool:
        rule = self._rules[name]
        return rule.gate or rule.weight > 0 or (rule.weight_to or 0.0) > 0

    def _bindings(self) -> list[Binding]:
        return [binding for phase in self._phases for binding in phase]

    def _read(self, rollout: Rollout) -> Group:
        completions = tuple(self._parsed(one, index) for index, one in enumerate(rollout.completions))
        return Group(rollout.prompt.sample, completions)

    def _parsed(self, generated: Generated, index: int) -> Completion:
        try:
            parsed = self._format.parse(generated.text)
        except Exception as error:
            raise RewardError(
                f"the format {type(self._format).__name__} raised {type(error).__name__}: {error}; a format returns a "
                "FormatError for what it cannot read, and never raises"
            ) from error
        return Completion(
            generated.text, parsed, generated.raw, generated.sampled, generated.finish_reason, index, generated.episode
        )

    def _asked(
        self, binding: Binding, places: Sequence[Place], verdicts: Mapping[str, Mapping[Place, Verdict]]
    ) -> list[Place]:
        cascade = self._cascades.get(binding.name)
        if cascade is None:
            return list(places)
        before = [verdicts[cascade.after][place] for place in places]
        chosen = fallback_places(before, self._rules[cascade.after].pass_at, cascade.share)
        return [places[one] for one in chosen]

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
        self,
        binding: Binding,
        answers: Judged,
        places: Sequence[Place],
        asked: Sequence[Place],
        verdicts: Mapping[str, Mapping[Place, Verdict]],
    ) -> dict[Place, Verdict]:
        """A verdict for every completion: those of a cascade that were not asked about abstain."""
        cascade, wanted = self._cascades.get(binding.name), set(asked)
        complete = {}
        for place in places:
            if place in wanted:
                verdict = answers.verdicts[place]
            else:
                assert cascade is not None
                over = wants_fallback(verdicts[cascade.after][place], self._rules[cascade.after].pass_at)
                verdict = Verdict.abstain("fallback.share" if over else "fallback.not_asked")
            complete[place] = self._settled(binding, verdict)
        return complete

    def _settled(self, binding: Binding, verdict: Verdict) -> Verdict:
        return settled(
            verdict,
            pass_at=self._rules[binding.name].pass_at,
            verifier=binding.offer.name,
            version=binding.version,
        )

    def _count_errors(
        self,
        groups: Sequence[Group],
        judged: Mapping[str, Judged],
        verdicts: Mapping[str, Mapping[Place, Verdict]],
    ) -> None:
        for name, answers in judged.items():
            for place in sorted(answers.verdicts):
                self._windows[name].add(verdicts[name][place], groups[place[0]].sample.id)

    def _all_composed(
        self,
        rollouts: Sequence[Rollout],
        groups: Sequence[Group],
        verdicts: Mapping[str, Mapping[Place, Verdict]],
        step: int,
    ) -> tuple[ScoredGroup, ...]:
        rules = {name: rule for name, rule in self._rules.items() if name in verdicts}
        return tuple(
            self._composed(rollout, group, number, rules, verdicts, step)
            for number, (rollout, group) in enumerate(zip(rollouts, groups, strict=True))
        )

    def _composed(
        self,
        rollout: Rollout,
        group: Group,
        number: int,
        rules: Mapping[str, Rule],
        verdicts: Mapping[str, Mapping[Place, Verdict]],
        step: int,
    ) -> ScoredGroup:
        by_name = {name: [verdicts[name][number, index] for index in range(len(group.completions))] for name in rules}
        composed = compose_group(rules, by_name, step)
        return ScoredGroup(
            rollout.prompt,
            tuple(
                ScoredCompletion(generated, completion, one.components, one.reward, 0.0)
                for generated, completion, one in zip(rollout.completions, group.completions, composed, strict=True)
            ),
        )
