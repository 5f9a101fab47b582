"""Plays the same actions on the same data in Grid2Op and in marlgrid, step by step, and says where they first differ.

``python -m experiments.parity --case l2rpn_case14_sandbox --steps 2000 --policy random``

Grid2Op's attacks and outages are replayed here. Integers and booleans must be equal, flows, voltages and angles agree
to 1e-3 (they are single precision there), the dispatch to 0.05 MW. Needs grid2op and lightsim2grid.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.parity_actions import POLICIES, commands_of, random_keys
from marlgrid.model.datasets.case import load_case
from marlgrid.powerflow import power_flow
from marlgrid.simulation import Attack, Reason
from marlgrid.simulation.action import joint, no_attack
from marlgrid.simulation.state import Outcome, State
from marlgrid.simulation.step import initial, step

EXACT = (
    "topo_vect", "time_before_cooldown_line", "time_before_cooldown_sub", "timestep_overflow",
    "timestep_protection_engaged", "time_next_maintenance", "duration_next_maintenance",
)  # fmt: skip
TOLERANCE_MW = 0.05
"""Dispatch: what the reference's optimiser leaves open."""
TOLERANCE = 1e-3
"""Relative, of everything else."""


def attributes(state: State) -> dict[str, np.ndarray]:
    """Row 0 of the state under the names of Grid2Op's observation."""
    flow, counters, dispatch = state.flow, state.counters, state.dispatch
    told = {name: getattr(flow, name) for name in FLOWS}
    told |= {name: getattr(counters, name) for name in counters._fields}
    told |= {
        "topo_vect": state.topology.topo_vect,
        "rho": state.rho,
        "time_next_maintenance": state.injections.time_next_maintenance,
        "duration_next_maintenance": state.injections.duration_next_maintenance,
        "target_dispatch": dispatch.target,
        "actual_dispatch": dispatch.actual,
        "storage_charge": dispatch.storage_charge,
        "storage_power": dispatch.storage_power,
        "storage_power_target": dispatch.storage_power_target,
        "gen_p_before_curtail": dispatch.p_before_curtail,
        "curtailment_limit": dispatch.curtailment_limit,
        "curtailment_limit_effective": dispatch.curtailment_limit_effective,
    }
    return {name: array[0] for name, array in told.items()}


FLOWS = (
    "p_or", "q_or", "v_or", "a_or", "theta_or", "p_ex", "q_ex", "v_ex", "a_ex", "theta_ex",
    "gen_p", "gen_q", "gen_v", "gen_theta", "load_p", "load_q", "load_v", "load_theta", "storage_theta",
)  # fmt: skip


@dataclass
class Tally:
    """What the comparison found."""

    steps: int = 0
    mismatches: list[str] = field(default_factory=list)
    reasons: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    dispatch_gap_mw: float = 0.0

    def __str__(self) -> str:
        return (
            f"verdicts: {dict(self.reasons)}\nends: {dict(self.ends)}\n"
            f"largest dispatch gap: {self.dispatch_gap_mw:.3f} MW\n"
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

    def n_rows(self, scenario: int) -> int:
        return self.series.n_rows(scenario)

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Any:
        time_next, duration, hazard = self.outages
        return self.series.at(scenario, t)._replace(
            time_next_maintenance=time_next, duration_next_maintenance=duration, hazard_duration=hazard
        )


class LockStep:
    """Both worlds, side by side."""

    def __init__(self, case: str, policy: str, seed: int) -> None:
        self.env = grid2op_environment(case)
        rules = {"max_duration": 100_000, "cooldown": 0, "initial_budget": 1e9, "budget_per_step": 1e6}
        self.system, series = load_case(case, zones=1, attack=rules)
        self.series = Replay(series)
        self.solver = power_flow("newton", self.system.grid)
        self.policy, self.rng, self.tally = policy, np.random.default_rng(seed), Tally()
        self.n_scenario = max(split.stop for split in series.splits.values())

    def run(self, n_step: int, progress: bool = True) -> Tally:
        """At least ``n_step`` steps, a new scenario after each game over or mismatch."""
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
            keys = random_keys(self.policy, self.system.grid, self.rng)
            over, differs = self.step(f"scenario {episode % self.n_scenario} step {t + 1}", keys)
            if over or differs:
                return

    def reset(self, episode: int) -> Any:
        """The same scenario in both."""
        scenario = episode % self.n_scenario
        self.env.seed(episode)
        self.env.set_id(scenario)
        observation = self.env.reset()
        self.series.note(observation, self.hazards())
        ours = np.array([scenario]), np.array([0]), np.array([self.series.n_rows(scenario) - 1])
        self.state = initial(self.system, self.solver, self.series, np.array([episode]), *ours)
        return observation

    def hazards(self) -> np.ndarray:
        """Remaining length of each hazard in force."""
        return np.asarray(self.env._hazard_duration, dtype=np.int32)  # noqa: SLF001 (not in the observation)

    def step(self, where: str, keys: dict) -> tuple[bool, bool]:
        """One step of both; whether the episode is over, and whether they differ."""
        action = self.env.action_space(keys)
        observation, _, done, info = self.env.step(action)
        self.series.note(observation if not done else _as_planned(observation, self), self.hazards())
        asked = joint([[commands_of(action)]])
        self.state, ruling = step(self.system, self.solver, self.series, self.state, asked, self.attack(info))
        self.tally.steps += 1
        reason = Reason(int(ruling.reason[0, 0]))
        self.tally.reasons[reason.name] += 1
        outcome = Outcome(int(self.state.outcome[0]))
        where = f"{where}, action {keys}"
        refused = info["is_illegal"] or info["is_ambiguous"] or info["failed_redispatching"]
        problems = []
        if not done and refused != (reason is not Reason.ACCEPTED):
            problems.append(f"refused there {refused} ({_reasons(info)}), here {reason.name}")
        if done != (outcome is not Outcome.RUNNING):
            problems.append(f"over there {done} ({_reasons(info)}), here {outcome.name}")
        if not done and (info["disc_lines"] != self.state.disc_lines[0]).any():
            problems.append(f"trips there {info['disc_lines']}, here {self.state.disc_lines[0]}")
        if done:
            self.tally.ends[outcome.name] += 1
        self.report(where, problems)
        failed = outcome > Outcome.TIME_LIMIT or (done and bool(info["exception"]))
        return done, bool(problems) or (not failed and self.differs(where, observation))

    def attack(self, info: dict) -> Attack:
        """What the opponent there began in this step."""
        nothing = no_attack(1, self.system.grid.n_line)
        struck = info["opponent_attack_line"]
        if struck is None:
            return nothing
        new = np.asarray(struck) & (self.state.attack.remaining[0] == 0)
        return Attack(np.where(new, np.int32(info["opponent_attack_duration"]), np.int32(0))[None])

    def differs(self, where: str, observation: Any) -> bool:
        """Compares every attribute; reports the first difference in words."""
        problems = []
        for name, ours in attributes(self.state).items():
            theirs = np.asarray(getattr(observation, name), dtype=float)
            if theirs.size == 0:
                continue
            gap = np.abs(ours - theirs)
            if name.endswith("dispatch"):
                self.tally.dispatch_gap_mw = max(self.tally.dispatch_gap_mw, float(gap.max()))
            i = int((gap - self.allowed(name, theirs)).argmax())
            if gap[i] > self.allowed(name, theirs)[i]:
                problems.append(f"{name}[{i}] there {theirs[i]:g}, here {ours[i]:g}")
        self.report(where, problems)
        return bool(problems)

    def allowed(self, name: str, theirs: np.ndarray) -> np.ndarray:
        """Largest difference that counts as agreement, element by element."""
        if name in EXACT:
            return np.zeros(theirs.shape)
        # what the dispatch may differ by moves every flow with it
        moved = max(self.tally.dispatch_gap_mw, 1e-3) if name not in ("storage_charge", "curtailment_limit") else 0.0
        return TOLERANCE * np.maximum(np.abs(theirs), 1.0) + (TOLERANCE_MW if name.endswith("dispatch") else 2 * moved)

    def report(self, where: str, problems: list[str]) -> None:
        if problems:
            self.tally.mismatches.append(f"{where}: " + "; ".join(problems))
            tqdm.write(self.tally.mismatches[-1])


def _as_planned(observation: Any, lock_step: LockStep) -> Any:
    """A game-over observation says nothing of outages: they go on as planned."""
    injections = lock_step.state.injections
    planned = injections.time_next_maintenance[0]
    observation.time_next_maintenance = np.where(planned > 0, planned - 1, planned)
    observation.duration_next_maintenance = injections.duration_next_maintenance[0]
    return observation


def _reasons(info: dict) -> str:
    return ", ".join(type(error).__name__ for error in info["exception"]) or "no exception"


def grid2op_environment(case: str) -> Any:
    """Grid2Op's environment with every kind of action and its own opponent."""
    import grid2op
    from grid2op.Action import PlayableAction
    from lightsim2grid import LightSimBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = grid2op.make(case, test=True, backend=LightSimBackend(), action_class=PlayableAction)
    mixes = getattr(env, "mix_envs", None)
    if mixes:
        env = next(iter(mixes.values())) if isinstance(mixes, dict) else mixes[0]
    return env


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.parity", description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="l2rpn_case14_sandbox", help="name of an environment that grid2op ships")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--policy", choices=POLICIES, default="random")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tally = LockStep(asked.case, asked.policy, asked.seed).run(asked.steps)
    print(f"case={asked.case} policy={asked.policy} seed={asked.seed}\n{tally}")
    return 1 if tally.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
