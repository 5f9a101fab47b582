"""What generators and storages do: redispatch, curtailment and storage within limits, ramps and charge.

The rules are Grid2Op's. Its redispatch is a quadratic programme handed to a general optimiser; here the same strictly
convex problem (one balance equation, bounds) is solved exactly, see ``_balance``.
"""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import rule, scratch
from marlgrid.simulation.action import Kind
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome

TOLERANCE_MW = 0.01
"""Grid2Op's: imbalances below it are left to the slack generator."""
BOUND_SLACK_MW = 5e-5
"""Grid2Op's relaxation of each generator's bounds."""


# ---------------------------------------------------------------------------------------------------- kernels
@rule
def schedule(tables, frame, commands, first, last) -> None:  # pragma: no cover
    """Sets storages and curtailment, and redispatches generators so that they balance both.

    Writes: dispatch; outcome where no dispatch exists or a storage without busbar exchanges power.
    """
    state, dispatch = frame.state, frame.state.dispatch
    n_gen = len(tables.gen)
    rise, setpoint_before = scratch(n_gen, np.float64), scratch(n_gen, np.float64)
    for e in range(len(frame.ran)):
        if not frame.ran[e]:
            continue
        storage_before, curtailed_before = _sum(dispatch.storage_power, e), dispatch.curtailed[e]
        for g in range(n_gen):
            rise[g] = -dispatch.scheduled_p[e, g]
            setpoint_before[g] = dispatch.setpoint[e, g]
        for s in range(len(tables.storage)):
            dispatch.storage_power_target[e, s] = 0.0
        for z in range(first.shape[1]):
            if frame.ruling.accepted[e, z]:
                for c in range(first[e, z], last[e, z]):
                    _ask(commands.kind[c], commands.index[c], commands.value[c], e, dispatch)
        _charge_storages(tables, e, dispatch)
        _curtail(tables, e, state.injections.gen_p, dispatch)
        for g in range(n_gen):
            rise[g] += dispatch.scheduled_p[e, g]
        if tables.rules[0].limit_infeasible:
            _limit(tables, e, rise, setpoint_before, storage_before, curtailed_before, dispatch)
        needed = _sum(dispatch.storage_power, e) - storage_before + dispatch.curtailed[e] - curtailed_before
        feasible = _redispatch(tables, e, rise, setpoint_before, needed, dispatch)
        for g in range(n_gen):
            dispatch.setpoint[e, g] = dispatch.scheduled_p[e, g] + dispatch.actual[e, g]
        if not feasible and state.outcome[e] == Outcome.RUNNING:
            state.outcome[e] = Outcome.DISPATCH_INFEASIBLE
        _lose_charge(tables, e, dispatch)
        for s in range(len(tables.storage)):
            off = state.topology.topo_vect[e, tables.storage[s].pos] < 0
            if off and dispatch.storage_power[e, s] != 0 and state.outcome[e] == Outcome.RUNNING:
                state.outcome[e] = Outcome.LOAD_OR_GEN_DISCONNECTED


@rule
def _sum(values, e):  # pragma: no cover
    total = 0.0
    for i in range(values.shape[1]):
        total += values[e, i]
    return total


@rule
def charge(frame, kind, first, last) -> None:  # pragma: no cover
    """Blames an infeasible dispatch on the zones that asked for dispatch in this step. Writes: ruling.reason."""
    for e in range(len(frame.ran)):
        if frame.ran[e] and frame.state.outcome[e] == Outcome.DISPATCH_INFEASIBLE:
            for z in range(first.shape[1]):
                for c in range(first[e, z], last[e, z]):
                    dispatching = Kind.REDISPATCH <= kind[c] <= Kind.SET_STORAGE
                    if frame.ruling.accepted[e, z] and dispatching:
                        frame.ruling.reason[e, z] = Reason.DISPATCH_INFEASIBLE


@rule
def _ask(kind, i, value, e, dispatch):  # pragma: no cover
    """Notes one command. The first redispatch of a generator starts from its actual dispatch."""
    if kind == Kind.REDISPATCH and value != 0 and not np.isnan(value):
        if not dispatch.modified[e, i]:
            dispatch.target[e, i] = dispatch.actual[e, i]
            dispatch.modified[e, i] = True
        dispatch.target[e, i] += value
    elif kind == Kind.CURTAIL:
        dispatch.curtailment_limit[e, i] = value
    elif kind == Kind.SET_STORAGE:
        dispatch.storage_power_target[e, i] = value


@rule
def _charge_storages(tables, e, dispatch):  # pragma: no cover
    """Power asked for, clipped to what the charge allows."""
    hours = tables.rules[0].hours_per_step
    for s in range(len(tables.storage)):
        unit = tables.storage[s]
        power = dispatch.storage_power_target[e, s]
        charge = dispatch.storage_charge[e, s]
        charge += power * hours * (unit.charging if power > 0 else 1 / unit.discharging)
        if power > 0 and charge > unit.emax:
            power = max(power - (charge - unit.emax) / hours / unit.charging, 0.0)
            charge = max(unit.emax, dispatch.storage_charge[e, s])
        elif power < 0 and charge < unit.emin:
            power = min(power + (unit.emin - charge) / hours * unit.discharging, 0.0)
            charge = min(unit.emin, dispatch.storage_charge[e, s])
        dispatch.storage_power[e, s] = power
        dispatch.storage_charge[e, s] = charge


@rule
def _lose_charge(tables, e, dispatch):  # pragma: no cover
    """Self-discharge, which the grid does not see and which may go below the lowest charge in use."""
    for s in range(len(tables.storage)):
        lost = tables.storage[s].loss * tables.rules[0].hours_per_step
        dispatch.storage_charge[e, s] = max(dispatch.storage_charge[e, s] - lost, 0.0)


@rule
def _curtail(tables, e, gen_p, dispatch):  # pragma: no cover
    """Caps renewable generators at their limits."""
    dispatch.curtailed[e] = 0.0
    for g in range(len(tables.gen)):
        gen = tables.gen[g]
        dispatch.scheduled_p[e, g] = gen_p[e, g]
        dispatch.p_before_curtail[e, g] = 0.0
        dispatch.curtailment_limit_effective[e, g] = 1.0
        if not gen.renewable:
            continue
        dispatch.p_before_curtail[e, g] = gen_p[e, g]
        limit = dispatch.curtailment_limit[e, g]
        dispatch.curtailment_limit_effective[e, g] = limit
        if limit < 1.0 and gen_p[e, g] > limit * gen.pmax:
            dispatch.curtailed[e] += gen_p[e, g] - limit * gen.pmax
            dispatch.scheduled_p[e, g] = limit * gen.pmax


@rule
def _room(tables, g, setpoint):  # pragma: no cover
    """How far a generator can move down and up in one step."""
    gen = tables.gen[g]
    return max(gen.pmin - setpoint, -gen.ramp_down), min(gen.pmax - setpoint, gen.ramp_up)


@rule
def _limit(tables, e, rise, setpoint, storage_before, curtailed_before, dispatch):  # pragma: no cover
    """Scales curtailment and storage back to what the generators can follow.

    Excess is shared in proportion to what each asks of the generators; if one helps, only the other is reduced. Neither
    is reversed beyond what the step asked for.
    """
    by_storage = _sum(dispatch.storage_power, e) - storage_before
    by_curtailment = dispatch.curtailed[e] - curtailed_before
    down = up = moved = 0.0
    for g in range(len(tables.gen)):
        if not tables.gen[g].renewable:
            lo, hi = _room(tables, g, setpoint[g])
            down += lo
            up += hi
            moved += rise[g]
    total = moved + by_storage + by_curtailment
    excess = 0.0
    if total > up - TOLERANCE_MW:
        excess = total - (up - TOLERANCE_MW)
    elif total < down + TOLERANCE_MW:
        excess = total - (down + TOLERANCE_MW)
    if excess == 0.0:
        return
    sign = 1.0 if excess > 0 else -1.0
    storage_part, curtail_part = max(sign * by_storage, 0.0), max(sign * by_curtailment, 0.0)
    parts = storage_part + curtail_part
    if parts <= 0.0:
        return
    excess = min(abs(excess), parts)
    _reduce_curtailment(tables, e, sign * excess * curtail_part / parts, dispatch)
    _reduce_storage(tables, e, sign * excess * storage_part / parts, dispatch)


@rule
def _reduce_curtailment(tables, e, amount, dispatch):  # pragma: no cover
    """Takes back ``amount`` MW of curtailment, pro rata; negative keeps more curtailed than asked (slow release)."""
    if amount == 0.0:
        return
    spare = 0.0
    for g in range(len(tables.gen)):
        spare += _spare(tables.gen[g], e, g, amount, dispatch)
    if spare <= 0.0:
        return
    for g in range(len(tables.gen)):
        moved = min(abs(amount), spare) * _spare(tables.gen[g], e, g, amount, dispatch) / spare
        if moved == 0.0:
            continue
        moved = moved if amount > 0 else -moved
        dispatch.scheduled_p[e, g] += moved
        dispatch.curtailed[e] -= moved
        dispatch.curtailment_limit_effective[e, g] = dispatch.scheduled_p[e, g] / tables.gen[g].pmax


@rule
def _spare(gen, e, g, amount, dispatch):  # pragma: no cover
    """MW by which a renewable generator can serve ``_reduce_curtailment``."""
    if not gen.renewable:
        return 0.0
    if amount > 0:
        return dispatch.p_before_curtail[e, g] - dispatch.scheduled_p[e, g]
    return dispatch.scheduled_p[e, g]


@rule
def _reduce_storage(tables, e, amount, dispatch):  # pragma: no cover
    """Takes ``amount`` MW (signed) off the storages' power, pro rata of those that work in that direction."""
    if amount == 0.0:
        return
    hours = tables.rules[0].hours_per_step
    working = 0.0
    for s in range(len(tables.storage)):
        power = dispatch.storage_power[e, s]
        working += abs(power) if power * amount > 0 else 0.0
    if working <= 0.0:
        return
    for s in range(len(tables.storage)):
        power = dispatch.storage_power[e, s]
        if power * amount <= 0:
            continue
        taken = min(abs(amount), working) * power / working
        unit = tables.storage[s]
        dispatch.storage_power[e, s] -= taken
        dispatch.storage_charge[e, s] -= taken * hours * (unit.charging if power > 0 else 1 / unit.discharging)


@rule
def _redispatch(tables, e, rise, setpoint, needed, dispatch):  # pragma: no cover
    """Moves ``dispatch.actual`` towards its target while the generators give ``needed`` MW more than before."""
    actual, target, rules = dispatch.actual, dispatch.target, tables.rules[0]
    n_gen, moved, furthest = len(tables.gen), 0.0, 0.0
    taking_part = scratch(n_gen, np.bool_)
    if not rules.redispatches:
        for g in range(n_gen):
            actual[e, g] = target[e, g]
        return True
    for g in range(n_gen):
        moved += actual[e, g]
        furthest = max(furthest, abs(actual[e, g] - target[e, g]))
    if abs(moved) < TOLERANCE_MW and abs(needed) < TOLERANCE_MW and furthest < TOLERANCE_MW:
        return True
    for g in range(n_gen):
        moving = dispatch.scheduled_p[e, g] > 0 or abs(actual[e, g]) >= 1e-7 or target[e, g] != actual[e, g]
        taking_part[g] = not tables.gen[g].renewable and moving
    feasible = _can_follow(tables, rise, setpoint, needed, taking_part)
    if not feasible and rules.recruits_idle:
        for g in range(n_gen):
            taking_part[g] = not tables.gen[g].renewable
        feasible = _can_follow(tables, rise, setpoint, needed, taking_part)
    return feasible and _balance(tables, e, rise, needed, taking_part, dispatch)


@rule
def _can_follow(tables, rise, setpoint, needed, taking_part):  # pragma: no cover
    down = up = 0.0
    moved = needed
    for g in range(len(taking_part)):
        if taking_part[g]:
            lo, hi = _room(tables, g, setpoint[g])
            down += lo
            up += hi
            moved += rise[g]
    return down <= moved <= up


@rule
def _balance(tables, e, rise, needed, taking_part, dispatch):  # pragma: no cover
    """Solves the redispatch exactly; x is the change of the actual dispatch.

    Generators with a target lead: minimise sum w (x - gap)^2 within bounds, w ~ 1 / (ramp_up + ramp_down), as far as
    the others can make up for it. The others offset the targets in proportion to their ramps (counting leaders that
    have none left to pursue), and share what bounds, storages and curtailment add to that in equal parts. Without any
    target all are pulled back to zero by the first rule. Grid2Op's objective leaves the second choice open: this is
    where its optimiser goes from its starting point.
    """
    actual, scheduled = dispatch.actual[e], dispatch.scheduled_p[e]
    n_gen, any_leads, any_rests = len(actual), False, False
    leads, rests = scratch(n_gen, np.bool_), scratch(n_gen, np.bool_)
    lo, hi = scratch(n_gen, np.float64), scratch(n_gen, np.float64)
    gap, agility, centre = scratch(n_gen, np.float64), scratch(n_gen, np.float64), scratch(n_gen, np.float64)
    for g in range(n_gen):
        leads[g] = taking_part[g] and dispatch.modified[e, g]
        any_leads = any_leads or leads[g]
    for g in range(n_gen):
        leads[g] = leads[g] if any_leads else taking_part[g]
        rests[g] = taking_part[g] and not leads[g]
        any_rests = any_rests or rests[g]
    for g in range(n_gen):
        gen = tables.gen[g]
        if not taking_part[g]:
            continue
        lo[g] = max(gen.pmin - scheduled[g] - actual[g], -gen.ramp_down - rise[g]) - BOUND_SLACK_MW
        hi[g] = min(gen.pmax - scheduled[g] - actual[g], gen.ramp_up - rise[g]) + BOUND_SLACK_MW
        if lo[g] > hi[g] + TOLERANCE_MW:
            return False
        hi[g] = max(lo[g], hi[g])
        gap[g] = dispatch.target[e, g] - actual[g]
        agility[g] = gen.ramp_up + gen.ramp_down + 1e-4
    if not _sum_of(taking_part, lo) - TOLERANCE_MW <= needed <= _sum_of(taking_part, hi) + TOLERANCE_MW:
        return False
    wanted = 0.0
    for g in range(n_gen):
        if leads[g]:
            wanted += min(max(gap[g], lo[g]), hi[g])
    lead_total = min(max(wanted, needed - _sum_of(rests, hi)), needed - _sum_of(rests, lo))
    _fill(lo, hi, gap, agility, leads, lead_total, actual)
    if any_rests:
        offset, settled = -_sum_of(leads, gap), 0.0
        for g in range(n_gen):
            settled += agility[g] if leads[g] and abs(gap[g]) <= 1e-7 else 0.0
        agilities = _sum_of(rests, agility) + settled
        for g in range(n_gen):
            centre[g] = offset * agility[g] / agilities
            agility[g] = 1.0
        _fill(lo, hi, centre, agility, rests, needed - lead_total, actual)
    return True


@rule
def _sum_of(chosen, values):  # pragma: no cover
    total = 0.0
    for i in range(len(values)):
        if chosen[i]:
            total += values[i]
    return total


@rule
def _fill(lo, hi, centre, slope, chosen, total, actual):  # pragma: no cover
    """Adds x = clip(centre + level * slope, lo, hi) of the chosen to ``actual``, at the level where x sums to total.

    The sum grows with the level and is linear between bounds: Newton's steps kept inside a shrinking bracket end on it.
    """
    low, high = -1e9, 1e9
    level = 0.0
    for _ in range(200):
        reached = free = 0.0
        for g in range(len(lo)):
            if chosen[g]:
                x = centre[g] + level * slope[g]
                reached += min(max(x, lo[g]), hi[g])
                free += slope[g] if lo[g] < x < hi[g] else 0.0
        if abs(reached - total) < 1e-10:
            break
        if reached < total:
            low = level
        else:
            high = level
        step = level + (total - reached) / free if free > 0 else np.inf
        level = step if low < step < high else 0.5 * (low + high)
    for g in range(len(lo)):
        if chosen[g]:
            actual[g] += min(max(centre[g] + level * slope[g], lo[g]), hi[g])
