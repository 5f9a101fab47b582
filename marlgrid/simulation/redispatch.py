"""Redispatch: generators move towards their targets while all of them together balance storages and curtailment.

Grid2Op hands a quadratic programme to a general optimiser; here the same strictly convex problem (one balance equation,
bounds) is solved exactly, see ``_balance``.
"""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import rule, scratch

TOLERANCE_MW = 0.01
"""Grid2Op's: imbalances below it are left to the slack generator."""
BOUND_SLACK_MW = 5e-5
"""Grid2Op's relaxation of each generator's bounds."""


@rule
def redispatch(tables, e, rise, setpoint, needed, dispatch) -> bool:  # pragma: no cover
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
            lo, hi = room(tables, g, setpoint[g])
            down += lo
            up += hi
            moved += rise[g]
    return down <= moved <= up


@rule
def room(tables, g, setpoint) -> tuple[float, float]:  # pragma: no cover
    """How far a generator can move down and up in one step."""
    gen = tables.gen[g]
    return max(gen.pmin - setpoint, -gen.ramp_down), min(gen.pmax - setpoint, gen.ramp_up)


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
