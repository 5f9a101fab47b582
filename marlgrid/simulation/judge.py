"""The judge: may this zone do all of this, on this state? One verdict for actions, batches and masks alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.compiled import rule, scratch
from marlgrid.simulation.action import Kind
from marlgrid.simulation.notepad import AREA_PAD, LINE_PAD, PLACE_PAD, SUB_PAD, keep_impact, mark_impact, note, wipe
from marlgrid.simulation.reason import Reason


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


@rule
def judge_zones(tables, commands, first, last, seen, reason, line_impacted, sub_impacted) -> None:  # pragma: no cover
    """Writes the verdict on each zone's commands, and what the accepted ones impact."""
    line_pad, place_pad = scratch(len(tables.line), LINE_PAD), scratch(len(tables.place), PLACE_PAD)
    pads = line_pad, place_pad, scratch(sub_impacted.shape[1], SUB_PAD), scratch(tables.rules[0].n_area, AREA_PAD)
    for e in range(first.shape[0]):
        row = _row(seen, e)
        _zones_of_row(tables, commands, first[e], last[e], row, pads, reason[e], line_impacted[e], sub_impacted[e])


@rule
def judge_actions(tables, commands, start, zone, group, seen, rows, mask) -> None:  # pragma: no cover
    """Writes which actions of a table would be accepted in the environments ``rows``.

    Those of group g are judged as its commands ``start[g]`` and on.
    """
    allowed = scratch(len(zone), np.bool_)
    line_pad, place_pad = scratch(len(tables.line), LINE_PAD), scratch(len(tables.place), PLACE_PAD)
    pads = line_pad, place_pad, scratch(seen.cooldown_sub.shape[1], SUB_PAD), scratch(tables.rules[0].n_area, AREA_PAD)
    for e in rows:
        _actions_of_row(tables, commands, start, zone, _row(seen, e), pads, allowed)
        for a in range(len(group)):
            mask[e, a] = allowed[group[a]]


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
                keep_impact(tables, commands, first[z], last[z], pads, line_impacted, sub_impacted)
            wipe(tables, commands, first[z], last[z], pads)


@rule
def _actions_of_row(tables, commands, start, zone, row, pads, allowed):  # pragma: no cover
    for a in range(len(zone)):
        allowed[a] = _judge(tables, commands, start[a], start[a + 1], zone[a], row, pads) == 0
        wipe(tables, commands, start[a], start[a + 1], pads)


@rule
def _judge(tables, commands, begin, end, zone, row, pads):  # pragma: no cover
    """The ``Reason`` for one zone's commands ``begin`` to ``end`` on one row of the state; fills the notepad."""
    line, place, gen, storage, rules = tables.line, tables.place, tables.gen, tables.storage, tables.rules
    kind, index, value = commands
    topo, cooldown_line, cooldown_sub, target, modified, actual, scheduled_p = row
    line_pad, place_pad, sub_pad, area_pad = pads
    verdict = note(tables, kind, index, value, begin, end, zone, line_pad, place_pad)
    if verdict == 0:
        verdict = _contradictions(line, place, kind, index, begin, end, line_pad, place_pad)
    if verdict == 0:
        verdict = _injections(gen, storage, rules, kind, index, value, begin, end, topo, place_pad)
    if verdict == 0:
        verdict = mark_impact(
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
def _quotas(rules, area_pad):  # pragma: no cover
    for a in range(len(area_pad)):
        if area_pad[a].lines > rules[0].max_line:
            return Reason.TOO_MANY_LINES
        if area_pad[a].subs > rules[0].max_sub:
            return Reason.TOO_MANY_SUBS
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
