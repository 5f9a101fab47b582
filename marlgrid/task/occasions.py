"""When there is something to decide: the steps in which a team that leaves calm ones out is asked."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.model.tables import view_tables
from marlgrid.simulation.frame import framed, view_frame
from marlgrid.simulation.state import Outcome, State


def line_waits(system: System, state: State) -> np.ndarray:
    """(n_env,) bool: a line is out that no attack, maintenance or cooldown keeps out, so that it could be put back."""
    return occasions(system, state, math.nan)  # which nothing reaches


def occasions(system: System, state: State, act_above: float) -> np.ndarray:
    """(n_env,) bool: the highest line loading reaches ``act_above``, or a line waits to be put back."""
    return asked_and_over(system, state, act_above)[0]


def asked_and_over(system: System, state: State, act_above: float) -> tuple[np.ndarray, np.ndarray]:
    """``occasions``, and the numbers (n,) of the environments that have one or whose episode is over."""
    memory = framed(system, state).memory
    found, rows = np.empty(memory.n_env, dtype=np.bool_), np.empty(memory.n_env, dtype=np.int64)
    n = _occasions(system.block, memory.block, float(act_above), found, rows)
    return found, rows[:n]


def check_act_above(act_above: float, opponent_agent: bool) -> None:
    """Raises ValueError where agents are to be asked on occasion, but the opponent is one of them."""
    if act_above > 0 and opponent_agent:
        raise ValueError(
            f"act_above is {act_above}, but an opponent that is an agent acts in calm steps too: leave act_above at 0, "
            "or give a scripted opponent"
        )


@lru_cache(maxsize=64)
def everywhere(n_env: int) -> np.ndarray:
    """(n_env,) True, not to be written to: who is asked at every step."""
    asked = np.ones(n_env, dtype=np.bool_)
    asked.flags.writeable = False
    return asked


@kernel_in_place
def _occasions(system, block, act_above, found, rows):  # pragma: no cover
    """How many of ``rows`` it wrote."""
    lines, state = view_tables(system).line, view_frame(block).state
    topo_vect, cooldown = state.topology.topo_vect, state.counters.time_before_cooldown_line
    n = 0
    for e in range(len(found)):
        found[e] = False
        for l in range(len(lines)):
            waits = topo_vect[e, lines[l].or_pos] < 0 and cooldown[e, l] == 0
            found[e] |= state.rho[e, l] >= act_above or waits
        if found[e] or state.outcome[e] != Outcome.RUNNING:
            rows[n] = e
            n += 1
    return n
