"""Episodes on the small grid in which an attacker attacks and lines come back as soon as they may."""

from __future__ import annotations

import numpy as np

from marlgrid.model.parameters import AttackRules
from marlgrid.model.system import System
from marlgrid.simulation.action import do_nothing
from marlgrid.simulation.rules import attack_allowed
from marlgrid.simulation.step import step
from tests.simulation.small import GivenCurrents, StillSeries, small_system, start

SMALL = small_system()


def system_with(**rules) -> System:
    defaults = {"lines": ("line_0", "line_1", "line_2"), "max_duration": 4, "cooldown": 6, "initial_budget": 1e6}
    return System(SMALL.grid, SMALL.zones, SMALL.parameters, AttackRules(**(defaults | rules)))


def played(system, opponent, n_env: int, n_step: int, current=10.0, reconnect: bool = True):
    """Attack durations (n_step, n_env, n_line) and what was allowed; lines come back as soon as an attack is over."""
    solver, series = GivenCurrents(system, current), StillSeries(system, n_step + 2)
    state = start(system, solver, series, n_env, steps=n_step + 1)
    if hasattr(opponent, "bind"):
        opponent = opponent.bind(series, solver)
    state = state._replace(seed=np.arange(n_env, dtype=np.int64))
    memory = opponent.reset(system, state)
    durations, allowed = [], []
    for _ in range(n_step):
        attack, memory = opponent.attack(system, state, memory)
        allowed.append(attack_allowed(system, state))
        state, ruling = step(system, solver, series, state, do_nothing(n_env, 2), attack)
        assert not ruling.attack_refused.any()
        durations.append(attack.duration)
        if reconnect:
            back = np.ones_like(state.topology.topo_vect)
            for line in range(system.grid.n_line):
                under = state.attack.remaining[:, line] > 0
                for place in (system.grid.line_or_pos_topo_vect[line], system.grid.line_ex_pos_topo_vect[line]):
                    back[under, place] = -1
            state = state._replace(topology=state.topology._replace(topo_vect=back))
    return np.array(durations), np.array(allowed)
