"""An attacker that looks before it strikes: it plays every attack it may start, and starts the worst."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import Action, Attack, do_nothing, no_attack
from marlgrid.simulation.state import State, put, take
from marlgrid.simulation.step import advance
from marlgrid.task.attack_actions import attack_actions

LOST = 1e6
"""A harm above that of any loading."""


@dataclass(frozen=True)
class WorstCaseOpponent:
    """At each opportunity starts the attack with the worst outcome: a lost grid first (the sooner the worse), then the
    highest loading reached.

    Every line that may be attacked is tried, and every busbar configuration of the substations that may be, all in one
    batch of full steps (rules, dispatch, power flow, cascade) in which the zones do nothing, on the forecast that the
    zones see: exact for what one step would bring if the forecast came true, and a guess beyond. Of equals, the first
    in the order of the opponent agent's actions is taken. The task that uses it binds it to its series and power flow.
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
        actions = attack_actions(system)
        duration = np.full(state.n_env, self.duration or system.attack.max_duration, dtype=np.int32)
        allowed = (actions.mask(state, duration)[:, 1:] > 0) & state.running[:, None]
        rows, options = np.nonzero(allowed)
        if len(rows) == 0:
            return no_attack(state.n_env, system.grid.n_line), memory
        harm = self.harm(system, state, rows, actions.attack(options + 1, duration[rows]))
        order = np.lexsort((options, -harm, rows))  # worst first within each environment
        first = order[np.unique(rows[order], return_index=True)[1]]
        chosen = np.zeros(state.n_env, dtype=np.int64)
        chosen[rows[first]] = options[first] + 1
        return actions.attack(chosen, duration), memory

    def answers(self, system: System, state: State) -> Action:
        """What the zones do meanwhile: nothing."""
        return do_nothing(state.n_env, system.n_zone)

    def harm(self, system: System, state: State, rows: np.ndarray, attack: Attack) -> np.ndarray:
        """(n,) how bad the i-th of ``attack`` would be, started in environment ``rows[i]``.

        The highest loading of any line in the steps played ahead; above that of any survivor where the grid is lost.
        """
        if self.series is None or self.solver is None:
            raise RuntimeError("the worst-case attacker needs a task's series and power flow: call bind first")
        played = take(state, rows)
        harm = np.zeros(len(rows))
        lost_at = np.full(len(rows), self.horizon + 1)
        for ahead in range(1, self.horizon + 1):
            alive = np.flatnonzero(played.running)
            if len(alive) == 0:
                break
            part, now = take(played, alive), take(state, rows[alive])
            known = min(ahead, self.series.n_horizon)
            expected = self.series.forecast(now.scenario, now.t, known) if known else now.injections
            part, _ = advance(system, self.solver, part, expected, self.answers(system, part), attack.rows(alive))
            attack = no_attack(len(rows), system.grid.n_line)
            played = put(played, alive, part)
            lost_at[alive[part.lost]] = ahead
            harm[alive] = np.where(part.lost, harm[alive], np.maximum(harm[alive], part.rho.max(axis=1)))
        return np.where(lost_at <= self.horizon, LOST + self.horizon - lost_at, harm)
