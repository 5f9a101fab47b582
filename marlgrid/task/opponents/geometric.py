"""Attackers whose waiting times and durations follow geometric laws: one on the whole grid, or one per area."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marlgrid import seeding
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack, no_attack
from marlgrid.simulation.rules import attack_allowed
from marlgrid.simulation.state import State
from marlgrid.task.opponents.base import STREAM_DURATION, STREAM_LINE, STREAM_WAIT, drawn_line, geometric


class Plan(NamedTuple):
    """Memory of the attackers below, by area (one for ``GeometricOpponent``)."""

    wait: np.ndarray
    """(n_env, n_area) int32 steps until the next attack is due; it stays 0 while the rules do not allow it."""
    duration: np.ndarray
    """(n_env, n_area) int32 steps that attack will last."""


@dataclass(frozen=True)
class GeometricOpponent:
    """Waits and strikes for times drawn from geometric laws (Grid2Op's GeometricOpponent).

    The time from the end of an attack to the next is geometric with mean ``every_hours - average_hours``; a duration
    is ``minimum_hours`` plus a geometric time with mean ``average_hours - minimum_hours``. Lines are ranked by rho; the
    most loaded is ``pmax_pmin_ratio`` times as likely as the least. An attack drawn longer than the rules allow does
    not take place, and the time it would have taken passes (as in Grid2Op). Raises ValueError unless every > average >
    minimum >= 0 and the ratio is at least 1.
    """

    every_hours: float = 24.0
    average_hours: float = 4.0
    minimum_hours: float = 2.0
    pmax_pmin_ratio: float = 4.0

    def __post_init__(self) -> None:
        if not self.every_hours > self.average_hours > self.minimum_hours >= 0:
            raise ValueError(
                f"every_hours ({self.every_hours}) must exceed average_hours ({self.average_hours}), and that "
                f"minimum_hours ({self.minimum_hours})"
            )
        if not self.pmax_pmin_ratio >= 1:
            raise ValueError(f"pmax_pmin_ratio is {self.pmax_pmin_ratio}, give at least 1")

    def reset(self, system: System, state: State) -> Plan:
        return self._plan(system, state, len(self._areas(system)))

    def attack(self, system: System, state: State, memory: Plan) -> tuple[Attack, Plan]:
        return self._attack(system, state, memory, memory.wait == 0)

    def attack_among(self, system: System, state: State, memory: Plan, mine: np.ndarray) -> tuple[Attack, Plan]:
        return self._attack(system, state, memory, (memory.wait == 0) & mine[:, None])

    def _attack(self, system: System, state: State, memory: Plan, due: np.ndarray) -> tuple[Attack, Plan]:
        """Area after area: the budget of a step must cover all that start in it."""
        waiting = memory._replace(wait=np.maximum(memory.wait - 1, 0))
        if not due.any():
            return no_attack(state.n_env, system.grid.n_line), waiting
        areas = self._areas(system)
        draws = seeding.uniform(state.seed, state.t, STREAM_LINE, len(areas))
        durations = np.zeros(state.rho.shape, dtype=np.int32)
        done = due & (memory.duration > system.attack.max_duration)
        for area, lines in enumerate(areas):
            needed = (durations.sum(axis=1) + memory.duration[:, area]).astype(np.int32)
            allowed = attack_allowed(system, state, needed) & lines & (due & ~done)[:, area, None]
            line = drawn_line(self._preference(state.rho, allowed), draws[:, area])
            rows = np.flatnonzero(line >= 0)
            durations[rows, line[rows]] = memory.duration[rows, area]
            done[rows, area] = True
        following = self._plan(system, state, len(areas))
        wait = np.where(done, memory.duration + following.wait - 1, waiting.wait)  # this step counts
        duration = np.where(done, following.duration, memory.duration)
        return Attack(durations), Plan(wait.astype(np.int32), duration.astype(np.int32))

    def _areas(self, system: System) -> np.ndarray:
        """(n_area, n_line) bool."""
        return system.attackable[None, :]

    def _plan(self, system: System, state: State, n_area: int) -> Plan:
        per_hour = 60.0 / system.delta_time
        wait = geometric(state, STREAM_WAIT, (self.every_hours - self.average_hours) * per_hour, n_area)
        extra = geometric(state, STREAM_DURATION, (self.average_hours - self.minimum_hours) * per_hour, n_area)
        return Plan(wait.astype(np.int32), (int(self.minimum_hours * per_hour) + extra).astype(np.int32))

    def _preference(self, rho: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """(n_env, n_line) weights, exponential in the rank by rho among the lines that may be attacked."""
        rank = np.argsort(np.argsort(np.where(allowed, rho, np.inf), axis=1, kind="stable"), axis=1)
        others = np.maximum(allowed.sum(axis=1) - 1, 1)
        return np.where(allowed, np.exp(math.log(self.pmax_pmin_ratio) * rank / others[:, None]), 0.0)


@dataclass(frozen=True)
class MultiAreaOpponent(GeometricOpponent):
    """A ``GeometricOpponent`` per area, each on the lines of its own (Grid2Op's GeometricOpponentMultiArea).

    Areas strike independently, in the same step too, unless the rules' cooldown (between any two attacks) or budget
    holds them back. As in Grid2Op an attack lasts one step longer than drawn; unlike there it is known for how long, so
    it is cut at the longest duration allowed. Raises ValueError for areas that do not fit the attackable lines.
    """

    every_hours: float = 32.0
    average_hours: float = 2.0
    minimum_hours: float = 1.0
    areas: tuple[tuple[str, ...], ...] = ()
    """Names of lines by area; empty: one area per zone, a tie line in the zone of its origin."""

    def _areas(self, system: System) -> np.ndarray:
        if not self.areas:
            origin = np.asarray(system.zones.line_or)
            return system.attackable & (origin == np.arange(system.n_zone)[:, None])
        names = [name for area in self.areas for name in area]
        wrong = sorted({name for name in names if name not in system.attack.lines or names.count(name) > 1})
        if wrong:
            raise ValueError(
                f"areas: {wrong} are not attackable or listed more than once; the attackable lines are "
                f"{list(system.attack.lines)}"
            )
        return np.array([np.isin(system.grid.name_line, area) for area in self.areas])

    def _plan(self, system: System, state: State, n_area: int) -> Plan:
        wait, duration = super()._plan(system, state, n_area)
        return Plan(wait, np.minimum(duration + 1, system.attack.max_duration))
