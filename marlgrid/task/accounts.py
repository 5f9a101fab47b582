"""What a step cost: per-zone costs and the totals of an episode, as the numbers that infos show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State

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


class Totals(NamedTuple):
    """Sums over an episode, (n_env, n_zone) float64."""

    illegal: np.ndarray
    overload: np.ndarray
    unserved_mwh: np.ndarray


def zero_totals(n_env: int, n_zone: int) -> Totals:
    """Totals at the start."""
    return Totals(*(np.zeros((n_env, n_zone)) for _ in Totals._fields))


def account(
    system: System, series: TimeSeries, before: State, ruling: Ruling, after: State, totals: Totals
) -> tuple[np.ndarray, Totals]:
    """(n_zone, n_key, n_env) float64 by ``ZONE_KEYS``, and the totals with this step. Ended rows cost nothing."""
    unserved = np.zeros(ruling.reason.shape)
    if _any_newly_lost(before.outcome, after.outcome):
        for env in np.flatnonzero(before.running & after.lost):
            unserved[env] = unserved_mwh(system, series, after.scenario[env], after.t[env], after.t_end[env])
    return _figures(system, before.outcome, after, ruling.reason, unserved, totals, counted=True)


def glance(system: System, state: State, totals: Totals) -> np.ndarray:
    """The figures of ``account`` for a state that no step led to: nothing is added to the totals."""
    nothing = np.zeros((state.n_env, system.n_zone))
    return _figures(system, state.outcome, state, nothing.astype(np.int8), nothing, totals, counted=False)[0]


def _figures(
    system: System,
    was: np.ndarray,
    state: State,
    reason: np.ndarray,
    unserved: np.ndarray,
    totals: Totals,
    counted: bool,
) -> tuple[np.ndarray, Totals]:
    figures, *sums = _account(
        was,
        state.outcome,
        reason,
        state.rho,
        state.topology.topo_vect,
        system.grid.line_or_pos_topo_vect,
        system.zones.line_or,
        system.zones.line_ex,
        unserved,
        state.t_start,
        state.t,
        state.t_end,
        state.attack.starts,
        counted,
        *totals,
    )
    return figures, Totals(*sums)


def unserved_mwh(system: System, series: TimeSeries, scenario: int, t: int, t_end: int) -> np.ndarray:
    """(n_zone,) MWh of load that rows ``t`` to ``t_end`` ask for: what a blackout at t leaves unserved."""
    rows = np.arange(t, t_end + 1)
    load = series.at(np.full(len(rows), scenario), rows).load_p.sum(axis=0, dtype=np.float64)
    return np.bincount(system.zones.load, load, system.n_zone) * system.delta_time / 60.0


def infos(
    agents: tuple[str, ...], figures: np.ndarray, attack_refused: np.ndarray, state: State, opponent: str | None
) -> dict[str, dict[str, np.ndarray]]:
    """Agent -> key -> (n_env,)."""
    found = {agent: dict(zip(ZONE_KEYS, rows, strict=True)) for agent, rows in zip(agents, figures, strict=True)}
    if opponent is not None:
        shared = figures[0, 6:10]
        found[opponent] = dict(
            zip(OPPONENT_KEYS, [attack_refused.astype(np.float64), state.attack.budget, *shared], strict=True)
        )
    return found


@njit(cache=True)
def _any_newly_lost(was, outcome):  # pragma: no cover
    lost = False
    for e in range(len(was)):
        lost = lost or (was[e] == 0 and outcome[e] > 1)
    return lost


@njit(cache=True)
def _lines(e, rho, topo_vect, line_pos, line_or, line_ex, figures):  # pragma: no cover
    """Overload, lines out and largest rho of each zone; a tie line counts in both of its zones."""
    for l in range(rho.shape[1]):
        for end in range(2):
            z = line_or[l] if end == 0 else line_ex[l]
            if end == 1 and line_or[l] == line_ex[l]:
                continue
            figures[z, 2, e] += max(0.0, rho[e, l] - 1.0)
            figures[z, 3, e] += topo_vect[e, line_pos[l]] < 0
            figures[z, 5, e] = max(figures[z, 5, e], rho[e, l])


@njit(cache=True)
def _account(  # pragma: no cover
    was,
    outcome,
    reason,
    rho,
    topo_vect,
    line_pos,
    line_or,
    line_ex,
    unserved,
    t_start,
    t,
    t_end,
    starts,
    counted,
    *totals,
):
    n_env, n_zone = reason.shape
    figures = np.zeros((n_zone, 13, n_env))
    illegal, overload, lost_mwh = totals[0].copy(), totals[1].copy(), totals[2].copy()
    for e in range(n_env):
        running = was[e] == 0
        survived = t[e] - t_start[e] - (outcome[e] > 1)
        if running:
            _lines(e, rho, topo_vect, line_pos, line_or, line_ex, figures)
        for z in range(n_zone):
            if running:
                figures[z, 0, e] = reason[e, z] != 0
                figures[z, 1, e] = reason[e, z]
                figures[z, 4, e] = unserved[e, z]
            if counted:
                illegal[e, z] += figures[z, 0, e]
                overload[e, z] += figures[z, 2, e]
                lost_mwh[e, z] += figures[z, 4, e]
            figures[z, 6, e] = survived
            figures[z, 7, e] = survived / max(t_end[e] - t_start[e], 1)
            figures[z, 8, e] = outcome[e]
            figures[z, 9, e] = starts[e]
            figures[z, 10, e] = illegal[e, z]
            figures[z, 11, e] = overload[e, z]
            figures[z, 12, e] = lost_mwh[e, z]
    return figures, illegal, overload, lost_mwh
