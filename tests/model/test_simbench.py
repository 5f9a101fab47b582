"""SimBench's grids and years: flows as pandapower computes them on SimBench's own network, limits, weeks, errors."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

import marlgrid
from marlgrid.model.datasets.case import load_case
from marlgrid.model.datasets.simbench_net import simbench_net
from marlgrid.model.datasets.simbench_series import ROWS_PER_WEEK, weeks_by_split
from marlgrid.powerflow.base import PowerFlowInput
from marlgrid.powerflow.newton import NewtonPowerFlow
from marlgrid.powerflow.pandapower import PandapowerPowerFlow
from tests.powerflow.states import cold, every_row, largest_difference, rows_of

simbench = pytest.importorskip("simbench")

CODE = "1-HV-mixed--1-sw"
"""With everything: three external grids, the full switch model, storages, lower grids, units of 0 MW."""
N_ROW = 100
TOLERANCE = 1e-6
"""Per unit of 100 MVA."""


@pytest.fixture(scope="module")
def raw():
    """SimBench's own network."""
    return simbench.get_simbench_net(CODE)


@pytest.fixture(scope="module")
def case(raw):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simbench, "get_simbench_net", lambda code: deepcopy(raw))
        yield load_case(f"simbench:{CODE}")


@pytest.fixture(scope="module")
def rows(case):
    """Rows of the year in step with the inputs of the power flow, every third with a line out."""
    grid, series = case.system.grid, case.series
    year = np.linspace(0, 52 * ROWS_PER_WEEK - 1, N_ROW).astype(int)
    number = np.argsort(series.weeks)[year // ROWS_PER_WEEK]
    now = series.at(number, year % ROWS_PER_WEEK)
    topo_vect = np.tile(grid.start_topo_vect, (N_ROW, 1))
    out = np.full(N_ROW, -1)
    may_go = np.flatnonzero(case.system.attackable)
    out[::3] = np.random.default_rng(3).choice(may_go, len(out[::3]))
    for row in np.flatnonzero(out >= 0):
        topo_vect[row, [grid.line_or_pos_topo_vect[out[row]], grid.line_ex_pos_topo_vect[out[row]]]] = -1
    none = np.zeros((N_ROW, grid.n_storage))
    shunt_bus = np.ones((N_ROW, grid.n_shunt), dtype=np.int32)
    return year, out, PowerFlowInput(topo_vect, shunt_bus, now.gen_p, now.gen_v, now.load_p, now.load_q, none)


# ---------------------------------------------------------------------- the physics
def test_flows_are_those_of_simbench_in_pandapower(raw, case, rows):
    """SimBench's network with its three sources, by pandapower, against ours with one slack, outages included."""
    grid, (year, out, inputs) = case.system.grid, rows
    flow = NewtonPowerFlow(grid).solve(inputs, cold(grid, N_ROW), every_row(N_ROW))
    assert flow.converged.all()
    net, values = deepcopy(raw), simbench.get_absolute_values(raw, True)
    net.storage["p_mw"] = 0.0
    line = [net.line.index[net.line.name == name][0] for name in grid.name_line[: len(net.line)]]
    trafo = [net.trafo.index[net.trafo.name == name][0] for name in grid.name_line[len(net.line) :]]
    assert len(line) + len(trafo) == grid.n_line
    rho = flow.a_or / grid.thermal_limit
    for row in range(N_ROW):
        for table, column in (("load", "p_mw"), ("load", "q_mvar"), ("sgen", "p_mw")):
            net[table][column] = values[table, column].iloc[year[row]]
        net.line["in_service"] = net.line.index != (line[out[row]] if out[row] >= 0 else -1)
        pp.runpp(net, calculate_voltage_angles=True, init="dc", tolerance_mva=1e-8, numba=False)
        at_line, at_trafo = net.res_line.loc[line], net.res_trafo.loc[trafo]
        on = np.arange(len(line)) != out[row]
        for ours, from_line, from_trafo in (
            (flow.p_or, at_line.p_from_mw, at_trafo.p_hv_mw),
            (flow.q_or, at_line.q_from_mvar, at_trafo.q_hv_mvar),
            (flow.p_ex, at_line.p_to_mw, at_trafo.p_lv_mw),
            (flow.q_ex, at_line.q_to_mvar, at_trafo.q_lv_mvar),
        ):
            theirs = np.concatenate([np.where(on, from_line, 0.0), from_trafo])
            np.testing.assert_allclose(ours[row], theirs, rtol=0, atol=TOLERANCE * grid.sn_mva)
        rated = net.trafo.sn_mva / np.sqrt(3) / net.trafo.vn_hv_kv
        theirs = np.concatenate(
            [np.where(on, at_line.i_from_ka / net.line.max_i_ka[line], 0.0), at_trafo.i_hv_ka / rated[trafo]]
        )
        np.testing.assert_allclose(rho[row], theirs, rtol=0, atol=TOLERANCE)
        volts = np.concatenate([np.where(on, at_line.vm_to_pu, 0.0), at_trafo.vm_lv_pu])
        np.testing.assert_allclose(
            flow.v_ex[row] / grid.sub_vn_kv[grid.line_ex_to_subid], volts, rtol=0, atol=TOLERANCE
        )
        np.testing.assert_allclose(flow.gen_p[row, grid.slack_gen], net.res_ext_grid.p_mw.sum(), atol=1e-4)


def test_flows_are_those_of_our_reference_solver(case, rows):
    """The network that the grid remembers (``Grid.source``) is the one it was read from."""
    grid, few = case.system.grid, rows_of(rows[2], slice(0, 6))
    ours, theirs = (
        kind(grid).solve(few, cold(grid, 6), every_row(6)) for kind in (NewtonPowerFlow, PandapowerPowerFlow)
    )
    differences = largest_difference(grid, ours, theirs)
    assert max(differences.values()) < TOLERANCE, differences


def test_vector_groups_are_forgotten(raw, monkeypatch):
    """Medium- and low-voltage grids have transformers that turn angles by 150 degrees, all alike."""
    net = deepcopy(raw)
    net.trafo["shift_degree"] = 150.0
    monkeypatch.setattr(simbench, "get_simbench_net", lambda code: net)
    assert (simbench_net(CODE).net.trafo.shift_degree == 0).all()
    net = deepcopy(raw)
    net.trafo.loc[net.trafo.index[0], "shift_degree"] = 150.0
    at = net.trafo.name.iloc[0]
    assert simbench_net(CODE).net.trafo.set_index("name").shift_degree[at] == 150.0


# ---------------------------------------------------------------------- the data
def test_injections_are_simbenchs(raw, case):
    values, grid, series = simbench.get_absolute_values(raw, True), case.system.grid, case.series
    number, t = 40, np.arange(0, ROWS_PER_WEEK + 1)
    now = series.at(np.full(len(t), number), t)
    year = series.weeks[number] * ROWS_PER_WEEK + t
    for ours, key in ((now.load_p, ("load", "p_mw")), (now.load_q, ("load", "q_mvar"))):
        columns = [raw.load.index[raw.load.name == name][0] for name in grid.name_load]
        np.testing.assert_allclose(ours, values[key][columns].iloc[year], rtol=1e-6)
    sgen = {name: label for label, name in raw.sgen.name.items()}
    for gen, name in enumerate(grid.name_gen):
        if gen != grid.slack_gen:
            theirs = values["sgen", "p_mw"][sgen.pop(name)].iloc[year]
            np.testing.assert_allclose(now.gen_p[:, gen], theirs, rtol=1e-6, atol=1e-9)
    assert (raw.sgen.loc[list(sgen.values()), "p_mw"] == 0).all()  # what was left out never feeds in
    np.testing.assert_allclose(now.gen_p.sum(axis=1), now.load_p.sum(axis=1), rtol=1e-5)
    assert raw.profiles["load"].time[0] == "01.01.2016 00:00"
    assert series.start(number) == np.datetime64("2016-01-01") + 7 * series.weeks[number]


def test_limits_never_exclude_the_years_own_schedule(case):
    grid, series = case.system.grid, case.series
    assert case.system.problems() == []
    for number in (0, 20, 51):
        gen_p = series.scenario(number).values[:, 2 * grid.n_load : 2 * grid.n_load + grid.n_gen].astype(float)
        assert (gen_p <= grid.gen_pmax + 1e-4).all()
        assert (gen_p >= grid.gen_pmin - 1e-4).all()
        jump = np.abs(np.diff(gen_p, axis=0))[:, ~grid.gen_renewable]
        assert (jump <= grid.gen_max_ramp_up[~grid.gen_renewable] + 1e-3).all()
    assert set(grid.gen_type) == {"wind", "thermal"}
    assert grid.gen_type.count("thermal") == 1  # the external grid


def test_storages_are_the_agents(raw, case):
    grid = case.system.grid
    np.testing.assert_allclose(grid.storage_emax, raw.storage.max_e_mwh)
    np.testing.assert_allclose(grid.storage_max_p_prod, raw.storage.sn_mva)
    np.testing.assert_allclose(grid.storage_charging_efficiency * grid.storage_discharging_efficiency, 0.95)


def test_weeks_are_split_by_season():
    weeks, splits = weeks_by_split(52)
    assert sorted(weeks) == list(range(52))
    assert {name: len(part) for name, part in splits.items()} == {"train": 36, "validation": 8, "test": 8}
    for part in splits.values():
        quarters = [weeks[number] // 13 for number in part]
        assert np.unique(quarters, return_counts=True)[1].tolist() == [len(part) // 4] * 4
        assert [weeks[number] for number in part] == sorted(weeks[number] for number in part)


def test_forecasts_are_the_rows_to_come(case):
    number, t = np.array([3, 7]), np.array([10, 671])
    ahead = case.series.forecast(number, t, 4)
    for then, row in zip(case.series.at(number, np.array([14, 672])), ahead, strict=True):
        np.testing.assert_array_equal(then, row)
    with pytest.raises(ValueError, match="horizon 13 is not offered"):
        case.series.forecast(number, t, 13)
    with pytest.raises(ValueError, match="choose from 0 to 51"):
        case.series.start(52)


# ---------------------------------------------------------------------- the environment
def test_zones_are_the_areas_of_the_feeding_stations(case):
    zones, grid = case.system.zones, case.system.grid
    home = grid.gen_to_subid[grid.slack_gen]
    assert zones.n_zone == 3
    at_home = grid.line_or_to_subid == home
    assert at_home.sum() == 6
    stations = np.unique(grid.line_ex_to_subid[at_home])
    assert sorted(zones.labels[stations]) == [0, 1, 2]
    assert zones.is_tie[~at_home].sum() < 10
    assert not set(case.system.attack.lines) & set(np.array(grid.name_line)[grid.line_is_trafo])


def test_a_day_is_played(case):
    """Curtailed wind and charged storages are made up for by the external grid, whatever its schedule does."""
    env = marlgrid.parallel_env(case, zones=1, opponent="random", split="test", max_steps=24)
    env.reset(seed=5)
    grid = case.system.grid
    wind = int(np.argmax(np.where(grid.gen_renewable, env.observe_grid().gen_p, 0.0)))
    action = env.make_action({"curtail": [(wind, 0.1)], "set_storage": [(0, 2.0)]})
    before = env.observe_grid()
    env.step({"zone_0": action})
    now = env.observe_grid()
    assert now.gen_p[wind] == pytest.approx(0.1 * grid.gen_pmax[wind], rel=1e-4)
    assert before.gen_p[wind] > 1.5 * now.gen_p[wind]
    assert now.storage_power[0] == pytest.approx(2.0)
    while env.agents:
        _, _, _, _, infos = env.step({"zone_0": 0})
    assert infos["zone_0"]["survived_steps"] == 24


# ---------------------------------------------------------------------- what is refused
def test_an_unknown_code_names_the_grids():
    with pytest.raises(ValueError, match=r"unknown SimBench code '1-HV-rural--0-sw'.*1-HV-mixed-.*scenario 0, 1 or 2"):
        load_case("simbench:1-HV-rural--0-sw")


def test_the_codes_of_the_readme_exist():
    codes = re.findall(r"simbench:([\w.-]+)", (Path(__file__).parents[2] / "README.md").read_text())
    assert codes
    assert set(codes) <= set(simbench.collect_all_simbench_codes())


def test_sources_inside_the_grid_are_refused(raw, monkeypatch):
    """As in the extra-high-voltage grids, where power plants hold angles."""
    net = deepcopy(raw)
    net.ext_grid.loc[net.ext_grid.index[1], "bus"] = net.line.from_bus.iloc[0]
    monkeypatch.setattr(simbench, "get_simbench_net", lambda code: net)
    with pytest.raises(ValueError, match=r"more than one slack.*choose an HV"):
        load_case("simbench:1-EHV-mixed--0-sw")
