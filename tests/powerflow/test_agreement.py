"""Our flows against pandapower's and Grid2Op's, and against Kirchhoff."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandapower
import pandapower.networks
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marlgrid.model.datasets.pandapower_net import grid_from_pandapower
from marlgrid.powerflow.base import PowerFlowInput
from marlgrid.powerflow.buses import BusLayout
from marlgrid.powerflow.dc import DCPowerFlow
from marlgrid.powerflow.lightsim import LightSimPowerFlow
from marlgrid.powerflow.newton import NewtonPowerFlow
from marlgrid.powerflow.pandapower import PandapowerPowerFlow
from tests.powerflow.states import (
    bus_sums,
    cold,
    every_row,
    largest_difference,
    largest_mismatch,
    operating_point,
    random_states,
)

CASES = ("case5", "case14", "case118")
GRIDS = {name: grid_from_pandapower(getattr(pandapower.networks, name)(), name) for name in CASES}
AC_SOLVERS = (NewtonPowerFlow, LightSimPowerFlow)
SOLVERS = {(kind, name): kind(grid) for name, grid in GRIDS.items() for kind in AC_SOLVERS}


def check_against_pandapower(name: str, n_env: int, seed: int) -> None:
    grid = GRIDS[name]
    inputs = random_states(grid, n_env, seed)
    theirs = PandapowerPowerFlow(grid).solve(inputs, cold(grid, n_env), every_row(n_env))
    for kind in AC_SOLVERS:
        ours = SOLVERS[kind, name].solve(inputs, cold(grid, n_env), every_row(n_env))
        check_agreement(grid, inputs, ours, theirs)


def check_agreement(grid, inputs, ours, theirs) -> None:
    n_env = len(ours.converged)
    np.testing.assert_array_equal(ours.converged, theirs.converged)
    assert 0.4 * n_env < ours.converged.sum() < n_env
    differences = largest_difference(grid, ours, theirs)
    # Generators on one bus share its reactive power differently in each program: compared by bus instead.
    del differences["gen_q"]
    layout = BusLayout.of(grid)
    gen_bus = layout.buses(inputs.topo_vect, inputs.shunt_bus)[:, layout.gen]
    by_bus = bus_sums(grid, gen_bus, ours.gen_q) - bus_sums(grid, gen_bus, theirs.gen_q)
    differences["gen_q"] = np.abs(by_bus[ours.converged]).max() / grid.sn_mva
    assert max(differences.values()) < 1e-6, differences
    amps = grid.sn_mva * 1000 / (np.sqrt(3) * grid.sub_vn_kv[grid.line_or_to_subid])
    assert (np.abs(ours.a_or - theirs.a_or) / amps).max() < 1e-6


@pytest.mark.parametrize("name", CASES)
def test_random_states_agree_with_pandapower(name):
    check_against_pandapower(name, 100, seed=11)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_thousand_random_states_agree_with_pandapower(name):
    check_against_pandapower(name, 1000, seed=12)


@pytest.mark.parametrize(("name", "low", "high"), [("case14", 4.04, 4.07), ("case118", 3.178, 3.19)])
def test_solutions_are_found_up_to_the_collapse(name, low, high):
    """At the nose of the loading curve the iterations are slow; lightsim2grid's full Newton says where it is."""
    grid, n_env = GRIDS[name], 400
    inputs, level = operating_point(grid, n_env), np.linspace(low, high, n_env)[:, None]
    inputs = inputs._replace(load_p=inputs.load_p * level, load_q=inputs.load_q * level, gen_p=inputs.gen_p * level)
    theirs = SOLVERS[LightSimPowerFlow, name].solve(inputs, cold(grid, n_env), every_row(n_env))
    usual = SOLVERS[NewtonPowerFlow, name].solve(operating_point(grid, n_env), cold(grid, n_env), every_row(n_env))
    assert 0.3 * n_env < theirs.converged.sum() < 0.9 * n_env
    for start in (cold(grid, n_env), usual.voltage):
        ours = SOLVERS[NewtonPowerFlow, name].solve(inputs, start, every_row(n_env))
        np.testing.assert_array_equal(ours.converged, theirs.converged)
        assert largest_mismatch(grid, inputs, ours) < 1e-4


@pytest.mark.parametrize("kind", AC_SOLVERS)
@pytest.mark.parametrize("name", CASES)
@given(seed=st.integers(0, 2**31 - 1))
def test_kirchhoff_at_every_bus(name, kind, seed):
    grid, n_env = GRIDS[name], 4
    inputs = random_states(grid, n_env, seed)
    flow = SOLVERS[kind, name].solve(inputs, cold(grid, n_env), every_row(n_env))
    assert largest_mismatch(grid, inputs, flow) < 1e-4


@pytest.mark.parametrize("kind", AC_SOLVERS)
def test_injections_reach_the_flow_as_given(kind):
    """To the last bit, though lightsim2grid takes single precision; only the slack's power is an answer."""
    grid = GRIDS["case14"]
    inputs = random_states(grid, 20, 5)
    flow = SOLVERS[kind, "case14"].solve(inputs, cold(grid, 20), every_row(20))
    on, other = flow.converged, ~grid.gen_slack
    assert on.sum() > 10
    np.testing.assert_array_equal(flow.load_p[on], inputs.load_p[on])
    np.testing.assert_array_equal(flow.load_q[on], inputs.load_q[on])
    np.testing.assert_array_equal(flow.gen_p[on][:, other], inputs.gen_p[on][:, other])
    assert largest_mismatch(grid, inputs, flow) < 1e-7


@pytest.mark.parametrize("name", [*CASES, "case39", "case300", "iceland"])
def test_linear_flow_agrees_with_pandapower(name):
    net = getattr(pandapower.networks, name)()
    grid = grid_from_pandapower(net, name)
    flow = DCPowerFlow(grid).solve(operating_point(grid), cold(grid), every_row(1))
    pandapower.rundcpp(net)
    p_or = np.concatenate([net.res_line.p_from_mw, net.res_trafo.p_hv_mw])
    np.testing.assert_allclose(flow.p_or[0], p_or, atol=1e-6)
    angle = net.res_bus.va_degree.to_numpy()
    angle -= angle[grid.gen_to_subid[grid.slack_gen]]
    np.testing.assert_allclose(flow.theta_or[0], angle[grid.line_or_to_subid], atol=1e-6)
    np.testing.assert_allclose(flow.gen_p[0, grid.slack_gen], net.res_ext_grid.p_mw[0], atol=1e-6)


def grid2op_observation(name: str, dc: bool):
    """The first observation of a data set that Grid2Op ships, its class, and our grid of its network."""
    import grid2op
    from grid2op.Parameters import Parameters
    from lightsim2grid import LightSimBackend

    parameters = Parameters()
    parameters.ENV_DC = dc
    env = grid2op.make(name, test=True, backend=LightSimBackend(), param=parameters)
    env.seed(0)
    observation = env.reset()
    env.close()
    path = Path(grid2op.__file__).parent / "data" / name / "grid.json"
    return observation, grid_from_pandapower(pandapower.from_json(str(path)), name, transformer_formula="v2")


def our_inputs(grid, observation) -> PowerFlowInput:
    values = (getattr(observation, name)[None].astype(float) for name in ("gen_p", "gen_v", "load_p", "load_q"))
    return PowerFlowInput(
        observation.topo_vect[None].astype(np.int32),
        np.ones((1, grid.n_shunt), dtype=np.int32),
        *values,
        observation.storage_power[None].astype(float),
    )


@pytest.mark.skipif(importlib.util.find_spec("grid2op") is None, reason="grid2op is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["l2rpn_case14_sandbox", "l2rpn_wcci_2020", "l2rpn_wcci_2022_dev"])
@pytest.mark.parametrize("kind", [*AC_SOLVERS, DCPowerFlow])
def test_agrees_with_grid2op_on_its_own_data(name, kind):
    observation, grid = grid2op_observation(name, kind is DCPowerFlow)
    flow = kind(grid).solve(our_inputs(grid, observation), cold(grid), every_row(1))
    assert flow.converged[0]
    for kind in ("sub", "line", "gen", "load", "storage"):
        assert list(getattr(grid, f"name_{kind}")) == list(getattr(observation, f"name_{kind}"))
    for field in ("p_or", "q_or", "p_ex", "q_ex", "gen_p", "gen_q", "load_p", "load_q"):
        np.testing.assert_allclose(getattr(flow, field)[0], getattr(observation, field), atol=1e-3, err_msg=field)
    for field in ("v_or", "v_ex", "gen_v", "load_v", "theta_or", "theta_ex", "gen_theta", "load_theta"):
        np.testing.assert_allclose(getattr(flow, field)[0], getattr(observation, field), atol=1e-4, err_msg=field)
    np.testing.assert_allclose(flow.a_or[0], observation.a_or, rtol=1e-5, atol=1e-2)
