"""Attacks on substations: for some steps, elements of a substation are held on busbars that the opponent chose.

What a ``set_bus`` attack is in Grid2Op, with one difference: it moves what is connected, and never brings a line back
that is out (Grid2Op's reconnects it, be it in maintenance).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from marlgrid.compiled import kernel, rule
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack
from marlgrid.simulation.state import State

UNFAIR = -1
"""Price of what no budget can buy."""


def price(system: System, state: State, attack: Attack) -> np.ndarray:
    """(n_env,) int32 budget units that the attacks asked on substations would cost; ``UNFAIR`` where rules forbid one.

    Forbidden: a substation that may not be attacked or is under attack, a duration out of range, no busbar asked there,
    a busbar that does not exist, and a busbar for an element elsewhere.
    """
    if attack.subs is None:
        return _nothing_to_pay(len(attack.duration))
    return _price(
        system.grid.sub_start,
        system.attackable_subs,
        (system.grid.n_busbar, system.attack.max_duration),
        attack.subs.duration,
        attack.subs.bus,
        state.attacked.sub,
    )


@lru_cache(maxsize=64)
def _nothing_to_pay(n_env: int) -> np.ndarray:
    return np.zeros(n_env, dtype=np.int32)


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


@rule
def hold(tables, frame, duration, busbars) -> None:  # pragma: no cover
    """What is under attack in the step that begins: lines as ruled, and substations. Writes: attacked."""
    attacked, ruling = frame.state.attacked, frame.ruling
    line, sub, bus, started = attacked.line, attacked.sub, attacked.bus, attacked.sub_started
    asked = len(duration) > 0
    for e in range(len(frame.ran)):
        if not frame.ran[e]:
            continue
        for l in range(line.shape[1]):
            line[e, l] = ruling.attacked[e, l]
        started[e] = False
        if not asked and not under_attack(sub, e):
            continue  # and nothing is held any more
        for s in range(sub.shape[1]):
            sub[e, s] = max(sub[e, s] - 1, 0)
            if asked and duration[e, s] > 0 and not ruling.attack_refused[e]:
                sub[e, s] = duration[e, s]
                started[e] = True
        for p in range(bus.shape[1]):
            s = tables.place[p].sub
            if asked and duration[e, s] > 0 and not ruling.attack_refused[e]:
                bus[e, p] = busbars[e, p]
            elif sub[e, s] == 0:
                bus[e, p] = 0


@rule
def under_attack(sub, e) -> bool:  # pragma: no cover
    """Whether any substation of an environment is (n_env, n_sub), or was in the step before."""
    most = 0
    for s in range(sub.shape[1]):
        most = max(most, sub[e, s])
    return most > 0
