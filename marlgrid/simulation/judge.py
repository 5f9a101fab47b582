"""The judge: may this zone do all of this, on this state? One verdict for actions, batches and masks alike."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from marlgrid.compiled import kernel_in_place, rule, scratch
from marlgrid.simulation.action import Commands, Kind, concatenate


class Reason(IntEnum):
    """Why the action of a zone was refused."""

    ACCEPTED = 0
    NOT_IN_ZONE = 1
    """It touches or warns of an element of another zone, or switches a tie line that the zone may not switch."""
    AMBIGUOUS_LINE = 2
    """Its commands on a line contradict each other, or ask for a status that does not exist."""
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
    OWN_RULE = 15
    """A rule of the user's own forbids it."""
    GEN_SWITCHED_TOO_SOON = 16
    """A generator of the zone started or stopped before its minimum time; what the zone asked for was played."""


class Seen(NamedTuple):
    """What the judge reads of a state."""

    topo_vect: np.ndarray
    cooldown_line: np.ndarray
    cooldown_sub: np.ndarray
    target: np.ndarray
    modified: np.ndarray
    actual: np.ndarray
    scheduled_p: np.ndarray


@rule
def seen_by_judge(state) -> Seen:  # pragma: no cover
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


@rule
def with_schedule(seen, schedule) -> Seen:  # pragma: no cover
    """The same, with the generators' schedule to come."""
    topo_vect, cooldown_line, cooldown_sub, target, modified, actual, _ = seen
    return Seen(topo_vect, cooldown_line, cooldown_sub, target, modified, actual, schedule)


LINE_PAD = np.dtype([("set", "i1"), ("change", "?"), ("hit", "?")])
PLACE_PAD = np.dtype([("set", "i1"), ("change", "?")])
SUB_PAD = np.dtype([("hit", "?")])
AREA_PAD = np.dtype([("lines", "i4"), ("subs", "i4")])
"""One zone's commands spread out by element, and what they hit: the judge's notepad, blank between two judgements."""


class Footprints(NamedTuple):
    """Actions grouped so that the judge always agrees within a group: only busbars or ratios that they set differ, or
    whether they connect or disconnect a line."""

    commands: Commands
    start: np.ndarray
    """(n_group + 1,) int32 commands ``start[g]`` to ``start[g + 1]`` are one action of group g."""
    zone: np.ndarray
    """(n_group,) int32."""
    group: np.ndarray
    """(n_action,) int32 group of each action."""


def footprints(actions: list[Commands], zone: np.ndarray) -> Footprints:
    """Groups ``actions``, asked by ``zone`` (n_action,)."""
    groups: dict[bytes, int] = {}
    chosen, group = [], np.empty(len(actions), dtype=np.int32)
    for a, commands in enumerate(actions):
        columns = (zone[a], commands.kind, commands.index, _told_apart(commands))
        key = b"".join(column.tobytes() for column in columns)
        if key not in groups:
            groups[key] = len(groups)
            chosen.append(a)
        group[a] = groups[key]
    picked = [actions[a] for a in chosen]
    start = np.concatenate([[0], np.cumsum([len(commands.kind) for commands in picked])]).astype(np.int32)
    return Footprints(concatenate(picked), start, zone[chosen].astype(np.int32), group)


def _told_apart(commands: Commands) -> np.ndarray:
    """The values as far as the judge tells them apart."""
    kind, value = commands.kind, commands.value
    if len(kind) == 1 and kind[0] == Kind.SET_LINE_STATUS:  # nothing contradicts it
        return np.abs(value)
    within = (kind == Kind.CURTAIL) & (value >= 0) & (value <= 1)
    return np.where(within, 1.0, np.where(kind == Kind.SET_BUS, np.sign(value), value))


# ---------------------------------------------------------------------------------------------------- kernels
@rule
def judge_zones(tables, commands, first, last, seen, reason, line_impacted, sub_impacted) -> None:  # pragma: no cover
    """Writes the verdict on each zone's commands, and what the accepted ones impact."""
    line_pad, place_pad = scratch(len(tables.line), LINE_PAD), scratch(len(tables.place), PLACE_PAD)
    pads = line_pad, place_pad, scratch(sub_impacted.shape[1], SUB_PAD), scratch(tables.rules[0].n_area, AREA_PAD)
    for e in range(first.shape[0]):
        row = _row(seen, e)
        _zones_of_row(tables, commands, first[e], last[e], row, pads, reason[e], line_impacted[e], sub_impacted[e])


@rule
def judge_actions(tables, commands, start, zone, group, seen, allowed, mask) -> None:  # pragma: no cover
    """Writes which actions of a table would be accepted: those of group g as its commands ``start[g]`` and on.

    ``allowed`` (n_group,) is what it notes the groups' verdicts on.
    """
    line_pad, place_pad = scratch(len(tables.line), LINE_PAD), scratch(len(tables.place), PLACE_PAD)
    pads = line_pad, place_pad, scratch(seen.cooldown_sub.shape[1], SUB_PAD), scratch(tables.rules[0].n_area, AREA_PAD)
    for e in range(mask.shape[0]):
        _actions_of_row(tables, commands, start, zone, _row(seen, e), pads, allowed)
        for a in range(len(group)):
            mask[e, a] = allowed[group[a]]


@kernel_in_place
def note_impact(tables, commands, topo_vect, line_impacted, sub_impacted) -> None:  # pragma: no cover
    """Writes what the commands of one action impact on ``topo_vect`` (dim_topo,), whether or not they are allowed."""
    line, place, rules = tables.line, tables.place, tables.rules
    kind, index, value = commands
    line_pad, place_pad = scratch(len(line), LINE_PAD), scratch(len(place), PLACE_PAD)
    sub_pad, area_pad = scratch(len(sub_impacted), SUB_PAD), scratch(rules[0].n_area, AREA_PAD)
    pads = line_pad, place_pad, sub_pad, area_pad
    end = len(kind)
    _note(tables, kind, index, value, 0, end, 0, line_pad, place_pad)
    _impact(line, place, rules, kind, index, 0, end, 0, topo_vect, line_pad, place_pad, sub_pad, area_pad)
    _keep_impact(tables, commands, 0, end, pads, line_impacted, sub_impacted)


@rule
def _row(seen, e):  # pragma: no cover
    """What the judge reads of one environment."""
    return (
        seen.topo_vect[e],
        seen.cooldown_line[e],
        seen.cooldown_sub[e],
        seen.target[e],
        seen.modified[e],
        seen.actual[e],
        seen.scheduled_p[e],
    )


@rule
def _zones_of_row(tables, commands, first, last, row, pads, reason, line_impacted, sub_impacted):  # pragma: no cover
    for z in range(len(first)):
        if first[z] < last[z]:
            reason[z] = _judge(tables, commands, first[z], last[z], z, row, pads)
            if reason[z] == 0:
                _keep_impact(tables, commands, first[z], last[z], pads, line_impacted, sub_impacted)
            _wipe(tables, commands, first[z], last[z], pads)


@rule
def _actions_of_row(tables, commands, start, zone, row, pads, allowed):  # pragma: no cover
    for a in range(len(zone)):
        allowed[a] = _judge(tables, commands, start[a], start[a + 1], zone[a], row, pads) == 0
        _wipe(tables, commands, start[a], start[a + 1], pads)


@rule
def _wipe(tables, commands, begin, end, pads):  # pragma: no cover
    """Blanks the notepad."""
    place, (line_pad, place_pad, sub_pad, _) = tables.place, pads
    for c in range(begin, end):
        i = commands.index[c]
        if commands.kind[c] <= Kind.CHANGE_LINE_STATUS:
            line_pad[i].set = 0
            line_pad[i].change = False
            line_pad[i].hit = False
        elif commands.kind[c] <= Kind.CHANGE_BUS:
            place_pad[i].set = 0
            place_pad[i].change = False
            sub_pad[place[i].sub].hit = False
            if place[i].line >= 0:
                line_pad[place[i].line].hit = False


@rule
def _keep_impact(tables, commands, begin, end, pads, line_impacted, sub_impacted):  # pragma: no cover
    """Keeps what the notepad says was hit."""
    place, (line_pad, _, sub_pad, _) = tables.place, pads
    for c in range(begin, end):
        kind, i = commands.kind[c], commands.index[c]
        if kind > Kind.CHANGE_BUS:
            continue
        line = i if kind <= Kind.CHANGE_LINE_STATUS else place[i].line
        if line >= 0 and line_pad[line].hit:
            line_impacted[line] = True
        if kind >= Kind.SET_BUS and sub_pad[place[i].sub].hit:
            sub_impacted[place[i].sub] = True


@rule
def _judge(tables, commands, begin, end, zone, row, pads):  # pragma: no cover
    """The ``Reason`` for one zone's commands ``begin`` to ``end`` on one row of the state; fills the notepad."""
    line, place, gen, storage, rules = tables.line, tables.place, tables.gen, tables.storage, tables.rules
    kind, index, value = commands
    topo, cooldown_line, cooldown_sub, target, modified, actual, scheduled_p = row
    line_pad, place_pad, sub_pad, area_pad = pads
    verdict = _note(tables, kind, index, value, begin, end, zone, line_pad, place_pad)
    if verdict == 0:
        verdict = _contradictions(line, place, kind, index, begin, end, line_pad, place_pad)
    if verdict == 0:
        verdict = _injections(gen, storage, rules, kind, index, value, begin, end, topo, place_pad)
    if verdict == 0:
        verdict = _impact(
            line, place, rules, kind, index, begin, end, zone, topo, line_pad, place_pad, sub_pad, area_pad
        )
    if verdict == 0:
        verdict = _quotas(rules, area_pad)
    if verdict == 0:
        verdict = _cooldowns(place, rules, kind, index, begin, end, cooldown_line, cooldown_sub, line_pad, sub_pad)
    if verdict == 0:
        verdict = _targets(gen, rules, kind, index, value, begin, end, target, modified, actual, scheduled_p)
    return verdict


@rule
def _may_switch(line, rules, i, zone):  # pragma: no cover
    """Whether the zone may set the status of line i (an inner line, or a tie it has a say in)."""
    if line[i].or_zone == line[i].ex_zone:
        return line[i].or_zone == zone
    by_origin = line[i].or_zone == zone and rules[0].tie_switch_or
    return by_origin or (line[i].ex_zone == zone and rules[0].tie_switch_ex)


@rule
def _note(tables, kind, index, value, begin, end, zone, line_pad, place_pad):  # pragma: no cover
    """Spreads the commands out; refuses what is not the zone's or not a value at all."""
    line, place, rules = tables.line, tables.place, tables.rules
    verdict = Reason.ACCEPTED
    for c in range(begin, end):
        i = index[c]
        if kind[c] <= Kind.CHANGE_LINE_STATUS:
            owned = _may_switch(line, rules, i, zone)
            if kind[c] == Kind.SET_LINE_STATUS:
                line_pad[i].set = np.int8(value[c])
                if value[c] != 1 and value[c] != -1:
                    verdict = Reason.AMBIGUOUS_LINE
            else:
                line_pad[i].change = True
        elif kind[c] == Kind.SET_BUS:
            owned = place[i].zone == zone
            place_pad[i].set = np.int8(value[c])
            exists = 1 <= value[c] <= rules[0].n_busbar and value[c] == np.floor(value[c])
            if not exists and value[c] != -1:
                verdict = Reason.AMBIGUOUS_BUS
        elif kind[c] == Kind.CHANGE_BUS:
            owned = place[i].zone == zone
            place_pad[i].change = True
            if rules[0].n_busbar != 2:
                verdict = Reason.AMBIGUOUS_BUS
        elif kind[c] == Kind.SET_STORAGE:
            owned = tables.storage[i].zone == zone
        elif kind[c] == Kind.RAISE_ALARM:
            owned = tables.may_alarm[zone, i]
        elif kind[c] == Kind.RAISE_ALERT:
            owned = tables.may_alert[zone, i]
        else:
            owned = tables.gen[i].zone == zone
        if not owned:
            verdict = Reason.NOT_IN_ZONE
    return verdict


@rule
def _contradictions(line, place, kind, index, begin, end, line_pad, place_pad):  # pragma: no cover
    """Grid2Op's ambiguous combinations on a line and on a place."""
    for c in range(begin, end):
        i = index[c]
        if kind[c] > Kind.CHANGE_BUS:
            continue
        l = i if kind[c] <= Kind.CHANGE_LINE_STATUS else place[i].line
        if kind[c] >= Kind.SET_BUS and place_pad[i].set != 0 and place_pad[i].change:
            return Reason.AMBIGUOUS_BUS
        if l < 0:
            continue
        or_bus = place_pad[line[l].or_pos].set
        ex_bus = place_pad[line[l].ex_pos].set
        changed = place_pad[line[l].or_pos].change or place_pad[line[l].ex_pos].change
        status = line_pad[l].set
        if status != 0 and (line_pad[l].change or changed):
            return Reason.AMBIGUOUS_LINE
        if (status < 0 and (or_bus > 0 or ex_bus > 0)) or (status > 0 and (or_bus < 0 or ex_bus < 0)):
            return Reason.AMBIGUOUS_LINE
        if (or_bus < 0 and ex_bus > 0) or (or_bus > 0 and ex_bus < 0):
            return Reason.AMBIGUOUS_LINE
    return Reason.ACCEPTED


@rule
def _impact(
    line, place, rules, kind, index, begin, end, zone, topo, line_pad, place_pad, sub_pad, area_pad
):  # pragma: no cover
    """Marks the impacted lines and substations (Grid2Op's topological impact) and counts them by area.

    Refused where a busbar would switch a line that the zone may not switch.
    """
    verdict = Reason.ACCEPTED
    for a in range(len(area_pad)):
        area_pad[a].lines = 0
        area_pad[a].subs = 0
    for c in range(begin, end):
        i = index[c]
        if kind[c] > Kind.CHANGE_BUS:
            continue
        if kind[c] <= Kind.CHANGE_LINE_STATUS:
            area_pad[line[i].area].lines += not line_pad[i].hit
            line_pad[i].hit = True
            continue
        l = place[i].line
        if l >= 0:
            connected = topo[line[l].or_pos] > 0
            or_bus = place_pad[line[l].or_pos].set
            ex_bus = place_pad[line[l].ex_pos].set
            by_bus = (or_bus < 0 or ex_bus < 0) if connected else (or_bus > 0 or ex_bus > 0)
            if by_bus:
                if not _may_switch(line, rules, l, zone):
                    verdict = Reason.NOT_IN_ZONE
                area_pad[line[l].area].lines += not line_pad[l].hit
                line_pad[l].hit = True
            if by_bus or (not connected and (line_pad[l].set != 0 or line_pad[l].change)):
                continue
        area_pad[place[i].area].subs += not sub_pad[place[i].sub].hit
        sub_pad[place[i].sub].hit = True
    return verdict


@rule
def _quotas(rules, area_pad):  # pragma: no cover
    for a in range(len(area_pad)):
        if area_pad[a].lines > rules[0].max_line:
            return Reason.TOO_MANY_LINES
        if area_pad[a].subs > rules[0].max_sub:
            return Reason.TOO_MANY_SUBS
    return Reason.ACCEPTED


@rule
def _injections(gen, storage, rules, kind, index, value, begin, end, topo, place_pad):  # pragma: no cover
    """Ranges of redispatch, curtailment and storage; limits are compared in single precision, as Grid2Op does."""
    for c in range(begin, end):
        i = index[c]
        asked = np.float32(value[c])
        if kind[c] == Kind.REDISPATCH:
            within = -np.float32(gen[i].ramp_down) <= asked <= np.float32(gen[i].ramp_up)
            if (gen[i].renewable and asked != 0) or not within:
                return Reason.REDISPATCH_OUT_OF_RANGE
        elif kind[c] == Kind.CURTAIL:
            if not gen[i].renewable or not 0 <= asked <= 1:
                return Reason.CURTAILMENT_OUT_OF_RANGE
        elif kind[c] == Kind.SET_STORAGE:
            if not -np.float32(storage[i].max_prod) <= asked <= np.float32(storage[i].max_absorb):
                return Reason.STORAGE_OUT_OF_RANGE
            pos = storage[i].pos
            rejoins = place_pad[pos].set > 0 or place_pad[pos].change
            if rules[0].storage_needs_bus and topo[pos] < 0 and not rejoins and abs(asked) >= 1e-7:
                return Reason.STORAGE_DISCONNECTED
    return Reason.ACCEPTED


@rule
def _cooldowns(
    place, rules, kind, index, begin, end, cooldown_line, cooldown_sub, line_pad, sub_pad
):  # pragma: no cover
    if not rules[0].cooldowns:
        return Reason.ACCEPTED
    for c in range(begin, end):
        i = index[c]
        if kind[c] > Kind.CHANGE_BUS:
            continue
        l = i if kind[c] <= Kind.CHANGE_LINE_STATUS else place[i].line
        if l >= 0 and line_pad[l].hit and cooldown_line[l] > 0:
            return Reason.LINE_COOLDOWN
        if kind[c] >= Kind.SET_BUS and sub_pad[place[i].sub].hit and cooldown_sub[place[i].sub] > 0:
            return Reason.SUB_COOLDOWN
    return Reason.ACCEPTED


@rule
def _targets(gen, rules, kind, index, value, begin, end, target, modified, actual, scheduled_p):  # pragma: no cover
    """A redispatch is refused beforehand when its summed target leaves what the generator can ever do."""
    for c in range(begin, end):
        if kind[c] != Kind.REDISPATCH or value[c] == 0:
            continue
        g = index[c]
        before = target[g] if modified[g] else actual[g]
        if abs(before + value[c]) > gen[g].pmax - gen[g].pmin:
            return Reason.REDISPATCH_TARGET_OUT_OF_RANGE
        if not rules[0].can_switch_off and abs(scheduled_p[g]) <= 1e-7:
            return Reason.GEN_SWITCHED_OFF
    return Reason.ACCEPTED
