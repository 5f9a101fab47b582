"""What is allowed: the judge of actions and attacks, action masks, and the clock of cooldowns and overflow counters.

The rules are Grid2Op's (its default rule set), asked of each zone by itself: quotas, cooldowns and contradictions count
per zone, and a refused action leaves that zone doing nothing while the others go ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.compiled import kernel, rule
from marlgrid.model.system import System
from marlgrid.simulation.action import Action, Attack, Commands
from marlgrid.simulation.judge import Reason, Seen, judge_actions, judge_zones, seen_by_judge
from marlgrid.simulation.own_rules import forbidden, narrow, without
from marlgrid.simulation.state import AttackState, Counters, State
from marlgrid.simulation.substations import committed, price


class Ruling(NamedTuple):
    """What became of the asked actions and attack."""

    reason: np.ndarray
    """(n_env, n_zone) int8 ``Reason``."""
    accepted: np.ndarray
    """(n_env, n_zone) bool."""
    attack_refused: np.ndarray
    """(n_env,) bool: an attack was asked for and refused."""
    attacked: np.ndarray
    """(n_env, n_line) int32 steps under attack, this one included; 0 when not attacked."""
    line_impacted: np.ndarray
    """(n_env, n_line) bool: an accepted action touched the status."""
    sub_impacted: np.ndarray
    """(n_env, n_sub) bool: an accepted action touched the busbars."""


def enforce(system: System, state: State, action: Action, attack: Attack, schedule: np.ndarray | None = None) -> Ruling:
    """Judges each zone's action, and the attack, on the state that both saw.

    ``schedule`` (n_env, n_gen) in MW is the row to come of the time series; where the parameters forbid to redispatch
    generators at rest, it says which those are (None: those at rest now).
    """
    seen = seen_by_judge(state)
    if schedule is not None and not system.parameters.allow_dispatch_gen_switch_off:
        seen = seen._replace(scheduled_p=schedule)
    reason, line_impacted, sub_impacted = _judge(system, action, seen)
    if system.rules.own:
        refused_by_own = forbidden(system, state, action, reason == Reason.ACCEPTED)
        _, line_impacted, sub_impacted = _judge(system, without(action, refused_by_own), seen)
        reason[refused_by_own] = Reason.OWN_RULE
    attacked, refused = _judged(system, state, attack)
    return Ruling(reason, reason == Reason.ACCEPTED, refused, attacked, line_impacted, sub_impacted)


def attack_refused(system: System, state: State, attack: Attack) -> np.ndarray:
    """(n_env,) bool: would ``enforce`` refuse this attack?"""
    return _judged(system, state, attack)[1]


def _judged(system: System, state: State, attack: Attack) -> tuple[np.ndarray, np.ndarray]:
    """Attacks in force on lines and whether the new one is refused, as in ``Ruling``."""
    judged: tuple[np.ndarray, np.ndarray] = _judge_attack(
        system.tables,
        attack.duration,
        price(system, state, attack),
        state.topology.topo_vect,
        state.attack.remaining,
        state.attack.cooldown,
        state.attack.budget - committed(system, state),
    )
    return judged


def _judge(system: System, action: Action, seen: Seen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The built-in rules' reasons, and what the accepted actions impact, as in ``Ruling``."""
    n_env = len(action.first)
    reason = np.zeros(action.first.shape, dtype=np.int8)
    line_impacted = np.zeros((n_env, system.grid.n_line), dtype=np.bool_)
    sub_impacted = np.zeros((n_env, system.grid.n_sub), dtype=np.bool_)
    judge_zones(
        system.tables,
        action.commands,
        action.first,
        action.last,
        seen,
        reason,
        line_impacted,
        sub_impacted,
    )
    return reason, line_impacted, sub_impacted


def legal(system: System, state: State, commands: Commands, start: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """(n_env, n_action) bool: would ``enforce`` accept commands ``start[a]`` to ``start[a + 1]`` from ``zone[a]``?"""
    allowed = np.empty((state.n_env, len(zone)), dtype=np.bool_)
    judge_actions(system.tables, commands, start, zone, seen_by_judge(state), allowed)
    return narrow(system, state, commands, start, zone, allowed) if system.rules.own else allowed


def attack_allowed(system: System, state: State, duration: np.ndarray | None = None) -> np.ndarray:
    """(n_env, n_line) bool: may an attack start on this line now?

    ``duration`` (n_env,) in steps is what the budget must cover; None stands for the longest duration.
    """
    allowed = np.empty(state.attack.remaining.shape, dtype=np.bool_)
    if duration is None:
        duration = np.full(state.n_env, system.attack.max_duration, dtype=np.int32)
    if system.attack.subs:
        duration = (duration + committed(system, state)).astype(np.int32)
    _attack_allowed(system.tables, duration, state.topology.topo_vect, state.attack, allowed)
    return allowed


def tick(system: System, state: State, ruling: Ruling) -> State:
    """Advances cooldowns, overflow counters and the opponent's account by one step.

    Writes: counters, attack. Order and off-by-ones: Grid2Op's (own action, protection trip, attack, outage).
    """
    counters, attack = state.counters, state.attack
    line, sub, overflow, engaged = (array.copy() for array in counters)
    remaining, cooldown, budget, starts = (array.copy() for array in attack)
    _tick(
        system.tables,
        ruling.attacked,
        (state.attacked.sub, state.attacked.sub_started),
        ruling.line_impacted,
        ruling.sub_impacted,
        state.disc_lines,
        state.rho,
        state.injections.time_next_maintenance,
        state.injections.duration_next_maintenance,
        state.injections.hazard_duration,
        (line, sub, overflow, engaged),
        (remaining, cooldown, budget, starts),
    )
    return state._replace(
        counters=Counters(line, sub, overflow, engaged), attack=AttackState(remaining, cooldown, budget, starts)
    )


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _attack_allowed(tables, duration, topo_vect, attack, allowed):  # pragma: no cover
    for e in range(allowed.shape[0]):
        spare = attack.budget[e] + tables.rules[0].attack_budget_per_step - attack.remaining[e].sum()
        ready = attack.cooldown[e] == 0 and spare >= duration[e]
        _free_lines(tables.line, topo_vect[e], attack.remaining[e], ready, allowed[e])


@rule
def _free_lines(line, topo_vect, remaining, ready, allowed):  # pragma: no cover
    for l in range(len(line)):
        allowed[l] = ready and line[l].attackable and topo_vect[line[l].or_pos] > 0 and remaining[l] == 0


@kernel
def _judge_attack(tables, duration, sub_price, topo_vect, remaining, cooldown, budget):  # pragma: no cover
    """Attacks in force (remaining steps, this one included), and whether a new one was refused."""
    rules = tables.rules[0]
    attacked = remaining.copy()
    refused = np.zeros(len(cooldown), dtype=np.bool_)
    for e in range(duration.shape[0]):
        cost = sub_price[e]
        fair = cooldown[e] == 0 and cost >= 0
        asked = cost != 0
        for l in range(duration.shape[1]):
            cost += remaining[e, l]
            if duration[e, l] == 0:
                continue
            asked = True
            cost += duration[e, l]
            connected = topo_vect[e, tables.line[l].or_pos] > 0
            free = tables.line[l].attackable and connected and remaining[e, l] == 0
            fair = fair and free and 0 < duration[e, l] <= rules.attack_max_duration
        if not asked:
            continue
        if fair and cost <= budget[e] + rules.attack_budget_per_step:
            for l in range(duration.shape[1]):
                attacked[e, l] = max(attacked[e, l], duration[e, l])
        else:
            refused[e] = True
    return attacked, refused


@kernel
def _tick(  # pragma: no cover
    tables,
    attacked,
    sub_attack,
    line_impacted,
    sub_impacted,
    tripped,
    rho,
    maintenance,
    maintenance_left,
    hazard,
    counters,
    attack,
):
    rules = tables.rules[0]
    cooldown_line, cooldown_sub, overflow, engaged = counters
    remaining, attack_cooldown, budget, starts = attack
    sub_attacked, sub_started = sub_attack
    for e in range(len(budget)):
        cost = 0
        started = sub_started[e]
        for l in range(attacked.shape[1]):
            started = started or attacked[e, l] > remaining[e, l]
            cost += attacked[e, l] > 0
            remaining[e, l] = max(attacked[e, l] - 1, 0)
            left = max(max(cooldown_line[e, l], attacked[e, l]) - 1, 0)
            if tripped[e, l] >= 0:
                left = rules.reconnection
            if maintenance[e, l] == 0:
                left = max(left, maintenance_left[e, l])
            left = max(left, hazard[e, l])
            if line_impacted[e, l]:
                left = max(left, rules.cooldown_line)
            cooldown_line[e, l] = left
            overflow[e, l] = overflow[e, l] + 1 if rho[e, l] > 1.0 else 0
            engaged[e, l] = engaged[e, l] + 1 if rho[e, l] > rules.soft else 0
        for s in range(cooldown_sub.shape[1]):
            cost += sub_attacked[e, s] > 0
            cooldown_sub[e, s] = max(max(cooldown_sub[e, s], sub_attacked[e, s]) - 1, 0)
            if sub_impacted[e, s]:
                cooldown_sub[e, s] = max(cooldown_sub[e, s], rules.cooldown_sub)
        budget[e] += rules.attack_budget_per_step - cost
        attack_cooldown[e] = max(attack_cooldown[e] - 1, 0)
        if started:
            attack_cooldown[e] = max(rules.attack_cooldown - 1, 0)
            starts[e] += 1
