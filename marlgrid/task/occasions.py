"""When there is something to decide: the steps in which a team that leaves calm ones out is asked."""

from __future__ import annotations

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.state import State


def line_waits(system: System, state: State) -> np.ndarray:
    """(n_env,) bool: a line is out that no attack, maintenance or cooldown keeps out, so that it could be put back."""
    out = state.topology.topo_vect[:, system.grid.line_or_pos_topo_vect] < 0
    waits: np.ndarray = (out & (state.counters.time_before_cooldown_line == 0)).any(axis=1)
    return waits


def occasions(system: System, state: State, act_above: float) -> np.ndarray:
    """(n_env,) bool: the highest line loading reaches ``act_above``, or a line waits to be put back."""
    return np.asarray((state.rho.max(axis=1) >= act_above) | line_waits(system, state))
