"""One zone's commands spread out by element, and what they hit: what the judge takes down before it rules."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel_in_place, rule, scratch
from marlgrid.simulation.action import Kind
from marlgrid.simulation.reason import Reason

LINE_PAD = np.dtype([("set", "i1"), ("change", "?"), ("hit", "?")])
PLACE_PAD = np.dtype([("set", "i1"), ("change", "?")])
SUB_PAD = np.dtype([("hit", "?")])
AREA_PAD = np.dtype([("lines", "i4"), ("subs", "i4")])
"""One zone's commands spread out by element, and what they hit: the judge's notepad, blank between two judgements."""


@kernel_in_place
def note_impact(tables, commands, topo_vect, line_impacted, sub_impacted) -> None:  # pragma: no cover
    """Writes what the commands of one action impact on ``topo_vect`` (dim_topo,), whether or not they are allowed."""
    line, place, rules = tables.line, tables.place, tables.rules
    kind, index, value = commands
    line_pad, place_pad = scratch(len(line), LINE_PAD), scratch(len(place), PLACE_PAD)
    sub_pad, area_pad = scratch(len(sub_impacted), SUB_PAD), scratch(rules[0].n_area, AREA_PAD)
    pads = line_pad, place_pad, sub_pad, area_pad
    end = len(kind)
    note(tables, kind, index, value, 0, end, 0, line_pad, place_pad)
    mark_impact(line, place, rules, kind, index, 0, end, 0, topo_vect, line_pad, place_pad, sub_pad, area_pad)
    keep_impact(tables, commands, 0, end, pads, line_impacted, sub_impacted)


@rule
def note(tables, kind, index, value, begin, end, zone, line_pad, place_pad) -> int:  # pragma: no cover
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
def mark_impact(
    line, place, rules, kind, index, begin, end, zone, topo, line_pad, place_pad, sub_pad, area_pad
) -> int:  # pragma: no cover
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
def _may_switch(line, rules, i, zone):  # pragma: no cover
    """Whether the zone may set the status of line i (an inner line, or a tie it has a say in)."""
    if line[i].or_zone == line[i].ex_zone:
        return line[i].or_zone == zone
    by_origin = line[i].or_zone == zone and rules[0].tie_switch_or
    return by_origin or (line[i].ex_zone == zone and rules[0].tie_switch_ex)


@rule
def keep_impact(tables, commands, begin, end, pads, line_impacted, sub_impacted) -> None:  # pragma: no cover
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
def wipe(tables, commands, begin, end, pads) -> None:  # pragma: no cover
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
