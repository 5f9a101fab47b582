"""The judge: may this zone do all of this, on this state? One verdict for actions, batches and masks alike."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numba import njit

from marlgrid.simulation.action import Kind
from marlgrid.simulation.state import State


class Reason(IntEnum):
    """Why the action of a zone was refused."""

    ACCEPTED = 0
    NOT_IN_ZONE = 1
    """It touches an element of another zone, or switches a tie line that the zone may not switch."""
    AMBIGUOUS_LINE = 2
    """Its commands on a line contradict each other."""
    AMBIGUOUS_BUS = 3
    """Its commands on a busbar contradict each other, or the busbar does not exist."""
    REDISPATCH_OUT_OF_RANGE = 4
    """More than the ramp, or a generator that cannot be redispatched."""
    CURTAILMENT_OUT_OF_RANGE = 5
    """Not a ratio in [0, 1], or a generator that is not renewable."""
    STORAGE_OUT_OF_RANGE = 6
    """More than the storage can absorb or produce."""
    TOO_MANY_LINES = 7
    """More line statuses than the quota."""
    TOO_MANY_SUBS = 8
    """More substations than the quota."""
    LINE_COOLDOWN = 9
    SUB_COOLDOWN = 10
    STORAGE_DISCONNECTED = 11
    """Power asked of a storage that is on no busbar."""
    REDISPATCH_TARGET_OUT_OF_RANGE = 12
    """The summed redispatch would exceed pmax - pmin."""
    GEN_SWITCHED_OFF = 13
    """Redispatch of a generator that stands still, where the parameters forbid it."""
    DISPATCH_INFEASIBLE = 14
    """The joint dispatch had no solution; charged to the zones that asked for dispatch in that step."""


class Seen(NamedTuple):
    """What the judge reads of a state."""

    topo_vect: np.ndarray
    cooldown_line: np.ndarray
    cooldown_sub: np.ndarray
    target: np.ndarray
    modified: np.ndarray
    actual: np.ndarray
    scheduled_p: np.ndarray


def seen_by_judge(state: State) -> Seen:
    """What the judge reads of a state."""
    return Seen(
        state.topology.topo_vect,
        state.counters.time_before_cooldown_line,
        state.counters.time_before_cooldown_sub,
        state.dispatch.target,
        state.dispatch.modified,
        state.dispatch.actual,
        state.dispatch.scheduled_p,
    )


class Asked(NamedTuple):
    """One zone's commands spread out by element: the judge's notepad, blank between two judgements."""

    line_set: np.ndarray
    line_change: np.ndarray
    place_set: np.ndarray
    place_change: np.ndarray
    line_hit: np.ndarray
    sub_hit: np.ndarray


@njit(cache=True)
def blank(n_line: int, n_place: int, n_sub: int) -> Asked:  # pragma: no cover
    """An empty notepad."""
    return Asked(
        np.zeros(n_line, np.int8),
        np.zeros(n_line, np.bool_),
        np.zeros(n_place, np.int8),
        np.zeros(n_place, np.bool_),
        np.zeros(n_line, np.bool_),
        np.zeros(n_sub, np.bool_),
    )


@njit(cache=True)
def wipe(tables, commands, begin, end, asked, keep, line_impacted, sub_impacted) -> None:  # pragma: no cover
    """Blanks the notepad, after noting what was impacted if it is to be kept."""
    for c in range(begin, end):
        kind, i = commands.kind[c], commands.index[c]
        if kind <= Kind.CHANGE_LINE_STATUS:
            line, sub = i, -1
            asked.line_set[i] = 0
            asked.line_change[i] = False
        elif kind <= Kind.CHANGE_BUS:
            line, sub = tables.place[i].line, tables.place[i].sub
            asked.place_set[i] = 0
            asked.place_change[i] = False
        else:
            continue
        if keep and line >= 0 and asked.line_hit[line]:
            line_impacted[line] = True
        if keep and sub >= 0 and asked.sub_hit[sub]:
            sub_impacted[sub] = True
        if line >= 0:
            asked.line_hit[line] = False
        if sub >= 0:
            asked.sub_hit[sub] = False


@njit(cache=True)
def judge(tables, commands, begin, end, zone, e, seen, asked) -> int:  # pragma: no cover
    """The ``Reason`` for one zone's commands; leaves the notepad filled."""
    verdict = _note(tables, commands, begin, end, zone, asked)
    if verdict == 0:
        verdict = _contradictions(tables, commands, begin, end, asked)
    if verdict == 0:
        verdict = _impact(tables, commands, begin, end, zone, e, seen, asked)
    if verdict == 0:
        verdict = _injections(tables, commands, begin, end, e, seen, asked)
    if verdict == 0:
        verdict = _cooldowns(tables, commands, begin, end, e, seen, asked)
    if verdict == 0:
        verdict = _targets(tables, commands, begin, end, e, seen)
    return verdict


@njit(cache=True)
def _may_switch(tables, line, zone):  # pragma: no cover
    """Whether the zone may set the status of the line (an inner line, or a tie it has a say in)."""
    ends, rules = tables.line[line], tables.rules[0]
    if ends.or_zone == ends.ex_zone:
        return ends.or_zone == zone
    return (ends.or_zone == zone and rules.tie_switch_or) or (ends.ex_zone == zone and rules.tie_switch_ex)


@njit(cache=True)
def _note(tables, commands, begin, end, zone, asked):  # pragma: no cover
    """Spreads the commands out; refuses what is not the zone's or not a value at all."""
    verdict = Reason.ACCEPTED
    for c in range(begin, end):
        kind, i, value = commands.kind[c], commands.index[c], commands.value[c]
        owner = zone
        if kind == Kind.SET_LINE_STATUS:
            asked.line_set[i] = np.int8(value)
            owner = zone if _may_switch(tables, i, zone) else -1
        elif kind == Kind.CHANGE_LINE_STATUS:
            asked.line_change[i] = True
            owner = zone if _may_switch(tables, i, zone) else -1
        elif kind == Kind.SET_BUS:
            owner = tables.place[i].zone
            asked.place_set[i] = np.int8(value)
            if value == 0 or value < -1 or value > tables.rules[0].n_busbar:
                verdict = Reason.AMBIGUOUS_BUS
        elif kind == Kind.CHANGE_BUS:
            owner = tables.place[i].zone
            asked.place_change[i] = True
            if tables.rules[0].n_busbar != 2:
                verdict = Reason.AMBIGUOUS_BUS
        elif kind == Kind.SET_STORAGE:
            owner = tables.storage[i].zone
        else:
            owner = tables.gen[i].zone
        if owner != zone:
            return Reason.NOT_IN_ZONE
    return verdict


@njit(cache=True)
def _contradictions(tables, commands, begin, end, asked):  # pragma: no cover
    """Grid2Op's ambiguous combinations on a line and on a place."""
    for c in range(begin, end):
        kind, i = commands.kind[c], commands.index[c]
        if kind > Kind.CHANGE_BUS:
            continue
        line = i if kind <= Kind.CHANGE_LINE_STATUS else tables.place[i].line
        if kind >= Kind.SET_BUS and asked.place_set[i] != 0 and asked.place_change[i]:
            return Reason.AMBIGUOUS_BUS
        if line < 0:
            continue
        or_pos, ex_pos = tables.line[line].or_pos, tables.line[line].ex_pos
        or_bus, ex_bus = asked.place_set[or_pos], asked.place_set[ex_pos]
        changed = asked.place_change[or_pos] or asked.place_change[ex_pos]
        status = asked.line_set[line]
        if status != 0 and (asked.line_change[line] or changed):
            return Reason.AMBIGUOUS_LINE
        if (status < 0 and (or_bus > 0 or ex_bus > 0)) or (status > 0 and (or_bus < 0 or ex_bus < 0)):
            return Reason.AMBIGUOUS_LINE
        if (or_bus < 0 and ex_bus > 0) or (or_bus > 0 and ex_bus < 0):
            return Reason.AMBIGUOUS_LINE
    return Reason.ACCEPTED


@njit(cache=True)
def _impact(tables, commands, begin, end, zone, e, seen, asked):  # pragma: no cover
    """Marks the impacted lines and substations (Grid2Op's topological impact) and holds them against the quotas."""
    lines = subs = 0
    for c in range(begin, end):
        kind, i = commands.kind[c], commands.index[c]
        if kind > Kind.CHANGE_BUS:
            continue
        if kind <= Kind.CHANGE_LINE_STATUS:
            if not asked.line_hit[i]:
                asked.line_hit[i] = True
                lines += 1
            continue
        line = tables.place[i].line
        if line >= 0:
            or_pos, ex_pos = tables.line[line].or_pos, tables.line[line].ex_pos
            connected = seen.topo_vect[e, or_pos] > 0
            or_bus, ex_bus = asked.place_set[or_pos], asked.place_set[ex_pos]
            by_bus = (or_bus < 0 or ex_bus < 0) if connected else (or_bus > 0 or ex_bus > 0)
            by_status = not connected and (asked.line_set[line] != 0 or asked.line_change[line])
            if by_bus and not _may_switch(tables, line, zone):
                return Reason.NOT_IN_ZONE
            if by_bus and not asked.line_hit[line]:
                asked.line_hit[line] = True
                lines += 1
            if by_bus or by_status:
                continue
        sub = tables.place[i].sub
        if not asked.sub_hit[sub]:
            asked.sub_hit[sub] = True
            subs += 1
    if lines > tables.rules[0].max_line:
        return Reason.TOO_MANY_LINES
    if subs > tables.rules[0].max_sub:
        return Reason.TOO_MANY_SUBS
    return Reason.ACCEPTED


@njit(cache=True)
def _injections(tables, commands, begin, end, e, seen, asked):  # pragma: no cover
    """Ranges of redispatch, curtailment and storage; limits are compared in single precision, as Grid2Op does."""
    for c in range(begin, end):
        kind, i, value = commands.kind[c], commands.index[c], np.float32(commands.value[c])
        if kind == Kind.REDISPATCH:
            gen = tables.gen[i]
            within = -np.float32(gen.ramp_down) <= value <= np.float32(gen.ramp_up)
            if (gen.renewable and value != 0) or not within:
                return Reason.REDISPATCH_OUT_OF_RANGE
        elif kind == Kind.CURTAIL:
            if not tables.gen[i].renewable or not 0 <= value <= 1:
                return Reason.CURTAILMENT_OUT_OF_RANGE
        elif kind == Kind.SET_STORAGE:
            unit = tables.storage[i]
            if not -np.float32(unit.max_prod) <= value <= np.float32(unit.max_absorb):
                return Reason.STORAGE_OUT_OF_RANGE
            off = seen.topo_vect[e, unit.pos] < 0
            rejoins = asked.place_set[unit.pos] > 0 or asked.place_change[unit.pos]
            if off and not rejoins and abs(value) >= 1e-7:
                return Reason.STORAGE_DISCONNECTED
    return Reason.ACCEPTED


@njit(cache=True)
def _cooldowns(tables, commands, begin, end, e, seen, asked):  # pragma: no cover
    for c in range(begin, end):
        kind, i = commands.kind[c], commands.index[c]
        if kind > Kind.CHANGE_BUS:
            continue
        line = i if kind <= Kind.CHANGE_LINE_STATUS else tables.place[i].line
        if line >= 0 and asked.line_hit[line] and seen.cooldown_line[e, line] > 0:
            return Reason.LINE_COOLDOWN
        if kind >= Kind.SET_BUS:
            sub = tables.place[i].sub
            if asked.sub_hit[sub] and seen.cooldown_sub[e, sub] > 0:
                return Reason.SUB_COOLDOWN
    return Reason.ACCEPTED


@njit(cache=True)
def _targets(tables, commands, begin, end, e, seen):  # pragma: no cover
    """A redispatch is refused beforehand when its summed target leaves what the generator can ever do."""
    for c in range(begin, end):
        if commands.kind[c] != Kind.REDISPATCH or commands.value[c] == 0:
            continue
        g = commands.index[c]
        before = seen.target[e, g] if seen.modified[e, g] else seen.actual[e, g]
        if abs(before + commands.value[c]) > tables.gen[g].pmax - tables.gen[g].pmin:
            return Reason.REDISPATCH_TARGET_OUT_OF_RANGE
        if not tables.rules[0].can_switch_off and abs(seen.scheduled_p[e, g]) <= 1e-7:
            return Reason.GEN_SWITCHED_OFF
    return Reason.ACCEPTED
