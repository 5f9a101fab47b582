"""When there is something to decide: the steps in which a team that leaves calm ones out is asked."""

from __future__ import annotations

import math

import numpy as np

from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.simulation.state import State


def line_waits(system: System, state: State) -> np.ndarray:
    """(n_env,) bool: a line is out that no attack, maintenance or cooldown keeps out, so that it could be put back."""
    return occasions(system, state, math.nan)  # which nothing reaches


def occasions(system: System, state: State, act_above: float) -> np.ndarray:
    """(n_env,) bool: the highest line loading reaches ``act_above``, or a line waits to be put back."""
    found = np.empty(state.n_env, dtype=np.bool_)
    end, cooldown = system.grid.line_or_pos_topo_vect, state.counters.time_before_cooldown_line
    _occasions(state.rho, state.topology.topo_vect, end, cooldown, float(act_above), found)
    return found


@kernel_in_place
def _occasions(rho, topo_vect, end, cooldown, act_above, found):  # pragma: no cover
    for e in range(len(found)):
        found[e] = False
        for l in range(len(end)):
            found[e] |= rho[e, l] >= act_above or (topo_vect[e, end[l]] < 0 and cooldown[e, l] == 0)
