"""Grids from pandapower networks: every kind of row, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandapower as pp
import pandapower.networks
import pytest
from lightsim2grid.lightsim2grid_cpp import PandaPowerConverter

from marlgrid.model.datasets.pandapower_branches import trafo_branches
from marlgrid.model.datasets.pandapower_net import grid_from_pandapower
from marlgrid.powerflow.dc import DCPowerFlow
from marlgrid.powerflow.lightsim import LightSimPowerFlow
from marlgrid.powerflow.pandapower import PandapowerPowerFlow
from tests.powerflow.states import cold, every_row, largest_difference, operating_point


@pytest.fixture
def net():
    """
    ext_grid --(0)==line 0==(1)==trafo 0==(2)-- load 0, sgen 0, storage 0, shunt 0
                 \\\\                       //
                  ====line 1==(3)==trafo 1      gen 0 at bus 3
    """
    net = pp.create_empty_network(sn_mva=100.0)
    for vn_kv in (110, 110, 20, 110):
        pp.create_bus(net, vn_kv)
    pp.create_ext_grid(net, 0, vm_pu=1.02)
    for to_bus in (1, 3):
        pp.create_line_from_parameters(net, 0, to_bus, 20.0, 0.1, 0.4, 9.0, max_i_ka=0.5)
    for hv_bus in (1, 3):
        pp.create_transformer_from_parameters(net, hv_bus, 2, 40.0, 110.0, 20.0, 0.6, 12.0, 30.0, 0.1)
    pp.create_gen(net, 3, 15.0, 1.01, min_p_mw=3.0, max_p_mw=30.0, min_q_mvar=-10.0, max_q_mvar=20.0)
    pp.create_load(net, 2, 30.0, 5.0)
    pp.create_sgen(net, 2, 4.0, 1.0, type="PV")
    pp.create_storage(net, 2, 0.0, max_e_mwh=20.0)
    pp.create_shunt(net, 2, -3.0)
    return net


def flows(grid, storage_p=0.0):
    """The operating point by our solver and by pandapower, which must agree."""
    inputs = operating_point(grid)
    inputs.storage_p[:] = storage_p
    ours = LightSimPowerFlow(grid).solve(inputs, cold(grid), every_row(1))
    theirs = PandapowerPowerFlow(grid).solve(inputs, cold(grid), every_row(1))
    assert ours.converged[0]
    assert theirs.converged[0]
    differences = largest_difference(grid, ours, theirs)
    del differences["gen_q"]  # shared differently by generators on one bus
    assert max(differences.values()) < 1e-7, differences
    return ours


def put(net, table, column, value):
    net[table][column] = value


def line_power(net, field="p_{}_mw", ends=("from", "hv")):
    pp.runpp(net, calculate_voltage_angles=True, numba=False, init="dc")
    return np.concatenate([net.res_line[field.format(ends[0])], net.res_trafo[field.format(ends[1])]])


class TestElements:
    def test_order_and_places(self, net):
        grid = grid_from_pandapower(net, "test")
        assert (grid.n_sub, grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt) == (4, 4, 3, 1, 1, 1)
        assert grid.line_or_to_subid.tolist() == [0, 0, 1, 3]
        assert grid.line_ex_to_subid.tolist() == [1, 3, 2, 2]
        assert grid.line_is_trafo.tolist() == [False, False, True, True]
        assert grid.gen_to_subid.tolist() == [3, 0, 2]  # gen, ext_grid, sgen
        assert grid.gen_slack.tolist() == [False, True, False]
        assert grid.gen_regulates_voltage.tolist() == [True, True, False]
        assert grid.initial_topo_vect is None

    def test_values(self, net):
        grid = grid_from_pandapower(net, "test", n_busbar=3)
        assert grid.n_busbar == 3
        assert grid.gen_type == ("thermal", "thermal", "solar")
        np.testing.assert_allclose(grid.gen_p_mw, [15, 11, 4])  # the external grid: 30 - 15 - 4
        np.testing.assert_allclose(grid.gen_pmin, [3, 0, 0])
        np.testing.assert_allclose(grid.gen_pmax, [30, 30, 8])
        np.testing.assert_allclose(grid.gen_max_ramp_up, [3, 3, 0])
        np.testing.assert_allclose(grid.gen_cost_per_mw, [40, 40, 0])
        np.testing.assert_allclose(grid.gen_v_kv, [1.01 * 110, 1.02 * 110, 20])
        np.testing.assert_allclose(grid.gen_q_mvar, [0, 0, 1])
        np.testing.assert_allclose(grid.gen_q_range_mvar, [30, 0, 0])
        np.testing.assert_allclose(grid.storage_emax, 20)
        np.testing.assert_allclose(grid.storage_max_p_prod, 5)
        np.testing.assert_allclose(grid.thermal_limit, [500, 500, *[40e3 / (np.sqrt(3) * 110)] * 2])

    def test_grid2op_names_where_the_network_has_none(self, net):
        grid = grid_from_pandapower(net, "test")
        assert grid.name_sub == ("sub_0", "sub_1", "sub_2", "sub_3")
        assert grid.name_line == ("0_1_0", "0_3_1", "1_2_2", "2_3_3")
        assert grid.name_gen == ("gen_3_0", "gen_0_1", "gen_2_2")
        assert (grid.name_load, grid.name_storage, grid.name_shunt) == (("load_2_0",), ("storage_2_0",), ("shunt_2_0",))

    def test_names_of_the_network(self, net):
        net.bus["name"] = ["North", "East", "South", "West"]
        net.line["name"] = ["a", "b"]
        net.trafo["name"] = ["c", "d"]
        net.load["name"] = "town"
        grid = grid_from_pandapower(net, "test")
        assert grid.name_sub == ("North", "East", "South", "West")
        assert grid.name_line == ("a", "b", "c", "d")
        assert grid.name_load == ("town",)
        assert grid_from_pandapower(net, "test", bus_names=False).name_sub == ("sub_0", "sub_1", "sub_2", "sub_3")
        net.trafo["name"] = ["c", "a"]
        assert grid_from_pandapower(net, "test").name_line == ("0_1_0", "0_3_1", "1_2_2", "2_3_3")
        net.bus["name"] = ["1", "2", "3", "4"]  # could be taken for ids
        assert grid_from_pandapower(net, "test").name_sub[0] == "sub_0"

    def test_coordinates(self, net):
        assert grid_from_pandapower(net, "test").sub_xy.shape == (4, 2)
        net.bus["geo"] = [json.dumps({"type": "Point", "coordinates": [i, 2 * i]}) for i in range(4)]
        np.testing.assert_allclose(grid_from_pandapower(net, "test").sub_xy, [[0, 0], [1, 2], [2, 4], [3, 6]])

    def test_costs_of_the_network(self, net):
        pp.create_poly_cost(net, 0, "gen", cp1_eur_per_mw=12.0)
        np.testing.assert_allclose(grid_from_pandapower(net, "test").gen_cost_per_mw, [12, 40, 0])

    def test_scaling(self, net):
        net.load["scaling"] = 0.5
        net.sgen["scaling"] = 2.0
        grid = grid_from_pandapower(net, "test")
        np.testing.assert_allclose([grid.load_p_mw[0], grid.load_q_mvar[0], grid.gen_p_mw[2]], [15, 2.5, 8])
        np.testing.assert_allclose(flows(grid).p_or[0], line_power(net), atol=1e-6)

    def test_the_network_is_left_as_it_was(self, net):
        before = pp.to_json(net)
        grid = grid_from_pandapower(net, "test")
        flows(grid)
        assert pp.to_json(net) == before
        assert pp.from_json_string(grid.source).line.equals(net.line)


class TestFlows:
    """The operating point of the network, against pandapower's own calculation of it."""

    def check(self, net, **kwargs):
        grid = grid_from_pandapower(net, "test", **kwargs)
        flow = flows(grid)
        np.testing.assert_allclose(flow.p_or[0], line_power(net), atol=1e-6)
        np.testing.assert_allclose(flow.q_ex[0], line_power(net, "q_{}_mvar", ("to", "lv")), atol=1e-6)
        np.testing.assert_allclose(flow.a_or[0], 1000 * line_power(net, "i_{}_ka"), atol=1e-5)
        linear = DCPowerFlow(grid).solve(operating_point(grid), cold(grid), every_row(1))
        pp.rundcpp(net)
        expected = np.concatenate([net.res_line.p_from_mw, net.res_trafo.p_hv_mw])
        np.testing.assert_allclose(linear.p_or[0], expected, atol=1e-6)
        return grid

    def test_plain(self, net):
        self.check(net)

    @pytest.mark.parametrize("side", ["hv", "lv"])
    @pytest.mark.parametrize(
        ("kind", "percent", "degree", "shift"),
        [
            ("Ratio", 1.5, 0.0, 0.0),
            ("Ratio", 1.5, 30.0, 30.0),
            ("Symmetrical", 2.0, 90.0, 0.0),
            ("Ideal", 0.0, 1.0, 150.0),
        ],
    )
    def test_tap_changers(self, net, side, kind, percent, degree, shift):
        net.trafo["tap_changer_type"] = kind
        net.trafo["tap_side"] = side
        net.trafo["tap_neutral"] = 1.0
        net.trafo["tap_pos"] = [3.0, 2.0]
        net.trafo["tap_step_percent"] = percent
        net.trafo["tap_step_degree"] = degree
        net.trafo["shift_degree"] = shift
        self.check(net)

    def test_rated_voltages_off_the_nominal_ones(self, net):
        net.trafo["vn_hv_kv"], net.trafo["vn_lv_kv"] = 115.0, 21.0
        net.shunt["vn_kv"] = 22.0
        net.shunt["step"] = 2
        net.shunt["p_mw"] = 0.7
        self.check(net)

    def test_lossy_transformer_with_unequal_leakage(self, net):
        net.trafo["pfe_kw"], net.trafo["i0_percent"] = 300.0, 2.0
        net.trafo["leakage_resistance_ratio_hv"], net.trafo["leakage_reactance_ratio_hv"] = 0.2, 0.9
        grid = self.check(net)
        assert np.abs(grid.line_y_or_pu - grid.line_y_ex_pu).max() > 1e-3

    def test_parallel_circuits_and_derating(self, net):
        net.line["parallel"], net.line["df"], net.line["g_us_per_km"] = [1, 2], [1.0, 0.9], 1.0
        net.trafo["parallel"] = [2, 1]
        grid = self.check(net)
        np.testing.assert_allclose(grid.thermal_limit[:2], [500, 900])

    def test_lines_between_the_same_two_buses(self, net):
        pp.create_line_from_parameters(net, 0, 1, 10.0, 0.1, 0.4, 9.0, max_i_ka=0.5)
        assert grid_from_pandapower(net, "test").n_line == 5
        self.check(net)

    def test_external_grid_with_an_angle(self, net):
        net.ext_grid["va_degree"] = 30.0
        grid = self.check(net)
        assert flows(grid).gen_theta[0, grid.slack_gen] == 0

    def test_slack_generator_instead_of_an_external_grid(self, net):
        net.ext_grid["in_service"] = False
        net.gen["slack"] = True
        grid = self.check(net)
        assert grid.n_gen == 2
        assert grid.gen_slack.tolist() == [True, False]

    def test_storage_is_a_load(self, net):
        net.storage["p_mw"] = 6.0
        np.testing.assert_allclose(flows(grid_from_pandapower(net, "test"), 6.0).p_or[0], line_power(net), atol=1e-6)

    @pytest.mark.parametrize(
        "name", ["case9", "case39", "case89pegase", "case145", "case300", "example_simple", "iceland"]
    )
    def test_networks_that_pandapower_ships(self, name):
        net = getattr(pandapower.networks, name)()
        grid = grid_from_pandapower(net, name)
        flow = LightSimPowerFlow(grid).solve(operating_point(grid), cold(grid), every_row(1))
        p = line_power(net)
        assert len(p) == grid.n_line
        np.testing.assert_allclose(flow.p_or[0], p, atol=1e-4)


class TestOutOfService:
    def test_lines_and_storages_start_disconnected(self, net):
        net.line.loc[1, "in_service"] = False
        net.trafo.loc[0, "in_service"] = False
        pp.create_line_from_parameters(net, 1, 3, 10.0, 0.1, 0.4, 9.0, max_i_ka=0.5)
        net.storage["in_service"] = False
        grid = grid_from_pandapower(net, "test")
        out = grid.start_topo_vect == -1
        assert np.flatnonzero(out[grid.line_or_pos_topo_vect]).tolist() == [1, 3]
        assert np.flatnonzero(out[grid.line_ex_pos_topo_vect]).tolist() == [1, 3]
        assert out[grid.storage_pos_topo_vect].all()
        assert out.sum() == 5
        np.testing.assert_allclose(flows(grid).p_or[0], np.nan_to_num(line_power(net)), atol=1e-6)

    def test_other_elements_do_not_exist(self, net):
        pp.create_load(net, 1, 5.0, in_service=False)
        pp.create_gen(net, 1, 5.0, in_service=False)
        pp.create_sgen(net, 1, 5.0, in_service=False)
        pp.create_shunt(net, 1, 5.0, in_service=False)
        grid = grid_from_pandapower(net, "test")
        assert (grid.n_load, grid.n_gen, grid.n_shunt) == (1, 3, 1)

    def test_a_bus_takes_its_elements_along(self, net):
        bus = pp.create_bus(net, 110, in_service=False, index=9)
        pp.create_line_from_parameters(net, 1, bus, 10.0, 0.1, 0.4, 9.0, max_i_ka=0.5)
        pp.create_load(net, bus, 5.0)
        grid = grid_from_pandapower(net, "test")
        assert (grid.n_sub, grid.n_line, grid.n_load) == (4, 4, 1)
        flows(grid)

    @pytest.mark.parametrize(("kind", "element", "bus", "row"), [("l", 1, 3, 1), ("t", 0, 1, 2)])
    def test_an_open_switch_takes_its_line_out(self, net, kind, element, bus, row):
        pp.create_switch(net, bus, element, kind, closed=False)
        pp.create_switch(net, 0, 0, "l", closed=True)
        grid = grid_from_pandapower(net, "test")
        assert np.flatnonzero(grid.start_topo_vect[grid.line_or_pos_topo_vect] == -1).tolist() == [row]
        flows(grid)


class TestSwitches:
    def test_closed_couplers_join_buses(self, net):
        bus, far = pp.create_bus(net, 20, index=7), pp.create_bus(net, 20, index=5)
        pp.create_load(net, far, 2.0, 1.0)
        pp.create_switch(net, 2, bus, "b")
        pp.create_switch(net, bus, far, "b")
        grid = grid_from_pandapower(net, "test")
        assert grid.n_sub == 4
        assert grid.load_to_subid.tolist() == [2, 2]
        np.testing.assert_allclose(flows(grid).p_or[0], line_power(net), atol=1e-6)

    def test_open_couplers_join_nothing(self, net):
        bus = pp.create_bus(net, 20)
        pp.create_line_from_parameters(net, 2, bus, 1.0, 0.1, 0.4, 9.0, max_i_ka=0.5)
        pp.create_switch(net, 2, bus, "b", closed=False)
        assert grid_from_pandapower(net, "test").n_sub == 5

    def test_bus_numbers_with_gaps_and_in_disorder(self, net):
        pp.toolbox.reindex_buses(net, {0: 40, 1: 7, 2: 19, 3: 3})
        grid = grid_from_pandapower(net, "test")
        assert grid.sub_vn_kv.tolist() == [110, 110, 20, 110]  # by bus number: 3, 7, 19, 40
        assert grid.load_to_subid.tolist() == [2]
        np.testing.assert_allclose(flows(grid).p_or[0], line_power(net), atol=1e-6)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda n: pp.create_motor(n, 2, 1.0, 0.9, name="pump"), r"motors .* motor 0 \(pump\)"),
            (lambda n: pp.create_ward(n, 2, 1, 1, 1, 1), "wards .* ward 0"),
            (lambda n: pp.create_xward(n, 2, 1, 1, 1, 1, 0.1, 0.1, 1.0), "extended wards .* xward 0"),
            (lambda n: pp.create_impedance(n, 0, 1, 0.1, 0.1, 100), "impedances .* impedance 0"),
            (lambda n: pp.create_dcline(n, 0, 1, 1, 1, 1, 1.0, 1.0), "DC lines .* dcline 0"),
            (lambda n: pp.create_asymmetric_load(n, 2, 1), "asymmetric loads .* asymmetric_load 0"),
            (lambda n: pp.create_ext_grid(n, 1, name="north"), r"ext_grid 0, ext_grid 1 \(north\) all balance it"),
            (lambda n: put(n, "gen", "slack", True), "ext_grid 0, gen 0 all balance it"),
            (lambda n: n.ext_grid.drop(index=0, inplace=True), "nothing balances it, add an external grid"),
            (lambda n: put(n, "load", "const_z_p_percent", 10.0), "constant power .* const_z_p_percent of load 0"),
            (lambda n: put(n, "storage", "q_mvar", 1.0), "storages without reactive power .* storage 0"),
            (
                lambda n: put(n, "trafo", "tap_changer_type", "Tabular"),
                "Ratio, Symmetrical or Ideal, change trafo 0",
            ),
            (lambda n: pp.create_switch(n, 0, 2, "b"), "buses 0 and 2 .* differ in nominal voltage"),
            (lambda n: pp.create_switch(n, 0, 1, "b", z_ohm=0.1), "must have no impedance.* switch 0"),
            (lambda n: put(n, "bus", "in_service", False), "no bus in service"),
            (lambda n: put(n, "line", "length_km", 0.0), "line 0, line 1 must have an impedance"),
        ],
    )
    def test_what_the_grid_model_has_no_element_for(self, net, change, message):
        change(net)
        with pytest.raises(ValueError, match=message):
            grid_from_pandapower(net, "test")

    def test_all_faults_are_named_at_once(self, net):
        pp.create_motor(net, 2, 1.0, 0.9)
        pp.create_ward(net, 2, 1, 1, 1, 1)
        with pytest.raises(ValueError, match=r"(motor|ward) 0.*(motor|ward) 0"):
            grid_from_pandapower(net, "test")

    def test_what_is_out_of_service_is_no_fault(self, net):
        pp.create_motor(net, 2, 1.0, 0.9, in_service=False)
        assert grid_from_pandapower(net, "test").n_load == 1

    def test_three_winding_transformer(self):
        with pytest.raises(ValueError, match=r"three-winding transformers .* trafo3w 0 \(HV-MV-MV-Trafo\)"):
            grid_from_pandapower(pandapower.networks.example_multivoltage(), "test")

    def test_arguments(self, net):
        with pytest.raises(TypeError, match="not str"):
            grid_from_pandapower("case14", "test")
        with pytest.raises(ValueError, match="unknown transformer_formula 'v1'; choose from"):
            grid_from_pandapower(net, "test", transformer_formula="v1")
        for n_busbar in (0, 1.5, True):
            with pytest.raises(ValueError, match="n_busbar"):
                grid_from_pandapower(net, "test", n_busbar)


@pytest.mark.parametrize("i0_percent", [-0.8, 0.0, 0.8])
@pytest.mark.parametrize(("side", "tap_pos"), [("hv", 2.0), ("lv", 3.0)])
def test_older_transformer_formula_is_that_of_grid2op_s_backend(net, i0_percent, side, tap_pos):
    """Branch parameters against lightsim2grid's converter for networks of pandapower 2."""
    net.trafo["tap_changer_type"] = "Ratio"
    net.trafo["tap_side"], net.trafo["tap_neutral"], net.trafo["tap_pos"] = side, 0.0, tap_pos
    net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = 1.5, 0.0
    net.trafo["i0_percent"] = i0_percent
    net.trafo["pfe_kw"] = 30.0 if i0_percent else 0.0
    converter = PandaPowerConverter()
    converter.set_sn_mva(100.0)
    converter.set_f_hz(50.0)
    column = lambda name: net.trafo[name].to_numpy(float)  # noqa: E731
    r, x, y = converter.get_trafo_param_pp2(
        *(column("tap_step_percent"), column("tap_pos"), np.zeros(2), [side == "hv"] * 2, np.full(2, 110.0)),
        *(np.full(2, 20.0), column("vk_percent"), column("vkr_percent"), column("sn_mva"), column("pfe_kw")),
        column("i0_percent"),
    )
    ours = trafo_branches(net, [0, 1], "v2")
    np.testing.assert_allclose(ours.r_pu, r)
    np.testing.assert_allclose(ours.x_pu, x)
    np.testing.assert_allclose(ours.y_or_pu + ours.y_ex_pu, y)
    np.testing.assert_allclose(ours.ratio, (1 + 0.015 * tap_pos) ** (1 if side == "hv" else -1))


def test_replacing_a_field_keeps_the_rest(net):
    grid = grid_from_pandapower(net, "test")
    hot = replace(grid, thermal_limit=grid.thermal_limit * 2)
    np.testing.assert_allclose(hot.thermal_limit, 2 * grid.thermal_limit)
    assert hot.source == grid.source
