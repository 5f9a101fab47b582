"""Grid2Op and marlgrid side by side: the same actions on the same data, compared after every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.parity_actions import SCRIPTED, commands_of, random_keys, random_warnings, reading
from experiments.parity_compare import NEVER_WRITTEN, SHUNTS, Attributes, clock_difference, verdicts
from experiments.parity_operator import Operator
from experiments.parity_rewards import Rewards, of_warnings, theirs
from experiments.parity_simulate import N_ACTION, WhatIf
from experiments.parity_step import Step, Stepper
from experiments.parity_worlds import Replay, attacks_in, grid2op_environment, scenarios_of
from marlgrid.model.datasets.case import load_case
from marlgrid.powerflow import power_flow
from marlgrid.simulation import Reason
from marlgrid.simulation.action import joint
from marlgrid.simulation.state import Outcome, State
from marlgrid.simulation.step import initial
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.commands import make_action
from marlgrid.task.features import VectorObservation
from marlgrid.task.observation import Observation
from marlgrid.task.opening import limits, opening
from marlgrid.task.reward import reward_from
from marlgrid.task.task import Task


@dataclass
class Tally:
    """What the comparison found."""

    steps: int = 0
    mismatches: list[str] = field(default_factory=list)
    reasons: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    excluded: Counter = field(default_factory=Counter)
    """How often each deliberate difference was met."""
    trips: int = 0
    under_attack: int = 0
    """Steps with an attack in force."""
    simulated: int = 0
    dispatch_gap_mw: float = 0.0
    why: Counter = field(default_factory=Counter)
    """What Grid2Op gave as the reason of each game over, and what it is called here."""

    def count(self, ours: Step, attacked: np.ndarray, done: bool, info: dict) -> None:
        """One step of both."""
        self.steps += 1
        self.under_attack += bool(attacked.any())
        self.trips += int((ours.state.disc_lines >= 0).sum())
        self.excluded.update(ours.excluded)
        self.dispatch_gap_mw = max(self.dispatch_gap_mw, ours.gap_mw)
        self.reasons[Reason(int(ours.ruling.reason[0, 0])).name] += 1
        if done:
            end = Outcome(int(ours.state.outcome[0])).name
            self.ends[end] += 1
            self.why["/".join(type(error).__name__ for error in info["exception"]) + " " + end] += 1

    def __str__(self) -> str:
        return (
            f"verdicts: {dict(self.reasons)}\nends: {dict(self.ends)}\n"
            f"largest dispatch gap: {self.dispatch_gap_mw:.3f} MW\n"
            f"trips={self.trips}, under_attack={self.under_attack}, simulated={self.simulated}, "
            f"excluded={dict(self.excluded)}\n"
            f"steps={self.steps}, mismatches={len(self.mismatches)}"
        )


class LockStep:
    """Both worlds, side by side."""

    options: Mapping[str, Any] = MappingProxyType({})
    """Of every reset, as Grid2Op writes them: "init state" and "thermal limit"."""

    def __init__(self, case: str, limits: float = 1.0, parameters: dict[str, Any] | None = None) -> None:
        """``limits`` scales all thermal limits: what is below 1 makes lines trip; ``parameters`` change both worlds."""
        self.tally, self.case = Tally(), case
        self.system, series = load_case(case, zones=1, parameters=parameters)
        self.world = grid2op_environment(case, parameters or {}, theirs(of_warnings(self.system)))
        self.episodes = scenarios_of(self.world)
        self.env = self.episodes[0][0]
        if limits != 1:
            self._scale(limits)
        self.series = Replay(series)
        flow, foreseen_on = "dc" if self.system.parameters.env_dc else "newton", self.system.forecast_grid
        self.stepper = Stepper(self.system, power_flow(flow, self.system.grid))
        self.foreseer = Stepper(self.system, power_flow(flow, foreseen_on or self.system.grid))
        self.rewards = Rewards(self.system)
        self.task = Task(
            self.system, self.series, self.stepper.solver, DiscreteActions(self.system, actions={}),
            VectorObservation(self.system, self.series.series), reward_from("survival"), masks=False,
        )  # fmt: skip
        self.attributes = Attributes(self.env.observation_space.attr_list_vect, self.shunts_left_out)

    def _scale(self, limits: float) -> None:
        """Thermal limits of both worlds; unscaled, each has those that it read."""
        limit = np.asarray(self.system.grid.thermal_limit) * limits
        self.system = replace(self.system, grid=replace(self.system.grid, thermal_limit=limit))
        for env in {id(env): env for env, _ in self.episodes}.values():
            env.set_thermal_limit(limit)

    def run(
        self,
        policy: str,
        n_step: int,
        n_simulate: int = 0,
        seed: int = 0,
        progress: bool = True,
        n_action: int = N_ACTION,
    ) -> Tally:
        """At least ``n_step`` steps, a new scenario after each game over or mismatch.

        On ``n_simulate`` of the states, what-if answers to ``n_action`` actions are compared too.
        """
        self.rng, self.tally = np.random.default_rng(seed), Tally()
        self.operator = Operator(self.system, self.stepper.solver, seed) if policy == SCRIPTED else None
        self.policy, self.n_action = policy, n_action
        self.every = max(n_step // n_simulate, 1) if n_simulate else 0
        self.what_if = WhatIf(self.foreseer, self.series, self.found)
        bar, episode = tqdm(total=n_step, disable=not progress, unit="step", leave=False), 0
        while self.tally.steps < n_step and not self.nothing_agrees(episode):
            before = self.tally.steps
            self.play(episode, n_step - before)
            bar.update(self.tally.steps - before)
            episode += 1
        bar.close()
        return self.tally

    def nothing_agrees(self, episode: int) -> bool:
        """No scenario can be started alike."""
        return episode >= len(self.episodes) and self.tally.steps == 0

    def play(self, episode: int, n_step: int) -> None:
        observation = self.reset(episode)
        if self.differs("reset", observation):
            return
        for t in range(n_step):
            where = f"scenario {self.scenario} step {t + 1}"
            if self.every and self.tally.steps % self.every == 0:
                self.foresee(where, observation)
            observation, over = self.step(where, self.keys())
            if over:
                return

    def keys(self) -> dict[str, Any]:
        """The policy's next action."""
        if self.operator is None:
            drawn = random_keys(self.policy, self.system.grid, self.rng)
            return drawn | random_warnings(self.policy, self.system, self.rng)
        return self.operator.keys(self.state, self.series.forecast(self.state.scenario, self.state.t))

    def reset(self, episode: int) -> Any:
        """The same scenario in both."""
        self.scenario = episode % len(self.episodes)
        self.env, position = self.episodes[self.scenario]
        self.env.seed(episode)
        self.env.set_id(position)
        # there a game over tells the next episode that an alarm was used
        self.env._reward_helper.template_reward.is_alarm_used = False  # noqa: SLF001
        observation = self.env.reset(options=deepcopy(dict(self.options)))
        self.tally.excluded.update([SHUNTS] * self.shunts_left_out)
        self.series.note(observation.time_next_maintenance, observation.duration_next_maintenance, self.hazards())
        ours = np.array([self.scenario]), np.array([0]), np.array([self.series.n_rows(self.scenario) - 1])
        asked = opening(self.system, self.series.series, ours[0], [self.options.get("init state")])
        amps = limits(self.system.grid, [self.options.get("thermal limit")])
        self.state = initial(self.system, self.stepper.solver, self.series, np.array([episode]), *ours, asked, amps)
        return observation

    def hazards(self) -> np.ndarray:
        """Remaining length of each hazard in force."""
        return np.asarray(self.env._hazard_duration, dtype=np.int32)  # noqa: SLF001 (not in the observation)

    def step(self, where: str, keys: dict) -> tuple[Any, bool]:
        """One step of both; the observation there, and whether the episode is over or the two differ."""
        action = self.env.action_space(keys)
        asked = make_action(self.system, keys)
        observation, _, done, info = self.env.step(action)
        failed = done and bool(info["exception"])
        if failed:
            self.series.note_plan(self.state, self.hazards())
        else:
            self.series.note(observation.time_next_maintenance, observation.duration_next_maintenance, self.hazards())
        before, injections = self.state, self.series.at(self.state.scenario, self.state.t + 1)
        # of a step that ends before the attack is reached nothing is told: those going on do
        told = not failed or info["opponent_attack_line"] is not None
        attacked = attacks_in(info, self.system.grid.n_line) if told else before.attack.remaining[0]
        played = joint([[asked]])
        ours = self.stepper.advance(before, injections, played, attacked, None if failed else observation)
        self.state = ours.state
        self.tally.count(ours, attacked, done, info)
        problems = reading(asked, commands_of(action)) + ours.problems + verdicts(ours, done, info)
        problems += self.rewards.differences(before, played, ours.ruling, ours.state, info["rewards"])
        where = f"{where}, action {keys}"
        self.report(where, problems)
        return observation, self.differs(where, observation) or bool(problems) or done

    @property
    def shunts_left_out(self) -> bool:
        """Whether Grid2Op lists shunts that are out of service."""
        return len(self.env.observation_space.shunt_to_subid) != self.system.grid.n_shunt

    def foresee(self, where: str, observation: Any) -> None:
        """What-if answers of both for a few actions."""
        for problems, excluded in self.what_if.compare(self.env, self.state, observation, self.n_action):
            self.tally.simulated += 1
            self.tally.excluded.update(excluded)
            self.report(f"{where}, simulated", problems)

    def found(self, state: State, observation: Any, but: tuple[str, ...] = ()) -> list[str]:
        """Every attribute that differs, in words."""
        return self.attributes.differences(Observation(self.task, state), observation, but)

    def differs(self, where: str, observation: Any) -> bool:
        """Compares every attribute and the clock; reports the differences in words."""
        self.tally.excluded.update([NEVER_WRITTEN] * (bool(self.state.lost[0]) and self.system.dim_alerts > 0))
        problems = self.found(self.state, observation)
        problems += clock_difference(Observation(self.task, self.state), observation)
        self.report(where, problems)
        return bool(problems)

    def report(self, where: str, problems: list[str]) -> None:
        if problems:
            self.tally.mismatches.append(f"{where}: " + "; ".join(problems))
            tqdm.write(self.tally.mismatches[-1])
