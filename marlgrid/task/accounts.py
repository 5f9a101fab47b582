"""What a step cost: per-zone costs and the totals of an episode, as the numbers that infos show."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from marlgrid.compiled import kernel, rule
from marlgrid.model.system import System
from marlgrid.model.tables import view_tables
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.frame import FramedState, framed, view_frame
from marlgrid.simulation.state import Outcome, State

ZONE_KEYS = (
    "illegal",
    "reason",
    "cost_overload",
    "cost_disconnected",
    "cost_unserved_mwh",
    "max_rho",
    "survived_steps",
    "survival",
    "outcome",
    "attacks_total",
    "illegal_total",
    "overload_total",
    "unserved_mwh_total",
)
"""Infos of a zone, all float64: whether its action was refused and why (``Reason``); of its lines (ties included) the
summed ``max(0, rho - 1)``, the number that is out, the largest rho; at a blackout the MWh of load that it does not get
from then to the episode's end; steps survived, also as a part of the episode; ``Outcome``; sums over the episode."""

OPPONENT_KEYS = ("illegal", "budget", "survived_steps", "survival", "outcome", "attacks_total")
"""Infos of the opponent: whether its attack was refused, its budget in line-steps, and the episode's figures."""


def zero_totals(n_env: int, n_zone: int) -> np.ndarray:
    """(n_env, 3, n_zone) sums over an episode at its start: refused actions, overload, unserved MWh."""
    return np.zeros((n_env, 3, n_zone))


class Figures(NamedTuple):
    """What the infos show."""

    zones: tuple[str, ...]
    of_zones: np.ndarray
    """(n_zone, n_key, n_env) float64 by ``ZONE_KEYS``."""
    of_opponent: np.ndarray
    """(n_key, n_env) float64 by ``OPPONENT_KEYS``."""
    opponent: str | None
    """Name of the opponent, where it is an agent."""

    def infos(self) -> dict[str, dict[str, np.ndarray]]:
        """Agent -> key -> (n_env,)."""
        rows = zip(self.zones, self.of_zones, strict=True)
        found = {agent: dict(zip(ZONE_KEYS, row, strict=True)) for agent, row in rows}
        if self.opponent is not None:
            found[self.opponent] = dict(zip(OPPONENT_KEYS, self.of_opponent, strict=True))
        return found

    def infos_of(self, env: int) -> dict[str, dict[str, Any]]:
        """Agent -> key -> float, of one environment."""
        rows = zip(self.zones, self.of_zones[:, :, env].tolist(), strict=True)
        found = {agent: dict(zip(ZONE_KEYS, row, strict=True)) for agent, row in rows}
        if self.opponent is not None:
            found[self.opponent] = dict(zip(OPPONENT_KEYS, self.of_opponent[:, env].tolist(), strict=True))
        return found


def account(
    system: System, series: TimeSeries, after: FramedState, totals: np.ndarray, opponent: str | None
) -> tuple[Figures, np.ndarray]:
    """The figures of the step that led to ``after``, and the totals with it. Ended rows cost nothing."""
    memory = after.memory
    unserved = np.zeros((memory.n_env, system.n_zone))
    if _any_newly_lost(memory.frame.ran, after.outcome):
        for env in np.flatnonzero(memory.frame.ran & after.lost):
            unserved[env] = unserved_mwh(system, series, after.scenario[env], after.t[env], after.t_end[env])
    return _figures(system, after, unserved, True, totals, opponent)


def glance(system: System, state: State, totals: np.ndarray, opponent: str | None) -> Figures:
    """The figures of ``account`` for a state that no step led to: nothing is added to the totals."""
    nothing = np.zeros((state.n_env, system.n_zone))
    return _figures(system, framed(system, state), nothing, False, totals, opponent)[0]


def _figures(
    system: System, state: FramedState, unserved: np.ndarray, counted: bool, totals: np.ndarray, opponent: str | None
) -> tuple[Figures, np.ndarray]:
    n_env, n_zone = unserved.shape
    of_zones, of_opponent = np.zeros((n_zone, len(ZONE_KEYS), n_env)), np.zeros((len(OPPONENT_KEYS), n_env))
    totals = totals.copy()
    _account(system.block, state.memory.block, unserved, counted, totals, of_zones, of_opponent)
    return Figures(system.zones.agents, of_zones, of_opponent, opponent), totals


def unserved_mwh(system: System, series: TimeSeries, scenario: int, t: int, t_end: int) -> np.ndarray:
    """(n_zone,) MWh of load that rows ``t`` to ``t_end`` ask for: what a blackout at t leaves unserved."""
    rows = np.arange(t, t_end + 1)
    load = series.at(np.full(len(rows), scenario), rows).load_p.sum(axis=0, dtype=np.float64)
    return np.bincount(system.zones.load, load, system.n_zone) * system.delta_time / 60.0


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _any_newly_lost(ran, outcome):  # pragma: no cover
    lost = False
    for e in range(len(ran)):
        lost = lost or (ran[e] and outcome[e] > Outcome.TIME_LIMIT)
    return lost


@rule
def _lines(e, rho, topo_vect, lines, figures):  # pragma: no cover
    """Overload, lines out and largest rho of each zone; a tie line counts in both of its zones."""
    for l in range(len(lines)):
        line = lines[l]
        for end in range(2):
            z = line.or_zone if end == 0 else line.ex_zone
            if end == 1 and line.or_zone == line.ex_zone:
                continue
            figures[z, 2, e] += max(0.0, rho[e, l] - 1.0)
            figures[z, 3, e] += topo_vect[e, line.or_pos] < 0
            figures[z, 5, e] = max(figures[z, 5, e], rho[e, l])


@kernel
def _account(system, block, unserved, counted, totals, figures, of_opponent):  # pragma: no cover
    frame, lines = view_frame(block), view_tables(system).line
    state, reason = frame.state, frame.ruling.reason
    n_env, n_zone = unserved.shape
    for e in range(n_env):
        outcome, span = state.outcome[e], state.t_end[e] - state.t_start[e]
        survived = state.t[e] - state.t_start[e] - (outcome > Outcome.TIME_LIMIT)
        running = frame.ran[e] if counted else outcome == Outcome.RUNNING
        if running:
            _lines(e, state.rho, state.topology.topo_vect, lines, figures)
        of_opponent[0, e] = counted and frame.ruling.attack_refused[e]
        of_opponent[1, e] = state.attack.budget[e]
        of_opponent[2, e] = survived
        of_opponent[3, e] = survived / max(span, 1)
        of_opponent[4, e] = outcome
        of_opponent[5, e] = state.attack.starts[e]
        for z in range(n_zone):
            if counted and running:
                figures[z, 0, e] = reason[e, z] != 0
                figures[z, 1, e] = reason[e, z]
                figures[z, 4, e] = unserved[e, z]
            if counted:
                totals[e, 0, z] += figures[z, 0, e]
                totals[e, 1, z] += figures[z, 2, e]
                totals[e, 2, z] += figures[z, 4, e]
            figures[z, 6, e] = survived
            figures[z, 7, e] = survived / max(span, 1)
            figures[z, 8, e] = outcome
            figures[z, 9, e] = state.attack.starts[e]
            for k in range(3):
                figures[z, 10 + k, e] = totals[e, k, z]
