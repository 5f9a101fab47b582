"""What stands for the rest of the grid in the eyes of somebody who sees only a part of it.

A static Ward equivalent (J. B. Ward, "Equivalent circuits for power-flow studies", 1949): the lines out of sight are
reduced to lines between the far ends of those that leave, as if all were in service and every substation there on one
busbar; what crosses the border now is what the rest goes on exchanging. It takes the grid's data sheet and what is
measured on this side, nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.powerflow.flows import branch_admittances
from marlgrid.simulation.state import State
from marlgrid.task.patch import Patch

WEAKEST = 1e-6
"""Admittance, per unit, below which an equivalent line is left out."""
NO_LIMIT = 1e9
"""Thermal limit of equivalent lines, A."""


class Exchange(NamedTuple):
    """What is concluded of the far ends of the lines that leave, (n_env, n_border) each."""

    voltage: np.ndarray
    """Complex per unit."""
    p_mw: np.ndarray
    """Active power that the rest of the grid gives there."""


def reduced(grid: Grid, patch: Patch) -> np.ndarray:
    """(n_border, n_border) complex admittance matrix, per unit, of the lines out of sight between the substations of
    the border (``patch.beyond``). Off-nominal ratios, phase shifts and shunts are passed over."""
    border = patch.sub[patch.beyond]
    unseen = np.setdiff1d(np.arange(grid.n_line), patch.line)
    rest = np.setdiff1d(np.arange(grid.n_sub), patch.sub)
    order = np.concatenate([border, rest])
    number = np.full(grid.n_sub, -1)
    number[order] = np.arange(len(order))
    begin, end = number[grid.line_or_to_subid[unseen]], number[grid.line_ex_to_subid[unseen]]
    series = 1.0 / (grid.line_r_pu[unseen] + 1j * grid.line_x_pu[unseen])
    matrix = np.zeros((len(order), len(order)), dtype=complex)
    np.add.at(matrix, (begin, begin), series)
    np.add.at(matrix, (end, end), series)
    np.add.at(matrix, (begin, end), -series)
    np.add.at(matrix, (end, begin), -series)
    n = len(border)
    # a part of the rest that touches no border has a singular block and no influence
    return matrix[:n, :n] - matrix[:n, n:] @ np.linalg.pinv(matrix[n:, n:]) @ matrix[n:, :n]


def completed(system: System, patch: Patch, admittance: np.ndarray) -> Grid:
    """The grid of the patch with equivalent lines, and at each border substation a generator and a load.

    The generators can do together what the redispatchable ones out of sight can: half of what they have is in use and
    the load takes that up again, so that only the difference counts.
    """
    own, whole, at = patch.system.grid, system.grid, np.flatnonzero(patch.beyond).astype(np.int32)
    if len(at) == 0:
        return own
    begin, end = np.nonzero(np.triu(np.abs(admittance) > WEAKEST, 1))
    impedance = -1.0 / admittance[begin, end]
    n_line, n = len(begin), len(at)
    away = np.setdiff1d(np.arange(whole.n_gen), patch.gen)
    able = away[whole.gen_redispatchable[away]]
    slack = np.zeros(n, dtype=bool)
    slack[0] = not own.gen_slack.any()
    cells = np.zeros(n_line, dtype=complex), np.zeros(n)
    added: dict[str, Any] = {
        "name_line": tuple(f"equivalent_{i}" for i in range(n_line)),
        "line_or_to_subid": at[begin], "line_ex_to_subid": at[end], "line_is_trafo": np.zeros(n_line, dtype=bool),
        "line_r_pu": impedance.real, "line_x_pu": impedance.imag, "line_y_or_pu": cells[0], "line_y_ex_pu": cells[0],
        "line_ratio": np.ones(n_line), "line_shift_deg": np.zeros(n_line), "thermal_limit": np.full(n_line, NO_LIMIT),
        "name_gen": tuple(f"rest_{own.name_sub[s]}" for s in at), "gen_to_subid": at, "gen_type": ("thermal",) * n,
        "gen_pmin": cells[1], "gen_pmax": np.full(n, whole.gen_pmax[able].sum() / n + 1.0),
        "gen_max_ramp_up": np.full(n, whole.gen_max_ramp_up[able].sum() / n),
        "gen_max_ramp_down": np.full(n, whole.gen_max_ramp_down[able].sum() / n),
        "gen_min_uptime": np.zeros(n, dtype=np.int32), "gen_min_downtime": np.zeros(n, dtype=np.int32),
        "gen_cost_per_mw": cells[1], "gen_startup_cost": cells[1], "gen_shutdown_cost": cells[1], "gen_slack": slack,
        "gen_regulates_voltage": np.ones(n, dtype=bool), "gen_p_mw": cells[1], "gen_q_mvar": cells[1],
        "gen_v_kv": own.sub_vn_kv[at],
        "name_load": tuple(f"rest_{own.name_sub[s]}" for s in at), "load_to_subid": at, "load_p_mw": cells[1],
        "load_q_mvar": cells[1],
    }  # fmt: skip
    if own.gen_q_range_mvar is not None:
        added["gen_q_range_mvar"] = np.ones(n)
    joined = {name: _joined(getattr(own, name), more) for name, more in added.items()}
    return replace(own, **joined, initial_topo_vect=None)


def exchange(grid: Grid, patch: Patch, admittance: np.ndarray, state: State) -> Exchange:
    """What the border looks like from this side: ``state`` is read at the near ends of the lines that leave.

    Where all lines to a border substation are out, it is taken to exchange nothing.
    """
    n_env, border = state.n_env, patch.sub[patch.beyond]
    place = np.full(grid.n_sub, -1)
    place[border] = np.arange(len(border))
    volts, power = np.zeros((n_env, len(border)), dtype=complex), np.zeros((n_env, len(border)))
    ties = np.zeros((n_env, len(border)))
    y_ff, y_ft, y_tf, y_tt = branch_admittances(grid)
    ends = {
        "ex": ("or", grid.line_ex_to_subid, grid.line_or_to_subid, y_ff, y_ft, y_tf, y_tt),
        "or": ("ex", grid.line_or_to_subid, grid.line_ex_to_subid, y_tt, y_tf, y_ft, y_ff),
    }
    for far, (near, far_sub, near_sub, own, cross, back, other) in ends.items():
        line = patch.line[patch.unseen[far]]
        p, q, v, theta = (getattr(state.flow, f"{name}_{near}")[:, line] for name in ("p", "q", "v", "theta"))
        here = v / grid.sub_vn_kv[near_sub[line]] * np.exp(1j * np.deg2rad(theta))
        alive = v > 0
        inflow = np.conj((p + 1j * q) / grid.sn_mva / np.where(alive, here, 1.0))
        there = np.where(alive, (inflow - own[line] * here) / cross[line], 0.0)
        leaving = there * np.conj(back[line] * here + other[line] * there)
        column = place[far_sub[line]]
        np.add.at(volts, (slice(None), column), there)
        np.add.at(power, (slice(None), column), np.where(alive, leaving.real * grid.sn_mva, 0.0))
        np.add.at(ties, (slice(None), column), alive)
    volts = _spread(admittance, volts / np.maximum(ties, 1), ties > 0)
    current = volts @ admittance.T
    return Exchange(volts, power + (volts * np.conj(current)).real * grid.sn_mva)


def _spread(admittance: np.ndarray, voltage: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Voltages (n_env, n_border) with those not known set so that no current flows into them; 1 if none is known."""
    voltage = voltage.copy()
    for pattern in np.unique(known, axis=0):
        rows = np.flatnonzero((known == pattern).all(axis=1))
        if pattern.all():
            continue
        lost, held = np.flatnonzero(~pattern), np.flatnonzero(pattern)
        found = -np.linalg.pinv(admittance[np.ix_(lost, lost)]) @ admittance[np.ix_(lost, held)]
        guess = voltage[np.ix_(rows, held)] @ found.T
        voltage[np.ix_(rows, lost)] = np.where(np.abs(guess) > 0.5, guess, 1.0)
    return voltage


def _joined(own: Any, more: Any) -> Any:
    if isinstance(own, tuple):
        return own + tuple(more)
    return np.concatenate([own, more]).astype(own.dtype)
