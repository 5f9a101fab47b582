"""``System.problems``: each fault found and named, and a sound system without any."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandapower.networks
import pytest

from marlgrid.model.datasets.pandapower_net import grid_from_pandapower
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.system import System
from marlgrid.model.zones import Zones
from tests.simulation.small import small_grid, small_system


def system_of(**changes) -> System:
    grid = small_grid(**changes)
    return System(grid, Zones(grid, np.array([0, 1, 1], dtype=np.int32)), Parameters())


def topo_vect(**out_or_bus) -> np.ndarray:
    """The start topology with everything on busbar 1 except ``line_or={0: -1}`` and the like."""
    grid = small_grid()
    values = np.ones(grid.dim_topo, dtype=np.int32)
    for kind, buses in out_or_bus.items():
        for element, bus in buses.items():
            values[getattr(grid.topology_layout, kind)[element]] = bus
    return values


def test_a_sound_system_has_none():
    assert small_system().problems() == []


@pytest.mark.parametrize("name", ["case5", "case14", "case118"])
def test_pandapower_networks_have_none(name):
    grid = grid_from_pandapower(getattr(pandapower.networks, name)(), name)
    assert System(grid, Zones(grid, np.zeros(grid.n_sub, dtype=np.int32)), Parameters()).problems() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name_line": ("a", "b", "a", "c")}, "name_line: a used more than once"),
        ({"name_load": ("load_0", " ")}, "name_load: no text at 1"),
        ({"gen_pmax": np.ones(2)}, "gen_pmax has 2 entries for 3 elements of name_gen"),
        ({"gen_type": ("thermal",)}, "gen_type has 1 entries"),
        ({"n_busbar": 0}, "n_busbar is 0"),
        ({"sn_mva": 0.0}, "sn_mva is 0.0"),
        ({"load_to_subid": np.array([1, 3])}, r"load_to_subid: load 1 \(load_1\): 3, substations are 0 to 2"),
        ({"line_or_to_subid": np.array([0, -1, 1, 0])}, r"line_or_to_subid: line 1 \(line_1\): -1"),
        ({"line_ex_to_subid": np.array([0, 2, 2, 1])}, r"both ends at one substation: line 0 \(line_0\)"),
        ({"load_p_mw": np.array([50, np.nan])}, r"load_p_mw: load 1 \(load_1\): nan, give finite numbers"),
        ({"line_y_or_pu": np.array([0, 0, np.inf, 0j])}, r"line_y_or_pu: line 2 \(line_2\)"),
        ({"sub_xy": np.array([[0, 0], [np.nan, 1], [2, 2]])}, r"sub_xy: sub 1 \(sub_1\)"),
        ({"thermal_limit": np.array([100, 0, -5, 100.0])}, r"thermal_limit: line 1 \(line_1\): 0.0, line 2 .*above 0"),
        ({"sub_vn_kv": np.array([100, 0, 100.0])}, "sub_vn_kv: sub 1 .* above 0"),
        ({"line_ratio": np.array([1, 1, 1, 0.0])}, "line_ratio: line 3 .* above 0"),
        ({"line_r_pu": np.zeros(4), "line_x_pu": np.array([0.1, 0, 0.1, 0.1])}, "no impedance: line 1"),
        ({"gen_pmin": np.array([0, 70, 0.0])}, r"gen_pmin is above gen_pmax: gen 1 \(gen_1\)"),
        ({"gen_max_ramp_up": np.array([5, -1, 0.0])}, "gen_max_ramp_up: gen 1 .* at least 0"),
        ({"gen_max_ramp_down": np.array([5, 1, -0.1])}, "gen_max_ramp_down: gen 2 .* at least 0"),
        ({"gen_min_uptime": np.array([0, -3, 0])}, "gen_min_uptime: gen 1 .* at least 0"),
        ({"gen_v_kv": np.array([102, 0, 101.0])}, "gen_v_kv: gen 1 .* above 0"),
        ({"gen_type": ("thermal", "gas", "wind")}, "gen_type: gen 1 .*gas, choose from thermal"),
        ({"gen_slack": np.zeros(3, dtype=bool)}, "no slack generator"),
        ({"gen_slack": np.array([True, True, False])}, r"several slack generators: gen 0 \(gen_0\), gen 1"),
        ({"gen_regulates_voltage": np.array([False, True, True])}, "the slack must hold its voltage.*gen 0"),
        ({"storage_emin": np.array([11.0])}, r"storage_emin is above storage_emax: storage 0 \(storage_0\)"),
        ({"storage_emax": np.array([0.0]), "storage_emin": np.array([0.0])}, "storage_emax: .* above 0"),
        ({"storage_max_p_prod": np.array([-1.0])}, "storage_max_p_prod: .* at least 0"),
        ({"storage_loss": np.array([-1.0])}, "storage_loss: .* at least 0"),
        ({"storage_charging_efficiency": np.array([0.0])}, r"storage_charging_efficiency: .* in \(0, 1\]"),
        ({"storage_discharging_efficiency": np.array([1.1])}, r"storage_discharging_efficiency: .* in \(0, 1\]"),
        ({"initial_topo_vect": np.ones(3, dtype=np.int32)}, "initial_topo_vect has 3 entries, dim_topo is 14"),
        ({"initial_topo_vect": topo_vect(gen={1: 3})}, "place .*: 3, busbars are 1 to 2"),
        ({"initial_topo_vect": topo_vect(gen={1: 0})}, "place .*: 0, busbars are 1 to 2"),
        ({"initial_topo_vect": topo_vect(line_or={1: -1})}, "one end out of service at the start: line 1"),
        ({"initial_topo_vect": topo_vect(load={1: -1})}, "out of service at the start: load 1"),
        ({"initial_topo_vect": topo_vect(gen={2: -1})}, "out of service at the start: gen 2"),
        (
            {"initial_topo_vect": topo_vect(line_or={1: -1, 2: -1}, line_ex={1: -1, 2: -1})},
            r"not connected to the slack generator at the start: sub 2 \(sub_2\)",
        ),
        ({"initial_topo_vect": topo_vect(load={0: 2})}, r"not connected to the slack generator at the start: sub 1"),
    ],
)
def test_each_fault_is_named(changes, message):
    found = system_of(**changes).problems()
    assert len(found) == 1, found
    assert re.search(message, found[0]), found[0]


def test_substation_with_nothing():
    grid = small_grid(
        name_sub=("sub_0", "sub_1", "sub_2", "sub_3"), sub_vn_kv=np.full(4, 100.0), sub_xy=np.zeros((4, 2))
    )
    found = System(grid, Zones(grid, np.array([0, 1, 1, 1], dtype=np.int32)), Parameters()).problems()
    assert found == ["nothing is connected to sub 3 (sub_3), remove these substations"]


def test_lines_out_at_the_start_are_no_fault():
    assert system_of(initial_topo_vect=topo_vect(line_or={0: -1}, line_ex={0: -1})).problems() == []
    assert system_of(initial_topo_vect=topo_vect(storage={0: -1})).problems() == []


def test_all_faults_are_listed_at_once():
    found = system_of(
        thermal_limit=np.zeros(4),
        gen_pmin=np.full(3, 1000.0),
        name_gen=("x", "x", "x"),
        gen_slack=np.zeros(3, dtype=bool),
    ).problems()
    assert len(found) == 4


def test_long_lists_are_cut():
    grid = grid_from_pandapower(pandapower.networks.case14(), "case14")
    grid = replace(grid, thermal_limit=np.zeros(20))
    (found,) = System(grid, Zones(grid, np.zeros(14, dtype=np.int32)), Parameters()).problems()
    assert found.endswith("and 15 more, give numbers above 0")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "zone labels have shape"),
        ([0, 2, 2], "zone.* 1 have no substation"),
        ([0, -1, 0], "negative zone label"),
    ],
)
def test_zones(labels, message):
    grid = small_grid()
    found = System(grid, Zones(grid, np.array(labels, dtype=np.int32)), Parameters()).problems()
    assert any(re.search(message, text) for text in found), found


def test_zones_of_another_grid():
    grid = small_grid()
    system = System(grid, Zones(small_grid(), np.array([0, 1, 1], dtype=np.int32)), Parameters())
    assert any("another grid object" in text for text in system.problems())


def test_attackable_lines():
    system = replace(small_system(), attack=AttackRules(lines=("line_0", "line_9")))
    assert system.problems() == ["attackable lines line_9 do not exist; choose from the grid's name_line"]
    system = replace(small_system(), attack=AttackRules(lines=("line_0", "line_0")))
    assert system.problems() == ["attackable lines line_0 are listed more than once"]


def test_delta_time():
    assert replace(small_system(), delta_time=0.0).problems() == ["delta_time is 0.0 minutes, give a positive number"]
