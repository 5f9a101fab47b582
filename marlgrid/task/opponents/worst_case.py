"""An attacker that looks before it strikes: it plays every attack it may start, and starts the worst."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import Attack, do_nothing, no_attack
from marlgrid.simulation.rules import attack_allowed
from marlgrid.simulation.state import State, put, take
from marlgrid.simulation.step import advance

LOST = 1e6
"""A harm above that of any loading."""


@dataclass(frozen=True)
class WorstCaseOpponent:
    """At each opportunity starts the attack with the worst outcome: a lost grid first (the sooner the worse), then the
    highest loading reached.

    Every line that may be attacked is tried, all in one batch of full steps (rules, dispatch, power flow, cascade)
    in which the zones do nothing, on the forecast that the zones see: exact for what one step would bring if
    the forecast came true, and a guess beyond. Of equals, the first line in the grid's order. Made by name, or
    bound to a task; without either it raises RuntimeError.
    """

    horizon: int = 1
    """Steps played ahead; beyond the forecasts of the series the last one holds, and without any the present."""
    duration: int | None = None
    """Steps of an attack; None for the longest allowed."""
    series: TimeSeries | None = None
    solver: PowerFlow | None = None

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ValueError(f"horizon is {self.horizon} steps, give at least 1")

    def bind(self, series: TimeSeries, solver: PowerFlow) -> WorstCaseOpponent:
        """The same attacker on a task's time series and power flow."""
        return replace(self, series=series, solver=solver)

    def reset(self, system: System, state: State) -> tuple[()]:  # noqa: ARG002
        return ()

    def attack(self, system: System, state: State, memory: tuple[()]) -> tuple[Attack, tuple[()]]:
        chosen = no_attack(state.n_env, system.grid.n_line)
        duration = np.full(state.n_env, self.duration or system.attack.max_duration, dtype=np.int32)
        allowed = attack_allowed(system, state, duration) & state.running[:, None]
        rows, lines = np.nonzero(allowed)
        if len(rows):
            harm = self.harm(system, state, rows, lines, duration[rows])
            order = np.lexsort((lines, -harm, rows))  # worst first within each environment
            first = order[np.unique(rows[order], return_index=True)[1]]
            chosen.duration[rows[first], lines[first]] = duration[rows[first]]
        return chosen, memory

    def harm(
        self, system: System, state: State, rows: np.ndarray, lines: np.ndarray, duration: np.ndarray
    ) -> np.ndarray:
        """(n,) how bad an attack of ``duration[i]`` steps on line ``lines[i]`` in environment ``rows[i]`` would be.

        The highest loading of any line in the steps played ahead; above that of any survivor where the grid is lost.
        """
        if self.series is None or self.solver is None:
            raise RuntimeError("the worst-case attacker needs a task's series and power flow: call bind first")
        played = take(state, rows)
        attack = no_attack(len(rows), system.grid.n_line)
        attack.duration[np.arange(len(rows)), lines] = duration
        harm = np.zeros(len(rows))
        lost_at = np.full(len(rows), self.horizon + 1)
        for ahead in range(1, self.horizon + 1):
            alive = np.flatnonzero(played.running)
            if len(alive) == 0:
                break
            part, now = take(played, alive), take(state, rows[alive])
            known = min(ahead, self.series.n_horizon)
            expected = self.series.forecast(now.scenario, now.t, known) if known else now.injections
            nothing = do_nothing(len(alive), system.n_zone)
            part, _ = advance(system, self.solver, part, expected, nothing, Attack(attack.duration[alive]))
            attack = no_attack(len(rows), system.grid.n_line)
            played = put(played, alive, part)
            lost_at[alive[part.lost]] = ahead
            harm[alive] = np.where(part.lost, harm[alive], np.maximum(harm[alive], part.rho.max(axis=1)))
        return np.where(lost_at <= self.horizon, LOST + self.horizon - lost_at, harm)
