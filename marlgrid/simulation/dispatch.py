"""What generators and storages do: redispatch, curtailment and storage within limits, ramps and charge.

The rules are Grid2Op's.
"""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import rule, scratch
from marlgrid.simulation.action import Kind
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.redispatch import TOLERANCE_MW, redispatch, room
from marlgrid.simulation.state import Outcome


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
        feasible = redispatch(tables, e, rise, setpoint_before, needed, dispatch)
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
            lo, hi = room(tables, g, setpoint[g])
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
