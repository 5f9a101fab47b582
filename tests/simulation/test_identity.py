"""Zones that play the parts of one legal action come to the state to which one zone comes that plays it whole."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marlgrid.model.datasets.case import load_case
from marlgrid.model.zones import make_zones
from marlgrid.powerflow import power_flow
from marlgrid.simulation.action import Commands, Kind, canonical, joint, no_attack
from marlgrid.simulation.step import initial, step
from marlgrid.task.commands import split_by_zone

K = Kind
COMMAND = st.tuples(st.sampled_from(list(Kind)), st.integers(0, 10**6), st.floats(-1, 1, width=32))


@lru_cache
def world(case):
    """The system in its zones and in one, with quotas that leave room, its series and its solver."""
    if case.startswith("educ"):
        pytest.importorskip("grid2op")
    room = {"max_line_status_changed": 4, "max_sub_changed": 4}
    system, series = load_case(case, zones=3, parameters=room)
    return system, replace(system, zones=make_zones(system.grid, 1)), series, power_flow("newton", system.grid)


def action_of(system, drawn):
    """Commands out of drawn numbers: whatever the kind, an element that has it and a value within its range."""
    grid = system.grid
    dispatchable, renewable = np.flatnonzero(grid.gen_redispatchable), np.flatnonzero(grid.gen_renewable)
    made = []
    for kind, number, level in drawn:
        if kind in (K.SET_LINE_STATUS, K.CHANGE_LINE_STATUS):
            made.append((kind, number % grid.n_line, 1.0 if kind == K.CHANGE_LINE_STATUS or level > -0.3 else -1.0))
        elif kind in (K.SET_BUS, K.CHANGE_BUS):
            made.append((kind, number % grid.dim_topo, 1.0 if kind == K.CHANGE_BUS or level < 0 else 2.0))
        elif kind == K.REDISPATCH and len(dispatchable):
            gen = dispatchable[number % len(dispatchable)]
            made.append((kind, gen, level * (grid.gen_max_ramp_up[gen] if level > 0 else grid.gen_max_ramp_down[gen])))
        elif kind == K.CURTAIL and len(renewable):
            made.append((kind, renewable[number % len(renewable)], (level + 1) / 2))
        elif kind == K.SET_STORAGE and grid.n_storage:
            unit = number % grid.n_storage
            power = grid.storage_max_p_absorb[unit] if level > 0 else grid.storage_max_p_prod[unit]
            made.append((kind, unit, level * power))
    kinds, index, value = zip(*made, strict=True) if made else ((), (), ())
    return canonical(Commands(np.array(kinds, np.int8), np.array(index, np.int32), np.array(value, np.float64)))


def one_zone_per_tie(system, commands):
    """By zone, without commands on a tie line that an earlier zone names: there the rule on conflicts decides."""
    line_of_place, taken, kept = system.grid.topology_layout.line, set(), []
    for part in split_by_zone(system, commands):
        lines = np.full(len(part.kind), -1)
        status, bus = part.kind <= K.CHANGE_LINE_STATUS, np.isin(part.kind, (K.SET_BUS, K.CHANGE_BUS))
        lines[status], lines[bus] = part.index[status], line_of_place[part.index[bus]]
        free = ~np.isin(lines, list(taken))
        kept.append(Commands(*(column[free] for column in part)))
        taken |= set(lines.tolist()) - {-1}
    return kept


def assert_equal(ours, theirs, where="state"):
    """Every array of two nested records, bit for bit."""
    if isinstance(ours, tuple):
        for name, a, b in zip(ours._fields, ours, theirs, strict=True):
            assert_equal(a, b, f"{where}.{name}")
    else:
        np.testing.assert_array_equal(ours, theirs, where)


@pytest.mark.parametrize("case", ["case14", "educ_case14_storage"])
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.lists(COMMAND, min_size=1, max_size=6), min_size=1, max_size=4))
def test_parts_of_a_legal_action_lead_where_the_whole_leads(case, steps):
    parted, whole, series, solver = world(case)
    zero = np.zeros(1, dtype=np.int64)
    state = initial(parted, solver, series, zero, zero, zero, zero + 50)
    calm = no_attack(1, parted.grid.n_line)
    for drawn in steps:
        parts = one_zone_per_tie(parted, action_of(parted, drawn))
        together = canonical(Commands(*(np.concatenate(columns) for columns in zip(*parts, strict=True))))
        after_whole, ruling_whole = step(whole, solver, series, state, joint([[together]]), calm)
        if not ruling_whole.accepted.all():
            continue
        after_parts, ruling_parts = step(parted, solver, series, state, joint([parts]), calm)
        assert ruling_parts.accepted.all()
        np.testing.assert_array_equal(ruling_parts.line_impacted, ruling_whole.line_impacted)
        np.testing.assert_array_equal(ruling_parts.sub_impacted, ruling_whole.sub_impacted)
        assert_equal(after_parts, after_whole)
        state = after_parts
        if not state.running.all():
            return
