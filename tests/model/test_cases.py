"""Built-in cases are complete and true to their networks; all kinds of cases load; mistakes get one clear error."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandapower
import pandapower.networks
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marlgrid.model.datasets import builtin
from marlgrid.model.datasets.case import load_case
from marlgrid.model.datasets.pandapower_net import grid_from_pandapower
from marlgrid.model.generator import GeneratedSeries
from marlgrid.model.parameters import AttackRules, Parameters

CASES = builtin.BUILTIN_CASES
ZONES = {"case5": 2, "case14": 3, "case118": 8}


@pytest.fixture(scope="module")
def cases():
    return {name: load_case(name) for name in CASES}


# ---------------------------------------------------------------------- built-in cases
@pytest.mark.parametrize("name", CASES)
def test_our_voltage_levels_leave_the_flows_as_pandapower_has_them(name):
    theirs = getattr(pandapower.networks, name)()
    ours = getattr(pandapower.networks, name)()
    levels = [float(row["vn_kv"]) for row in builtin.builtin_case(name).substations.values()]
    builtin.set_voltage_levels(ours, np.array(levels))
    for net in (theirs, ours):
        pandapower.runpp(net, numba=False)
    assert ours.res_bus.vm_pu.to_numpy() == pytest.approx(theirs.res_bus.vm_pu.to_numpy(), abs=1e-9)
    for table, column in (("res_line", "p_from_mw"), ("res_line", "q_to_mvar"), ("res_trafo", "q_hv_mvar")):
        assert ours[table][column].to_numpy() == pytest.approx(theirs[table][column].to_numpy(), abs=1e-6)
    assert ours.bus.vn_kv.tolist() == levels


@pytest.mark.parametrize("name", CASES)
def test_the_stored_network_is_what_pandapower_and_the_tables_give(cases, name):
    stored = cases[name].system.grid
    fresh = grid_from_pandapower(builtin.builtin_network(name), name=name)
    from_tables = {
        *("thermal_limit", "sub_xy", "source", "gen_type", "gen_pmin", "gen_pmax", "gen_cost_per_mw", "storage_type"),
        *("gen_max_ramp_up", "gen_max_ramp_down", "gen_min_uptime", "gen_min_downtime", "gen_startup_cost"),
        *("gen_shutdown_cost", "storage_emax", "storage_emin", "storage_max_p_prod", "storage_max_p_absorb"),
        *("storage_marginal_cost", "storage_loss", "storage_charging_efficiency", "storage_discharging_efficiency"),
    }
    for field in fields(stored):
        mine, theirs = getattr(stored, field.name), getattr(fresh, field.name)
        assert type(mine) is type(theirs), field.name
        if field.name not in from_tables and isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype, field.name
            assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-12), field.name
        elif field.name not in from_tables:
            assert mine == theirs, field.name


def test_the_ends_of_a_line_keep_one_level():
    net = pandapower.networks.case14()
    levels = net.bus.vn_kv.to_numpy().copy()
    levels[0] = 400.0
    with pytest.raises(ValueError, match="two ends of a line"):
        builtin.set_voltage_levels(net, levels)


@pytest.mark.parametrize("name", CASES)
def test_tables_fit_the_grid_and_figures_are_plausible(cases, name):
    system, series = cases[name]
    grid, data = system.grid, builtin.builtin_case(name)
    assert set(grid.name_line) == set(data.lines)
    assert set(grid.name_gen) == set(data.generators)
    assert set(grid.name_load) == set(data.loads)
    assert grid.name_sub == tuple(data.substations)
    assert {"wind", "solar", "thermal", "hydro", "nuclear"} == set(grid.gen_type)
    assert len(np.unique(grid.sub_xy, axis=0)) == grid.n_sub
    assert np.isfinite(grid.thermal_limit).all()
    assert (grid.thermal_limit > 0).all()
    assert (grid.gen_pmin <= grid.gen_pmax).all()
    units = grid.gen_redispatchable
    assert (grid.gen_max_ramp_up[units] > 0).all()
    assert (grid.gen_max_ramp_up[units] <= 0.16 * grid.gen_pmax[units]).all()
    assert not grid.gen_max_ramp_up[~units].any()
    assert grid.gen_cost_per_mw[units].min() > 0
    assert grid.gen_redispatchable[grid.slack_gen]
    assert 1 <= grid.n_storage <= 5
    assert (grid.storage_emin < grid.storage_emax).all()
    assert grid.storage_max_p_prod.min() > 0
    # Enough units to carry the peak without wind and sun.
    peak = max(
        np.asarray(series.scenario(k).values[:, : grid.n_load], dtype=float).sum(axis=1).max() for k in range(10)
    )
    assert grid.gen_pmax[units].sum() > 1.03 * peak
    assert isinstance(series, GeneratedSeries)


@pytest.mark.parametrize("name", CASES)
def test_default_zones_are_connected(cases, name):
    system = cases[name].system
    grid, labels = system.grid, system.zones.labels
    assert system.n_zone == ZONES[name]
    inside = labels[grid.line_or_to_subid] == labels[grid.line_ex_to_subid]
    ends = grid.line_or_to_subid[inside], grid.line_ex_to_subid[inside]
    graph = coo_array((np.ones(inside.sum()), ends), shape=(grid.n_sub, grid.n_sub))
    assert connected_components(graph, directed=False)[0] == system.n_zone
    for zone in range(system.n_zone):
        assert (system.zones.gen == zone).any()
        assert (system.zones.load == zone).any()


@pytest.mark.parametrize("name", CASES)
def test_losing_one_attackable_or_maintained_line_islands_nothing(cases, name):
    system, series = cases[name]
    grid = system.grid
    assert len(system.attack.lines) >= 4
    if name == "case14":
        assert 6 <= len(system.attack.lines) <= 8
    for line in {*np.flatnonzero(system.attackable), *series.maintenance_lines}:
        keep = np.arange(grid.n_line) != line
        ends = grid.line_or_to_subid[keep], grid.line_ex_to_subid[keep]
        graph = coo_array((np.ones(keep.sum()), ends), shape=(grid.n_sub, grid.n_sub))
        assert connected_components(graph, directed=False)[0] == 1, grid.name_line[line]


@pytest.mark.parametrize("name", CASES)
def test_the_source_is_the_network_with_our_changes(cases, name):
    grid = cases[name].system.grid
    net = pandapower.from_json_string(grid.source)
    assert len(net.gen) + len(net.sgen) + len(net.ext_grid) == grid.n_gen
    assert len(net.storage) == grid.n_storage
    assert net.bus.vn_kv.to_numpy() == pytest.approx(grid.sub_vn_kv)


def test_doing_nothing_survives_30_to_70_per_cent_of_a_day(cases):
    from marlgrid.powerflow import power_flow
    from marlgrid.simulation.action import do_nothing, no_attack
    from marlgrid.simulation.step import initial, step

    system, series = cases["case14"]
    solver, n = power_flow("newton", system.grid), 40
    scenario = np.array(series.splits["validation"][:n])
    begin = np.arange(n) * 40
    state = initial(system, solver, series, np.zeros(n, dtype=int), scenario, begin, begin + 288)
    while state.running.any():
        state, _ = step(system, solver, series, state, do_nothing(n, 3), no_attack(n, system.grid.n_line))
    assert 0.3 < ((state.t - state.t_start) / 288).mean() < 0.7


# ---------------------------------------------------------------------- what may be changed
def test_difficulty_scales_the_limits(cases):
    easy, hard = (load_case("case14", difficulty=level).system.grid.thermal_limit for level in ("easy", "hard"))
    default = cases["case14"].system.grid.thermal_limit
    assert (easy > default).all()
    assert (hard < default).all()
    assert np.ptp(easy / default) < 1e-9


def test_parameters_are_the_cases_with_changes(cases):
    rules = cases["case14"].system.parameters
    assert (rules.nb_timestep_cooldown_line, rules.nb_timestep_cooldown_sub) == (3, 3)
    assert (rules.nb_timestep_reconnection, rules.nb_timestep_overflow_allowed) == (12, 3)
    changed = load_case("case14", parameters={"MAX_SUB_CHANGED": 2}).system.parameters
    assert (changed.max_sub_changed, changed.nb_timestep_reconnection) == (2, 12)
    assert load_case("case14", parameters=Parameters()).system.parameters == Parameters()


def test_attack_rules_are_the_cases_with_changes():
    attack = load_case("case14", attack={"lines": ["1_2_2"], "max_duration": 7}).system.attack
    assert (attack.lines, attack.max_duration, attack.cooldown) == (("1_2_2",), 7, 96)
    assert load_case("case14", attack=AttackRules(lines=("0_4_1",))).system.attack.max_duration == 48


def test_zones_ties_and_busbars_are_passed_on():
    system = load_case("case14", zones=4, tie_lines="origin", n_busbar=3).system
    assert (system.n_zone, system.zones.tie_lines, system.grid.n_busbar) == (4, "origin", 3)
    assert system.zones.grid is system.grid


# ---------------------------------------------------------------------- other cases
def test_a_pandapower_network_becomes_a_case():
    system, series = load_case(pandapower.networks.case9(), zones=3, parameters={"max_sub_changed": 2})
    assert system.n_zone == 3
    assert system.parameters.max_sub_changed == 2
    assert series.scenario(0).values.shape == (2017, 2 * system.grid.n_load + 2 * system.grid.n_gen)
    assert load_case(pandapower.networks.case9()).system.n_zone == 2
    assert load_case(pandapower.networks.case30()).system.n_zone == 3


def test_a_pair_passes_through_and_takes_changes(cases):
    system, series = load_case(cases["case5"])
    assert system.grid is cases["case5"].system.grid
    assert series is cases["case5"].series
    eased = load_case((system, series), zones="substation", difficulty="easy", parameters={"max_sub_changed": 3})
    assert eased.system.n_zone == 5
    assert eased.system.parameters.max_sub_changed == 3
    assert (eased.system.grid.thermal_limit > system.grid.thermal_limit).all()
    assert eased.system.zones.grid is eased.system.grid
    assert eased.series is series


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    ("case", "options", "error", "message"),
    [
        ("case15", {}, ValueError, r"unknown case 'case15'; choose from the built-in \['case5', 'case14', 'case118'\]"),
        ("/no/such/folder", {}, ValueError, "unknown case '/no/such/folder'.*that exists"),
        (15, {}, TypeError, "a case is a int; give a built-in name"),
        ((1, 2), {}, TypeError, r"tuple of \['int', 'int'\]; give \(System, TimeSeries\)"),
        ("case14", {"difficulty": "brutal"}, ValueError, "unknown difficulty 'brutal'; choose from"),
        ("case14", {"parameters": {"speed": 3}}, ValueError, r"unknown parameter\(s\) \['speed'\]"),
        ("case14", {"attack": {"lines": ["nowhere"]}}, ValueError, r"\['nowhere'\]"),
        ("case14", {"attack": {"rage": 3}}, ValueError, r"unknown attack rule\(s\) \['rage'\]"),
        ("case14", {"zones": [[0]]}, ValueError, "in no zone"),
        ("case14", {"n_busbar": 0}, ValueError, "n_busbar is 0, give a whole number"),
    ],
)
def test_a_wrong_case_is_refused_with_what_is_allowed(case, options, error, message):
    with pytest.raises(error, match=message):
        load_case(case, **options)


def test_a_folder_that_is_no_environment_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a Grid2Op environment folder"):
        load_case(tmp_path)


def test_an_unknown_built_in_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown built-in case 'case9'"):
        builtin.builtin_case("case9")


def test_tie_lines_of_an_own_pair_stay_unless_asked_for():
    system, series = load_case("case5", zones=2, tie_lines="origin")
    assert load_case((system, series)).system.zones.tie_lines == "origin"
    assert load_case((system, series), tie_lines="none").system.zones.tie_lines == "none"
    assert load_case((system, series), zones=3).system.zones.tie_lines == "origin"
    with pytest.raises(ValueError, match="unknown tie_lines 'all'"):
        load_case((system, series), tie_lines="all")


def test_data_that_cannot_be_simulated_is_refused_at_once():
    system, series = load_case("case14")
    dead = np.where(np.arange(system.grid.n_line) == 2, 0.0, system.grid.thermal_limit)
    broken = replace(system, grid=replace(system.grid, thermal_limit=dead), delta_time=0.0)
    with pytest.raises(ValueError, match=r"cannot be simulated: .*line 2 .*0\.0.*; delta_time is 0\.0"):
        load_case((broken, series))
