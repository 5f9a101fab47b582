"""What every solver promises: the protocol of ``powerflow.base``."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pandapower.networks
import pytest

from marlgrid.model.datasets.pandapower_net import grid_from_pandapower
from marlgrid.powerflow import network, power_flow
from marlgrid.powerflow.base import Flow
from marlgrid.powerflow.buses import BusLayout
from marlgrid.powerflow.dc import DCPowerFlow
from marlgrid.powerflow.lightsim import LightSimPowerFlow
from marlgrid.powerflow.newton import NewtonPowerFlow
from marlgrid.powerflow.pandapower import PandapowerPowerFlow
from marlgrid.powerflow.problem import unsolved
from tests.powerflow.hand import hand_grid
from tests.powerflow.states import cold, every_row, largest_mismatch, operating_point, random_states, rows_of

FAST = (NewtonPowerFlow, LightSimPowerFlow, DCPowerFlow)
ALL = (*FAST, PandapowerPowerFlow)


@pytest.fixture(scope="module")
def grid():
    return grid_from_pandapower(pandapower.networks.case14(), "case14")


def assert_same(a: Flow, b: Flow, tolerance: float) -> None:
    np.testing.assert_array_equal(a.converged, b.converged)
    for name in Flow._fields:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=tolerance, atol=tolerance, err_msg=name)


def set_bus(grid, inputs, bus, **elements):
    """Puts elements of one row on a busbar; ``line`` both ends, ``line_or`` and ``line_ex`` one."""
    layout = grid.topology_layout
    for kind, ids in elements.items():
        places = (layout.line_or, layout.line_ex) if kind == "line" else (getattr(layout, kind),)
        for place in places:
            inputs.topo_vect[0, place[np.atleast_1d(ids)]] = bus
    return inputs


@pytest.mark.parametrize("solver", FAST)
def test_batch_equals_singles_in_any_order(grid, solver):
    inputs = random_states(grid, 60, seed=3)
    batch = solver(grid).solve(inputs, cold(grid, 60), every_row(60))
    assert 20 < batch.converged.sum() < 60
    order = np.random.default_rng(0).permutation(60)
    one = solver(grid)
    for env in order:
        single = one.solve(rows_of(inputs, [env]), cold(grid), every_row(1))
        assert_same(single, rows_of(batch, [env]), 1e-9)
    shuffled = solver(grid)
    shuffled.solve(random_states(grid, 5, seed=4), cold(grid, 5), every_row(5))
    assert_same(shuffled.solve(rows_of(inputs, order), cold(grid, 60), every_row(60)), rows_of(batch, order), 1e-9)


def unsplit(grid, inputs):
    """The same injections with everything on busbar 1."""
    whole = operating_point(grid, len(inputs.gen_p))
    return inputs._replace(topo_vect=whole.topo_vect, shunt_bus=whole.shunt_bus)


def test_rows_of_one_topology_equal_singles(grid):
    """Solved side by side, of which one finds no solution, some start cold, and one is not asked for."""
    n_env = 21
    inputs = unsplit(grid, random_states(grid, n_env, seed=8))
    inputs.topo_vect[15:, [grid.line_or_pos_topo_vect[3], grid.line_ex_pos_topo_vect[3]]] = -1
    inputs.load_p[4] *= 20
    start = NewtonPowerFlow(grid).solve(operating_point(grid, n_env), cold(grid, n_env), every_row(n_env)).voltage
    start[::5] = 0
    rows = every_row(n_env)
    rows[9] = False
    batch = NewtonPowerFlow(grid).solve(inputs, start, rows)
    assert np.flatnonzero(~batch.converged).tolist() == [4, 9]
    one = NewtonPowerFlow(grid)
    for env in range(n_env):
        single = one.solve(rows_of(inputs, [env]), start[[env]], rows[[env]])
        assert_same(single, rows_of(batch, [env]), 1e-9)


def test_networks_that_find_no_room_are_worked_out_again(grid, monkeypatch):
    inputs = random_states(grid, 60, seed=3)
    expected = NewtonPowerFlow(grid).solve(inputs, cold(grid, 60), every_row(60))
    monkeypatch.setattr(network, "CAPACITY_BYTES", 30_000)
    solver = NewtonPowerFlow(grid)
    for rows in (range(20), range(20, 40), range(60)):
        some = list(rows)
        flow = solver.solve(rows_of(inputs, some), cold(grid, len(some)), every_row(len(some)))
        assert_same(flow, rows_of(expected, some), 1e-12)
    used = solver._store.networks.ints.nbytes + solver._store.networks.admittances.nbytes
    assert 30_000 <= used <= 480_000


def test_a_flow_is_written_where_it_is_wanted(grid):
    """In a block of whoever asks, the voltages over those it began with; rows not asked for are left alone."""
    inputs = unsplit(grid, random_states(grid, 5, seed=8))
    expected = NewtonPowerFlow(grid).solve(inputs, cold(grid, 5), every_row(5))
    problem, memory, places = unsolved(grid, 5)
    for array, given in zip(problem.inputs, inputs, strict=True):
        array[:] = given
    problem.flow.p_or[3] = 7.0
    asked = np.array([True, True, True, False, True])
    NewtonPowerFlow(grid).solve_into(memory, places, problem.flow.voltage, asked)
    assert_same(rows_of(problem.flow, [0, 1, 2, 4]), rows_of(expected, [0, 1, 2, 4]), 1e-12)
    assert (problem.flow.p_or[3] == 7.0).all()
    assert not problem.flow.converged[3]


def test_warm_start_changes_nothing_but_the_way_there(grid):
    """From the solution of the same row, of another row, and of a row with another topology."""
    inputs = random_states(grid, 60, seed=5)
    solver = LightSimPowerFlow(grid)
    first = solver.solve(inputs, cold(grid, 60), every_row(60))
    for start in (first.voltage, np.roll(first.voltage, 7, axis=0), first.voltage * np.exp(0.3j)):
        assert_same(solver.solve(inputs, start, every_row(60)), first, 1e-5)


def test_warm_start_from_nonsense_ends_in_a_cold_one(grid):
    inputs = operating_point(grid)
    solver = LightSimPowerFlow(grid)
    first = solver.solve(inputs, cold(grid), every_row(1))
    nonsense = np.exp(1j * np.linspace(0, 6, grid.n_bus))[None] * np.linspace(0.01, 3, grid.n_bus)
    assert_same(solver.solve(inputs, nonsense, every_row(1)), first, 1e-9)


@pytest.mark.parametrize("solver", ALL)
def test_rows_not_asked_for_stay_zero(grid, solver):
    inputs = random_states(grid, 3, seed=0)._replace(topo_vect=operating_point(grid, 3).topo_vect)
    flow = solver(grid).solve(inputs, cold(grid, 3), np.array([True, False, True]))
    assert flow.converged.tolist() == [True, False, True]
    for name in Flow._fields:
        assert not getattr(flow, name)[1].any()


@pytest.mark.parametrize("solver", ALL)
def test_inputs_are_not_written_to(grid, solver):
    inputs, start = random_states(grid, 3, seed=1), np.ones((3, grid.n_bus), dtype=complex)
    for array in (*inputs, start):
        array.flags.writeable = False
    copies = [array.copy() for array in (*inputs, start)]
    rows = every_row(3)
    rows.flags.writeable = False
    solver(grid).solve(inputs, start, rows)
    for array, before in zip((*inputs, start), copies, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("solver", FAST)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_are_solvers_of_their_own(grid, solver, duplicate):
    inputs = operating_point(grid)
    original = solver(grid)
    flow = original.solve(inputs, cold(grid), every_row(1))
    assert_same(duplicate(original).solve(inputs, cold(grid), every_row(1)), flow, 1e-12)


@pytest.mark.parametrize("solver", ALL)
class TestIslands:
    """A busbar in use that is not connected to the slack generator is no solution, whatever stands on it."""

    def test_whole_grid(self, grid, solver):
        assert solver(grid).solve(operating_point(grid), cold(grid), every_row(1)).converged[0]

    def test_substation_cut_off(self, grid, solver):
        sub = 13
        lines = np.flatnonzero((grid.line_or_to_subid == sub) | (grid.line_ex_to_subid == sub))
        inputs = set_bus(grid, operating_point(grid), -1, line=lines)
        assert not solver(grid).solve(inputs, cold(grid), every_row(1)).converged[0]

    def test_both_ends_of_a_line_alone_on_busbar_two(self, grid, solver):
        inputs = set_bus(grid, operating_point(grid), 2, line=3)
        assert not solver(grid).solve(inputs, cold(grid), every_row(1)).converged[0]

    def test_one_end_alone_on_a_busbar_is_an_antenna(self, grid, solver):
        inputs = set_bus(grid, operating_point(grid), 2, line_ex=3)
        flow = solver(grid).solve(inputs, cold(grid), every_row(1))
        assert flow.converged[0]
        assert abs(flow.p_ex[0, 3]) < 1e-6
        assert flow.v_ex[0, 3] > 0

    def test_load_alone_on_a_busbar(self, grid, solver):
        inputs = set_bus(grid, operating_point(grid), 2, load=2)
        assert not solver(grid).solve(inputs, cold(grid), every_row(1)).converged[0]

    def test_shunt_alone_on_a_busbar(self, grid, solver):
        inputs = operating_point(grid)
        inputs.shunt_bus[:] = 2
        assert not solver(grid).solve(inputs, cold(grid), every_row(1)).converged[0]

    def test_slack_disconnected(self, grid, solver):
        inputs = set_bus(grid, operating_point(grid), -1, gen=grid.slack_gen)
        assert not solver(grid).solve(inputs, cold(grid), every_row(1)).converged[0]

    def test_what_is_disconnected_contributes_nothing(self, grid, solver):
        inputs = set_bus(grid, operating_point(grid), -1, load=4, gen=1, line=6)
        inputs.shunt_bus[:] = -1
        inputs.load_p[0, 4], inputs.gen_p[0, 1], inputs.gen_v[0, 1] = 1e6, 1e6, 5.0
        flow = solver(grid).solve(inputs, cold(grid), every_row(1))
        without = inputs._replace(load_p=inputs.load_p.copy(), gen_p=inputs.gen_p.copy())
        without.load_p[0, 4] = without.gen_p[0, 1] = 0
        assert flow.converged[0]
        assert_same(flow, solver(grid).solve(without, cold(grid), every_row(1)), 1e-6)
        for array, i in ((flow.load_p, 4), (flow.load_v, 4), (flow.gen_p, 1), (flow.gen_q, 1), (flow.gen_v, 1)):
            assert array[0, i] == 0
        for name in ("p_or", "a_or", "v_or", "p_ex", "a_ex", "theta_ex"):
            assert getattr(flow, name)[0, 6] == 0
        assert not flow.shunt_q.any()
        assert not flow.shunt_v.any()


def test_an_isolated_generator_can_return(grid):
    """What a generator was told while it was away counts when it is back."""
    solver = LightSimPowerFlow(grid)
    away = set_bus(grid, operating_point(grid), -1, gen=1)
    away.gen_v[0, 1] *= 1.02
    back = operating_point(grid)._replace(gen_v=away.gen_v)
    solver.solve(operating_point(grid), cold(grid), every_row(1))
    solver.solve(away, cold(grid), every_row(1))
    flow = solver.solve(back, cold(grid), every_row(1))
    assert_same(flow, LightSimPowerFlow(grid).solve(back, cold(grid), every_row(1)), 1e-9)
    np.testing.assert_allclose(flow.gen_v[0, 1], away.gen_v[0, 1])


def test_small_changes_are_not_lost(grid):
    """Powers and voltages that differ in the tenth digit from the row before."""
    solver = LightSimPowerFlow(grid)
    inputs = operating_point(grid)
    for _ in range(20):
        inputs = inputs._replace(load_p=inputs.load_p + 3e-8, load_q=inputs.load_q - 3e-8, gen_v=inputs.gen_v + 1e-8)
        inputs = inputs._replace(gen_p=inputs.gen_p + 3e-8)
        flow = solver.solve(inputs, cold(grid), every_row(1))
    assert_same(flow, LightSimPowerFlow(grid).solve(inputs, cold(grid), every_row(1)), 1e-10)


@pytest.mark.parametrize("solver", ALL)
def test_generators_that_disagree_follow_the_slack_then_the_first(solver):
    net = pandapower.networks.case14()
    for bus, v in ((0, 1.01), (1, 1.03)):
        pandapower.create_gen(net, bus, 1.0, v)
    grid = grid_from_pandapower(net, "disagreement")
    flow = solver(grid).solve(operating_point(grid), cold(grid), every_row(1))
    assert flow.converged[0]
    vn = grid.sub_vn_kv[grid.gen_to_subid]
    v_pu = flow.gen_v[0] / vn
    np.testing.assert_allclose(v_pu[grid.gen_to_subid == 0], 1.06)
    np.testing.assert_allclose(v_pu[grid.gen_to_subid == 1], net.gen.vm_pu[0])


def test_divergence_is_a_verdict():
    """
    gen 1.0 o---- x = 0.1 ----o load 6.0: more than the line can carry (5.0 at most)
    """
    grid = hand_grid(2, [{"f": 0, "t": 1, "x": 0.1}], [{"sub": 0, "slack": True}], [{"sub": 1, "p": 2.688}])
    inputs = operating_point(grid, 3)
    inputs.load_p[1] = 600
    solver = LightSimPowerFlow(grid)
    flow = solver.solve(inputs, cold(grid, 3), every_row(3))
    assert flow.converged.tolist() == [True, False, True]
    assert not flow.voltage[1].any()
    np.testing.assert_allclose(flow.p_or[:, 0], [268.8, 0, 268.8])
    warm = solver.solve(inputs, np.roll(flow.voltage, 1, axis=0), every_row(3))
    assert warm.converged.tolist() == [True, False, True]


def test_three_busbars_per_substation():
    grid = grid_from_pandapower(pandapower.networks.case14(), "case14", n_busbar=3)
    inputs = random_states(grid, 40, seed=2)
    assert (inputs.topo_vect == 3).any()
    ours = LightSimPowerFlow(grid).solve(inputs, cold(grid, 40), every_row(40))
    theirs = PandapowerPowerFlow(grid).solve(inputs, cold(grid, 40), every_row(40))
    np.testing.assert_array_equal(ours.converged, theirs.converged)
    assert ours.converged.sum() > 10
    np.testing.assert_allclose(ours.p_or, theirs.p_or, atol=1e-4)


def test_a_line_with_unequal_ends_is_modelled_whole(grid):
    """lightsim2grid has no such transformer: what is more at one end follows that end about."""
    rng = np.random.default_rng(0)
    extra = np.where(np.arange(grid.n_line) % 3 == 0, rng.uniform(0, 0.05, grid.n_line) * (0.2 + 1j), 0)
    grid = replace(grid, line_y_ex_pu=grid.line_y_ex_pu + extra)
    inputs = random_states(grid, 30, seed=6)
    flow = LightSimPowerFlow(grid).solve(inputs, cold(grid, 30), every_row(30))
    assert flow.converged.sum() > 10
    assert largest_mismatch(grid, inputs, flow) < 1e-6
    plain = LightSimPowerFlow(replace(grid, line_y_ex_pu=grid.line_y_or_pu)).solve(
        inputs, cold(grid, 30), every_row(30)
    )
    assert np.abs(plain.q_or - flow.q_or).max() > 1


def test_bus_layout_numbers_buses_across_the_grid(grid):
    layout = BusLayout.of(grid)
    inputs = set_bus(grid, operating_point(grid), 2, load=0)
    inputs = set_bus(grid, inputs, -1, line_or=5)
    buses = layout.buses(inputs.topo_vect, inputs.shunt_bus)[0]
    assert buses[layout.load][0] == grid.load_to_subid[0] + grid.n_sub
    assert buses[layout.line_or][5] == buses[layout.line_ex][5] == -1
    assert buses[layout.slack] == grid.gen_to_subid[grid.slack_gen]


class TestFactory:
    @pytest.mark.parametrize(
        ("name", "kind"), [("lightsim", LightSimPowerFlow), ("dc", DCPowerFlow), ("pandapower", PandapowerPowerFlow)]
    )
    def test_names(self, grid, name, kind):
        assert isinstance(power_flow(name, grid), kind)

    def test_an_object_is_taken_as_it_is(self, grid):
        solver = DCPowerFlow(grid)
        assert power_flow(solver, grid) is solver

    def test_unknown_name(self, grid):
        with pytest.raises(ValueError, match=r"unknown power flow 'acc'; choose from .*lightsim"):
            power_flow("acc", grid)

    def test_not_a_solver(self, grid):
        with pytest.raises(TypeError, match="solve"):
            power_flow(42, grid)

    def test_pandapower_needs_its_network(self, grid):
        with pytest.raises(ValueError, match="not read from a pandapower network"):
            power_flow("pandapower", replace(grid, source=""))

    def test_linear_flow_needs_reactances(self):
        grid = hand_grid(2, [{"f": 0, "t": 1, "r": 0.1}], [{"sub": 0, "slack": True}], [{"sub": 1, "p": 0.5}])
        with pytest.raises(ValueError, match="line_0"):
            DCPowerFlow(grid)


@pytest.mark.parametrize("name", ["case39", "case300", "case1354pegase"])
def test_newton_on_larger_grids(name):
    """Order and fill-in of the elimination are worked out for every size of grid."""
    grid = grid_from_pandapower(getattr(pandapower.networks, name)(), name)
    inputs = operating_point(grid)
    ours = NewtonPowerFlow(grid).solve(inputs, cold(grid), every_row(1))
    theirs = LightSimPowerFlow(grid).solve(inputs, cold(grid), every_row(1))
    assert ours.converged[0]
    np.testing.assert_allclose(ours.voltage, theirs.voltage, atol=1e-8)
