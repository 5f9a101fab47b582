"""What is allowed: the judge of actions and attacks, action masks, and the clock of cooldowns and overflow counters.

The rules are Grid2Op's (its default rule set), asked of each zone by itself: quotas, cooldowns and contradictions count
per zone, and a refused action leaves that zone doing nothing while the others go ahead.
"""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel_in_place, rule, scratch
from marlgrid.model.system import System
from marlgrid.model.tables import view_tables
from marlgrid.simulation.action import Action, Attack, Commands, do_nothing
from marlgrid.simulation.footprints import Footprints
from marlgrid.simulation.frame import Memory, every, framed, view_frame
from marlgrid.simulation.frame import Ruling as Ruling
from marlgrid.simulation.judge import judge_actions, judge_zones, seen_by_judge, with_schedule
from marlgrid.simulation.own_rules import forbidden, narrow, without
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import State
from marlgrid.simulation.substations import price

NO_DURATION = np.zeros(0, dtype=np.int32)


def enforce(system: System, state: State, action: Action, attack: Attack, schedule: np.ndarray | None = None) -> Ruling:
    """Judges each zone's action, and the attack, on the state that both saw.

    ``schedule`` (n_env, n_gen) in MW is the row to come of the time series; where the parameters forbid to redispatch
    generators at rest, it says which those are (None: those at rest now).
    """
    memory = Memory(system, state.n_env)
    memory.load(state)
    memory.state.injections.gen_p[:] = state.dispatch.scheduled_p if schedule is None else schedule
    if system.rules.own:
        refused = refused_by_own(system, memory, action, attack)
        action = without(action, refused)
    _judge(system, memory, action, attack)
    if system.rules.own:
        note_own(memory, refused)
    return memory.frame.ruling


def attack_refused(system: System, state: State, attack: Attack) -> np.ndarray:
    """(n_env,) bool: would ``enforce`` refuse this attack?"""
    return enforce(system, state, do_nothing(state.n_env, system.n_zone), attack).attack_refused


def _judge(system: System, memory: Memory, action: Action, attack: Attack) -> None:
    """The built-in rules' ruling on the state in memory."""
    asked = (*action.commands, action.first, action.last, attack.duration, price(system, memory.state, attack))
    _enforce(system.block, memory.block, *asked)


def refused_by_own(system: System, memory: Memory, action: Action, attack: Attack) -> np.ndarray:
    """(n_env, n_zone) bool: accepted by the built-in rules on the state in memory, refused by one of the user's."""
    _judge(system, memory, action, attack)
    return forbidden(system, memory.state, action, memory.frame.ruling.accepted)


def note_own(memory: Memory, refused: np.ndarray) -> None:
    """Puts the refusals (n_env, n_zone) of the user's rules into the ruling."""
    memory.frame.ruling.reason[refused] = Reason.OWN_RULE
    memory.frame.ruling.accepted[refused] = False


def legal(system: System, state: State, commands: Commands, start: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """(n_env, n_action) bool: would ``enforce`` accept commands ``start[a]`` to ``start[a + 1]`` from ``zone[a]``?"""
    each = np.arange(len(zone), dtype=np.int32)
    allowed = action_mask(system, state, Footprints(commands, start, zone, each)).view(np.bool_)
    return narrow(system, state, commands, start, zone, allowed) if system.rules.own else allowed


def action_mask(system: System, state: State, judged: Footprints, rows: np.ndarray | None = None) -> np.ndarray:
    """(n_env, n_action) int8: what the built-in rules would accept of the zone whose action it is.

    ``rows`` (n,) are the environments that are asked about, None for all; the others have zeros.
    """
    memory = framed(system, state).memory
    mask = np.empty((memory.n_env, len(judged.group)), dtype=np.int8)
    commands, start, zone, group = judged
    asked = every(memory.n_env) if rows is None else rows
    _mask(system.block, memory.block, asked, *commands, start, zone, group, mask)
    return mask


def attack_mask(system: System, state: State, lines: np.ndarray, duration: np.ndarray | None = None) -> np.ndarray:
    """(n_env, 1 + n) int8: doing nothing, and ``attack_allowed`` for each of ``lines`` (n,)."""
    needed = system.attack.max_duration if duration is None else 0
    given = NO_DURATION if duration is None else duration
    memory = framed(system, state).memory
    mask = np.empty((memory.n_env, 1 + len(lines)), dtype=np.int8)
    _attack_mask(system.block, memory.block, lines, given, needed, mask)
    return mask


def attack_allowed(system: System, state: State, duration: np.ndarray | None = None) -> np.ndarray:
    """(n_env, n_line) bool: may an attack start on this line now?

    ``duration`` (n_env,) in steps is what the budget must cover; None stands for the longest duration.
    """
    allowed = np.empty(state.attack.remaining.shape, dtype=np.bool_)
    if duration is None:
        duration = np.full(state.n_env, system.attack.max_duration, dtype=np.int32)
    _attack_allowed(system.block, framed(system, state).memory.block, duration, allowed)
    return allowed


# ---------------------------------------------------------------------------------------------------- kernels
@rule
def judge(tables, frame, commands, first, last, duration, sub_price) -> None:  # pragma: no cover
    """Writes the ruling."""
    state, ruling = frame.state, frame.ruling
    seen = seen_by_judge(state)
    if not tables.rules[0].can_switch_off:
        seen = with_schedule(seen, state.injections.gen_p)
    for e in range(len(ruling.attack_refused)):
        ruling.attack_refused[e] = False
        for z in range(ruling.reason.shape[1]):
            ruling.reason[e, z] = 0
        for l in range(ruling.line_impacted.shape[1]):
            ruling.line_impacted[e, l] = False
        for s in range(ruling.sub_impacted.shape[1]):
            ruling.sub_impacted[e, s] = False
    judge_zones(tables, commands, first, last, seen, ruling.reason, ruling.line_impacted, ruling.sub_impacted)
    for e in range(ruling.reason.shape[0]):
        for z in range(ruling.reason.shape[1]):
            ruling.accepted[e, z] = ruling.reason[e, z] == 0
    _judge_attack(tables, duration, sub_price, state, ruling.attacked, ruling.attack_refused)


@kernel_in_place
def _enforce(system, block, kind, index, value, first, last, duration, sub_price):  # pragma: no cover
    tables, frame = view_tables(system), view_frame(block)
    judge(tables, frame, Commands(kind, index, value), first, last, duration, sub_price)


@kernel_in_place
def _mask(system, block, rows, kind, index, value, start, zone, group, mask):  # pragma: no cover
    commands, seen = Commands(kind, index, value), seen_by_judge(view_frame(block).state)
    for e in range(mask.shape[0]):
        for a in range(mask.shape[1]):
            mask[e, a] = 0
    judge_actions(view_tables(system), commands, start, zone, group, seen, rows, mask)


@kernel_in_place
def _attack_mask(system, block, lines, duration, needed, mask):  # pragma: no cover
    tables, state = view_tables(system), view_frame(block).state
    allowed = scratch(len(tables.line), np.bool_)
    for e in range(len(state.t)):
        free_lines(tables, state, e, duration[e] if len(duration) else needed, allowed)
        mask[e, 0] = 1
        for k in range(len(lines)):
            mask[e, 1 + k] = allowed[lines[k]]


@kernel_in_place
def _attack_allowed(system, block, duration, allowed):  # pragma: no cover
    tables, state = view_tables(system), view_frame(block).state
    for e in range(allowed.shape[0]):
        free_lines(tables, state, e, duration[e], allowed[e])


@rule
def free_lines(tables, state, e, duration, allowed) -> None:  # pragma: no cover
    """Which lines of one environment may be attacked for so long."""
    attack, topo_vect, line = state.attack, state.topology.topo_vect, tables.line
    in_force = on_subs = 0
    for l in range(len(line)):
        in_force += attack.remaining[e, l]
    for s in range(state.attacked.sub.shape[1]):
        on_subs += max(state.attacked.sub[e, s] - 1, 0)
    spare = attack.budget[e] + tables.rules[0].attack_budget_per_step - in_force
    ready = attack.cooldown[e] == 0 and spare >= duration + on_subs
    for l in range(len(line)):
        connected = topo_vect[e, line[l].or_pos] > 0
        allowed[l] = ready and line[l].attackable and connected and attack.remaining[e, l] == 0


@rule
def _judge_attack(tables, duration, sub_price, state, attacked, refused):  # pragma: no cover
    """Attacks in force (remaining steps, this one included), and whether a new one was refused."""
    rules, remaining = tables.rules[0], state.attack.remaining
    for e in range(duration.shape[0]):
        cost = sub_price[e]
        fair = state.attack.cooldown[e] == 0 and cost >= 0
        asked = cost != 0
        for s in range(state.attacked.sub.shape[1]):
            cost += max(state.attacked.sub[e, s] - 1, 0)
        for l in range(duration.shape[1]):
            attacked[e, l] = remaining[e, l]
            cost += remaining[e, l]
            if duration[e, l] == 0:
                continue
            asked = True
            cost += duration[e, l]
            connected = state.topology.topo_vect[e, tables.line[l].or_pos] > 0
            free = tables.line[l].attackable and connected and remaining[e, l] == 0
            fair = fair and free and 0 < duration[e, l] <= rules.attack_max_duration
        if not asked:
            continue
        if fair and cost <= state.attack.budget[e] + rules.attack_budget_per_step:
            for l in range(duration.shape[1]):
                attacked[e, l] = max(attacked[e, l], duration[e, l])
        else:
            refused[e] = True


@rule
def tick(tables, frame) -> None:  # pragma: no cover
    """Advances cooldowns, overflow counters and the opponent's account by one step.

    Order and off-by-ones are Grid2Op's (own action, protection trip, attack, outage).
    """
    state, ruling, rules = frame.state, frame.ruling, tables.rules[0]
    counters, attack, injections = state.counters, state.attack, state.injections
    for e in range(len(frame.ran)):
        if not frame.ran[e]:
            continue
        cost = 0
        started = state.attacked.sub_started[e]
        for l in range(len(tables.line)):
            attacked = ruling.attacked[e, l]
            started = started or attacked > attack.remaining[e, l]
            cost += attacked > 0
            attack.remaining[e, l] = max(attacked - 1, 0)
            left = max(max(counters.time_before_cooldown_line[e, l], attacked) - 1, 0)
            if state.disc_lines[e, l] >= 0:
                left = rules.reconnection
            if injections.time_next_maintenance[e, l] == 0:
                left = max(left, injections.duration_next_maintenance[e, l])
            left = max(left, injections.hazard_duration[e, l])
            if ruling.line_impacted[e, l]:
                left = max(left, rules.cooldown_line)
            counters.time_before_cooldown_line[e, l] = left
            over, engaged = state.rho[e, l] > 1.0, state.rho[e, l] > rules.soft
            counters.timestep_overflow[e, l] = counters.timestep_overflow[e, l] + 1 if over else 0
            counters.timestep_protection_engaged[e, l] = (
                counters.timestep_protection_engaged[e, l] + 1 if engaged else 0
            )
        for s in range(counters.time_before_cooldown_sub.shape[1]):
            attacked = state.attacked.sub[e, s]
            cost += attacked > 0
            left = max(max(counters.time_before_cooldown_sub[e, s], attacked) - 1, 0)
            if ruling.sub_impacted[e, s]:
                left = max(left, rules.cooldown_sub)
            counters.time_before_cooldown_sub[e, s] = left
        attack.budget[e] += rules.attack_budget_per_step - cost
        attack.cooldown[e] = max(attack.cooldown[e] - 1, 0)
        if started:
            attack.cooldown[e] = max(rules.attack_cooldown - 1, 0)
            attack.starts[e] += 1
