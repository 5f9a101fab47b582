"""Attacks on substations: for some steps, elements of a substation are held on busbars that the opponent chose.

What a ``set_bus`` attack is in Grid2Op, with one difference: it moves what is connected, and never brings a line back
that is out (Grid2Op's reconnects it, be it in maintenance).
"""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack
from marlgrid.simulation.state import Attacked, State

UNFAIR = -1
"""Price of what no budget can buy."""


def price(system: System, state: State, attack: Attack) -> np.ndarray:
    """(n_env,) int32 budget units that the attacks asked on substations would cost; ``UNFAIR`` where rules forbid one.

    Forbidden: a substation that may not be attacked or is under attack, a duration out of range, no busbar asked there,
    a busbar that does not exist, and a busbar for an element elsewhere.
    """
    if attack.subs is None:
        return np.zeros(state.n_env, dtype=np.int32)
    return _price(
        system.grid.sub_start,
        system.attackable_subs,
        (system.grid.n_busbar, system.attack.max_duration),
        attack.subs.duration,
        attack.subs.bus,
        state.attacked.sub,
    )


def committed(system: System, state: State) -> np.ndarray | int:
    """(n_env,) budget units that running attacks on substations will still cost, 0 where none can be attacked."""
    return np.maximum(state.attacked.sub - 1, 0).sum(axis=1) if system.attack.subs else 0


def substation_attack_allowed(system: System, state: State, duration: np.ndarray | None = None) -> np.ndarray:
    """(n_env, n_sub) bool: may an attack start on this substation now?

    ``duration`` (n_env,) in steps is what the budget must cover; None stands for the longest duration.
    """
    needed = np.full(state.n_env, system.attack.max_duration) if duration is None else duration
    spare = state.attack.budget + system.attack.budget_per_step - state.attack.remaining.sum(axis=1)
    ready = (state.attack.cooldown == 0) & (spare >= needed + committed(system, state))
    return system.attackable_subs & ready[:, None] & (state.attacked.sub <= 1)


def hold(system: System, state: State, attack: Attack, line: np.ndarray, refused: np.ndarray) -> State:
    """What is under attack in the step that begins: ``line`` as ruled, and substations. Writes: attacked."""
    before = state.attacked
    if not system.attack.subs:
        return state._replace(attacked=before._replace(line=line))
    sub = np.maximum(before.sub - 1, 0)
    bus = before.bus.copy()
    started = np.zeros(state.n_env, dtype=np.bool_)
    asked = attack.subs
    nothing = np.zeros_like(sub)
    duration, busbars = (nothing, bus) if asked is None else asked
    _hold(system.grid.sub_start, duration, busbars, refused, sub, bus, started)
    return state._replace(attacked=Attacked(line, sub, bus, started))


def impose(state: State, topo_vect: np.ndarray) -> None:
    """Puts what is connected in ``topo_vect`` (written to) on the busbars of the attacks in force."""
    _impose(state.attacked.bus, topo_vect)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _price(sub_start, attackable, limits, duration, bus, in_force):  # pragma: no cover
    n_busbar, max_duration = limits
    total = np.zeros(duration.shape[0], np.int32)
    for e in range(duration.shape[0]):
        fair = True
        for s in range(duration.shape[1]):
            asked = 0
            for p in range(sub_start[s], sub_start[s + 1]):
                fair = fair and 0 <= bus[e, p] <= n_busbar
                asked += bus[e, p] != 0
            if duration[e, s] == 0:
                fair = fair and asked == 0
                continue
            total[e] += duration[e, s]
            fair = fair and attackable[s] and asked > 0 and in_force[e, s] <= 1 and 0 < duration[e, s] <= max_duration
        if not fair:
            total[e] = UNFAIR
    return total


@kernel
def _hold(sub_start, duration, busbars, refused, sub, bus, started):  # pragma: no cover
    for e in range(sub.shape[0]):
        for s in range(sub.shape[1]):
            begins = duration[e, s] > 0 and not refused[e]
            if begins:
                sub[e, s] = duration[e, s]
                started[e] = True
            for p in range(sub_start[s], sub_start[s + 1]):
                if begins:
                    bus[e, p] = busbars[e, p]
                elif sub[e, s] == 0:
                    bus[e, p] = 0


@kernel
def _impose(bus, topo_vect):  # pragma: no cover
    for e in range(bus.shape[0]):
        for p in range(bus.shape[1]):
            if bus[e, p] > 0 and topo_vect[e, p] > 0:
                topo_vect[e, p] = bus[e, p]
