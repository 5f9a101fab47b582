"""What a step cost: per-zone costs and the totals of an episode, as the numbers that infos show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.rules import Ruling
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
    """(n_zone, n_key, n_env) float64 by ``ZONE_KEYS``, and the totals with this step. Rows that were over cost nothing."""
    zones, grid = system.zones, system.grid
    sums = np.stack(totals)
    lost = before.running & (after.outcome > Outcome.TIME_LIMIT)
    unserved = np.zeros(ruling.reason.shape)
    for env in np.flatnonzero(lost):
        unserved[env] = unserved_mwh(system, series, after.scenario[env], after.t[env], after.t_end[env])
    figures = _account(
        before.outcome,
        after.outcome,
        ruling.reason,
        after.rho,
        after.topology.topo_vect,
        grid.line_or_pos_topo_vect,
        zones.line_or,
        zones.line_ex,
        unserved,
        after.t - after.t_start,
        after.t_end - after.t_start,
        after.attack.starts,
        sums,
    )
    return figures, Totals(*sums)


def unserved_mwh(system: System, series: TimeSeries, scenario: int, t: int, t_end: int) -> np.ndarray:
    """(n_zone,) MWh of load that rows ``t`` to ``t_end`` ask for: what a blackout at t leaves unserved."""
    rows = np.arange(t, t_end + 1)
    load = series.at(np.full(len(rows), scenario), rows).load_p.sum(axis=0, dtype=np.float64)
    return np.bincount(system.zones.load, load, system.n_zone) * system.delta_time / 60.0


def infos(
    agents: tuple[str, ...], figures: np.ndarray, ruling: Ruling, state: State, opponent: str | None
) -> dict[str, dict[str, np.ndarray]]:
    """Agent -> key -> (n_env,)."""
    found = {agent: dict(zip(ZONE_KEYS, rows, strict=True)) for agent, rows in zip(agents, figures, strict=True)}
    if opponent is not None:
        shared = figures[0, 6:10]
        found[opponent] = dict(
            zip(OPPONENT_KEYS, [ruling.attack_refused.astype(np.float64), state.attack.budget, *shared], strict=True)
        )
    return found


@njit(cache=True)
def _account(  # pragma: no cover
    was, outcome, reason, rho, topo_vect, line_pos, line_or, line_ex, unserved, steps, length, starts, totals
):
    n_env, n_zone = reason.shape
    figures = np.zeros((n_zone, 13, n_env))
    for e in range(n_env):
        running = was[e] == 0
        survived = steps[e] - (1 if outcome[e] > 1 else 0)
        for l in range(rho.shape[1]) if running else range(0):
            for end in range(2):
                z = line_or[l] if end == 0 else line_ex[l]
                if end == 1 and line_or[l] == line_ex[l]:
                    continue
                figures[z, 2, e] += max(0.0, rho[e, l] - 1.0)
                figures[z, 3, e] += topo_vect[e, line_pos[l]] < 0
                figures[z, 5, e] = max(figures[z, 5, e], rho[e, l])
        for z in range(n_zone):
            figure = figures[z, :, e]
            if running:
                figure[0] = reason[e, z] != 0
                figure[1] = reason[e, z]
                figure[4] = unserved[e, z]
            figure[6] = survived
            figure[7] = survived / max(length[e], 1)
            figure[8] = outcome[e]
            figure[9] = starts[e]
            totals[0, e, z] += figure[0]
            totals[1, e, z] += figure[2]
            totals[2, e, z] += figure[4]
            figure[10:13] = totals[:, e, z]
    return figures
