"""Plays the same actions on the same data in Grid2Op and in marlgrid, step by step, and says where they first differ.

``python -m experiments.parity --case l2rpn_case14_sandbox --steps 2000 --policy random``

Grid2Op's attacks and outages are replayed here. Integers and booleans must be equal, flows, voltages and angles agree
to 1e-3 (they are single precision there). Where the dispatch differs by more than 0.05 MW, ours must be within its
limits and no worse than Grid2Op's by its own objective; the run goes on with Grid2Op's. Needs grid2op.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.parity_actions import POLICIES, commands_of, random_keys, random_warnings
from experiments.parity_compare import differences, verdicts
from experiments.parity_simulate import WhatIf
from experiments.parity_step import Stepper
from marlgrid.model.datasets.case import load_case
from marlgrid.powerflow import power_flow
from marlgrid.simulation import Reason
from marlgrid.simulation.action import joint
from marlgrid.simulation.state import Outcome, State
from marlgrid.simulation.step import initial
from marlgrid.task.opening import limits, opening


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

    def __str__(self) -> str:
        return (
            f"verdicts: {dict(self.reasons)}\nends: {dict(self.ends)}\n"
            f"largest dispatch gap: {self.dispatch_gap_mw:.3f} MW\n"
            f"trips={self.trips}, under_attack={self.under_attack}, simulated={self.simulated}, "
            f"excluded={dict(self.excluded)}\n"
            f"steps={self.steps}, mismatches={len(self.mismatches)}"
        )


class Replay:
    """Our series with the outages that Grid2Op reports, whatever it drew them from."""

    def __init__(self, series: Any) -> None:
        self.series, self.outages = series, None
        self.n_horizon, self.delta_time, self.splits = series.n_horizon, series.delta_time, series.splits

    def note(self, observation: Any, hazard: np.ndarray) -> None:
        parts = observation.time_next_maintenance, observation.duration_next_maintenance, hazard
        self.outages = [np.asarray(part, dtype=np.int32)[None] for part in parts]

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int = 1) -> Any:
        """One step ahead: maintenance goes on as planned, hazards run out."""
        time_next, duration, hazard = self.outages
        later, left = planned(time_next[0], duration[0])
        return self.series.forecast(scenario, t, horizon)._replace(
            time_next_maintenance=later[None], duration_next_maintenance=left[None],
            hazard_duration=np.maximum(hazard - 1, 0),
        )  # fmt: skip

    def n_rows(self, scenario: int) -> int:
        return self.series.n_rows(scenario)

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Any:
        time_next, duration, hazard = self.outages
        return self.series.at(scenario, t)._replace(
            time_next_maintenance=time_next, duration_next_maintenance=duration, hazard_duration=hazard
        )


class LockStep:
    """Both worlds, side by side."""

    options: Mapping[str, Any] = MappingProxyType({})
    """Of every reset, as Grid2Op writes them: "init state" and "thermal limit"."""

    def __init__(self, case: str, limits: float = 1.0, parameters: dict[str, Any] | None = None) -> None:
        """``limits`` scales all thermal limits: what is below 1 makes lines trip; ``parameters`` change both worlds."""
        self.case, self.world = case, grid2op_environment(case, parameters or {})
        self.episodes = scenarios_of(self.world)
        self.env = self.episodes[0][0]
        self.system, series = load_case(case, zones=1, parameters=parameters)
        if limits != 1:
            self._scale(limits)
        self.series = Replay(series)
        flow, areas = "dc" if self.system.parameters.env_dc else "newton", areas_of(self.env)
        self.stepper = Stepper(self.system, power_flow(flow, self.system.grid), areas)
        foreseen_on = self.system.forecast_grid or self.system.grid
        self.foreseer = Stepper(self.system, power_flow(flow, foreseen_on), areas)

    def _scale(self, limits: float) -> None:
        """Thermal limits of both worlds; unscaled, each has those that it read."""
        limit = np.asarray(self.system.grid.thermal_limit) * limits
        self.system = replace(self.system, grid=replace(self.system.grid, thermal_limit=limit))
        for env in {id(env): env for env, _ in self.episodes}.values():
            env.set_thermal_limit(limit)

    def run(self, policy: str, n_step: int, n_simulate: int = 0, seed: int = 0, progress: bool = True) -> Tally:
        """At least ``n_step`` steps, a new scenario after each game over or mismatch.

        On ``n_simulate`` of the states, what-if answers are compared too.
        """
        self.policy, self.rng, self.tally = policy, np.random.default_rng(seed), Tally()
        every = max(n_step // n_simulate, 1) if n_simulate else 0
        self.what_if = WhatIf(self.foreseer, self.series, policy, every) if every else None
        bar, episode = tqdm(total=n_step, disable=not progress, unit="step", leave=False), 0
        while self.tally.steps < n_step:
            before = self.tally.steps
            self.play(episode, n_step - before)
            bar.update(self.tally.steps - before)
            episode += 1
        bar.close()
        return self.tally

    def play(self, episode: int, n_step: int) -> None:
        observation = self.reset(episode)
        if self.differs("reset", observation):
            return
        for t in range(n_step):
            where = f"scenario {self.scenario} step {t + 1}"
            if self.what_if is not None and self.tally.steps % self.what_if.every == 0:
                self.foresee(where, observation)
            keys = random_keys(self.policy, self.system.grid, self.rng)
            keys |= random_warnings(self.policy, self.system, self.rng)
            observation, over = self.step(where, keys)
            if over:
                return

    def reset(self, episode: int) -> Any:
        """The same scenario in both."""
        self.scenario = episode % len(self.episodes)
        self.env, position = self.episodes[self.scenario]
        self.env.seed(episode)
        self.env.set_id(position)
        observation = self.env.reset(options=deepcopy(dict(self.options)))
        self.series.note(observation, self.hazards())
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
        observation, _, done, info = self.env.step(action)
        failed = done and bool(info["exception"])
        self.series.note(_as_planned(observation, self.state) if failed else observation, self.hazards())
        injections = self.series.at(self.state.scenario, self.state.t + 1)
        attacked, asked = attacks_in(info, self.system.grid.n_line), joint([[commands_of(action)]])
        ours = self.stepper.advance(self.state, injections, asked, attacked, None if failed else observation)
        self.state = ours.state
        self.tally.steps += 1
        self.tally.under_attack += bool(attacked.any())
        self.tally.trips += int((self.state.disc_lines >= 0).sum())
        self.tally.excluded.update(ours.excluded)
        self.tally.dispatch_gap_mw = max(self.tally.dispatch_gap_mw, ours.gap_mw)
        self.tally.reasons[Reason(int(ours.ruling.reason[0, 0])).name] += 1
        if done:
            self.tally.ends[Outcome(int(self.state.outcome[0])).name] += 1
        problems = ours.problems + verdicts(ours, done, info)
        where = f"{where}, action {keys}"
        self.report(where, problems)
        return observation, bool(problems) or (done and failed) or self.differs(where, observation) or done

    def foresee(self, where: str, observation: Any) -> None:
        """What-if answers of both for a few actions."""
        for problems, excluded in self.what_if.compare(self.env, self.state, observation):
            self.tally.simulated += 1
            self.tally.excluded.update(excluded)
            self.report(f"{where}, simulated", problems)

    def differs(self, where: str, observation: Any) -> bool:
        """Compares every attribute; reports the differences in words."""
        problems = differences(self.state, observation)
        self.report(where, problems)
        return bool(problems)

    def report(self, where: str, problems: list[str]) -> None:
        if problems:
            self.tally.mismatches.append(f"{where}: " + "; ".join(problems))
            tqdm.write(self.tally.mismatches[-1])


def attacks_in(info: dict, n_line: int) -> np.ndarray:
    """(n_line,) remaining steps of the attacks in force, the step that ``info`` tells of included."""
    struck = info["opponent_attack_line"]
    none = np.zeros(n_line, dtype=np.int32)
    return none if struck is None else np.asarray(struck) * np.int32(info["opponent_attack_duration"])


def _as_planned(observation: Any, state: State) -> Any:
    """A game-over observation says nothing of outages: they go on as planned."""
    injections = state.injections
    observation.time_next_maintenance, observation.duration_next_maintenance = planned(
        injections.time_next_maintenance[0], injections.duration_next_maintenance[0]
    )
    return observation


def planned(time_next: np.ndarray, duration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maintenance one step later, as far as it can be told from what is known now."""
    inside = time_next == 0
    later = np.where(inside & (duration <= 1), -1, np.where(time_next > 0, time_next - 1, time_next))
    return later, np.where(inside, np.maximum(duration - 1, 0), duration)


def grid2op_environment(case: str, parameters: dict[str, Any]) -> Any:
    """Grid2Op's environment with every kind of action, its own opponent, and some parameters changed."""
    import grid2op
    from grid2op.Action import PlayableAction
    from lightsim2grid import LightSimBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = grid2op.make(case, test=True, backend=LightSimBackend(), action_class=PlayableAction)
        for env in mixes_of(world) if parameters else ():
            changed = env.parameters
            changed.init_from_dict({name.upper(): value for name, value in parameters.items()})
            env.change_parameters(changed)
            env.change_forecast_parameters(changed)
        return world


def mixes_of(world: Any) -> list[Any]:
    """The environments of a multimix, or the one that there is."""
    return list(world) if hasattr(world, "mix_envs") else [world]


def scenarios_of(world: Any) -> list[tuple[Any, int]]:
    """Environment and position in it of each scenario; a multimix has its mixes one after the other, as here."""
    return [(mix, i) for mix in mixes_of(world) for i in range(len(mix.chronics_handler.subpaths))]


def areas_of(env: Any) -> list[np.ndarray]:
    """Substations of each area where the rules count by area, else nothing."""
    rules = env._game_rules.legal_action  # noqa: SLF001 (nothing public tells)
    return [np.asarray(area) for area in getattr(rules, "substations_id_by_area", {}).values()]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.parity", description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="l2rpn_case14_sandbox", help="name of an environment that grid2op ships")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--policy", choices=POLICIES, default="random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--simulate", type=int, default=0, metavar="N", help="compare what-if answers on N states")
    parser.add_argument("--limits", type=float, default=1.0, metavar="RATIO", help="scale thermal limits: lines trip")
    asked = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tally = LockStep(asked.case, asked.limits).run(asked.policy, asked.steps, asked.simulate, asked.seed)
    print(f"case={asked.case} policy={asked.policy} seed={asked.seed}\n{tally}")
    return 1 if tally.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
