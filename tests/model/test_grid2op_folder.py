"""Grid2Op's own folders: what we read equals what Grid2Op says of every environment that it ships."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from marlgrid.model.datasets.case import load_case
from marlgrid.model.datasets.grid2op_folder import find_folder, folder_names, load_folder
from marlgrid.model.parameters import Parameters
from marlgrid.powerflow.lightsim import LightSimPowerFlow
from marlgrid.simulation.step import initial

grid2op = pytest.importorskip("grid2op")
lightsim2grid = pytest.importorskip("lightsim2grid")

ENVIRONMENTS = (
    "educ_case14_storage",
    "l2rpn_case14_sandbox",
    "l2rpn_icaps_2021",
    "l2rpn_idf_2023",
    "l2rpn_neurips_2020_track2",
    "rte_case5_example",
)
"""One of each kind; the rest are as slow to make in Grid2Op and differ less."""
MORE = (
    "educ_case14_redisp",
    "l2rpn_case14_sandbox_diff_grid",
    "l2rpn_neurips_2020_track1",
    "l2rpn_wcci_2020",
    "l2rpn_wcci_2022_dev",
    "rte_case118_example",
    "rte_case14_opponent",
    "rte_case14_realistic",
    "rte_case14_redisp",
    "rte_case14_test",
)
UNREADABLE = {"blank": "ChangeNothing", "l2rpn_2019": "pypownet"}


@pytest.fixture(scope="module", params=[*ENVIRONMENTS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def pair(request):
    """(name, our case, Grid2Op's environment)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = grid2op.make(request.param, test=True, backend=lightsim2grid.LightSimBackend())
    case = load_folder(request.param)
    yield SimpleNamespace(name=request.param, system=case.system, grid=case.system.grid, series=case.series, env=env)
    env.close()


def mixes(env):
    return list(env) if hasattr(env, "mix_envs") else [env]


def scenario_data(env, index):
    """Grid2Op's tables of a scenario."""
    handler = env.chronics_handler
    handler.tell_id(index - 1)
    handler.next_chronics()
    handler.initialize(env.name_load, env.name_gen, env.name_line, env.name_sub, None)
    return handler.real_data.data


def test_every_shipped_environment_is_tested():
    assert set(folder_names()) >= set(ENVIRONMENTS) | set(MORE) | set(UNREADABLE)


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_cannot_be_read_says_why(name):
    with pytest.raises(ValueError, match=UNREADABLE[name]):
        load_folder(name)


def test_elements_and_names(pair):
    grid, env = pair.grid, pair.env
    for kind in ("line", "gen", "load", "storage"):
        assert list(getattr(grid, f"name_{kind}")) == list(getattr(env, f"name_{kind}")), kind
    if pair.name in ("rte_case14_redisp", "rte_case14_test"):
        # Their files list the buses in another order, by which Grid2Op names substations that it numbers otherwise.
        assert set(grid.name_sub) == set(env.name_sub)
    else:
        assert list(grid.name_sub) == list(env.name_sub)


def test_where_elements_are(pair):
    grid, env = pair.grid, pair.env
    for kind in ("line_or", "line_ex", "gen", "load", "storage"):
        np.testing.assert_array_equal(getattr(grid, f"{kind}_to_subid"), getattr(env, f"{kind}_to_subid"), kind)
        ours, theirs = getattr(grid, f"{kind}_pos_topo_vect"), getattr(env, f"{kind}_pos_topo_vect")
        np.testing.assert_array_equal(ours, theirs, kind)
    in_service = mixes(env)[0].get_obs()._shunt_bus > 0
    np.testing.assert_array_equal(grid.shunt_to_subid, env.shunt_to_subid[in_service])
    assert list(grid.name_shunt) == list(env.name_shunt[in_service])
    np.testing.assert_array_equal(grid.sub_info, env.sub_info)
    layout = env.grid_layout
    np.testing.assert_allclose(grid.sub_xy, [layout[name] for name in grid.name_sub])


def test_generators(pair):
    grid, env = pair.grid, pair.env
    assert list(grid.gen_type) == list(env.gen_type)
    for field in (
        "gen_pmin",
        "gen_pmax",
        "gen_max_ramp_up",
        "gen_max_ramp_down",
        "gen_min_uptime",
        "gen_min_downtime",
        "gen_startup_cost",
        "gen_shutdown_cost",
        "gen_redispatchable",
        "gen_renewable",
    ):
        np.testing.assert_allclose(getattr(grid, field), getattr(env, field), rtol=1e-6, err_msg=field)
    np.testing.assert_allclose(grid.gen_cost_per_mw, env.gen_cost_per_MW, rtol=1e-6)
    backend = mixes(env)[0].backend
    slack = [generator.is_slack for generator in backend._grid.get_generators()]
    np.testing.assert_array_equal(grid.gen_slack, slack)


def test_storages(pair):
    grid, env = pair.grid, pair.env
    assert list(grid.storage_type) == list(env.storage_type)
    ours_theirs = {
        "storage_emax": "storage_Emax",
        "storage_emin": "storage_Emin",
        "storage_max_p_prod": "storage_max_p_prod",
        "storage_max_p_absorb": "storage_max_p_absorb",
        "storage_marginal_cost": "storage_marginal_cost",
        "storage_loss": "storage_loss",
        "storage_charging_efficiency": "storage_charging_efficiency",
        "storage_discharging_efficiency": "storage_discharging_efficiency",
    }
    for ours, theirs in ours_theirs.items():
        np.testing.assert_allclose(getattr(grid, ours), getattr(env, theirs), rtol=1e-6, err_msg=ours)


def test_limits_and_parameters(pair):
    env = mixes(pair.env)[0]
    np.testing.assert_allclose(pair.grid.thermal_limit, env.get_thermal_limit(), rtol=1e-6)
    theirs = {key.lower(): value for key, value in env.parameters.to_dict().items()}
    for name in Parameters.__dataclass_fields__:
        assert getattr(pair.system.parameters, name) == pytest.approx(theirs[name]), name


def test_opponent(pair):
    env, attack = mixes(pair.env)[0], pair.system.attack
    lines = env._kwargs_opponent.get("lines_attacked", [])
    if not lines:
        trafos = {name for name, is_trafo in zip(pair.grid.name_line, pair.grid.line_is_trafo, strict=True) if is_trafo}
        assert attack.lines
        assert not trafos & set(attack.lines)
        return
    flat = [name for item in lines for name in ([item] if isinstance(item, str) else item)]
    assert list(attack.lines) == flat
    assert attack.max_duration == env._opponent_attack_duration
    assert attack.cooldown == env._opponent_attack_cooldown
    assert attack.initial_budget == pytest.approx(env._opponent_init_budget)
    assert attack.budget_per_step == pytest.approx(env._opponent_budget_per_ts)


OPPONENTS = {
    "rte_case14_opponent": "random",
    "l2rpn_neurips_2020_track1": "weighted",
    "l2rpn_icaps_2021": "geometric",
    "l2rpn_wcci_2022_dev": "geometric",
    "l2rpn_idf_2023": "multi-area",
}
"""Class of the data set's own opponent, by environment; the others have none."""


def test_the_attacker_of_the_data_set(pair):
    env, attacker = mixes(pair.env)[0], pair.system.attacker
    assert attacker.name == OPPONENTS.get(pair.name, "none")
    theirs = env._kwargs_opponent
    hours = {"attack_every_xxx_hour": "every_hours", "average_attack_duration_hour": "average_hours"}
    for key, ours in {**hours, "minimum_attack_duration_hour": "minimum_hours", "attack_period": "period"}.items():
        if key in theirs:
            assert attacker.settings[ours] == theirs[key]
    if attacker.name == "multi-area":
        assert attacker.settings["areas"] == tuple(tuple(area) for area in theirs["lines_attacked"])
    if attacker.name == "weighted":
        scale = dict(zip(theirs["lines_attacked"], theirs["rho_normalization"], strict=True))
        assert attacker.settings["normalisation"] == tuple(scale[n] for n in pair.grid.name_line if n in scale)


def test_injections_and_maintenance(pair):
    """Every row of the first scenario and the first of every other: loads, generation, voltages, planned outages."""
    number = 0
    for mix in mixes(pair.env):
        for index in range(min(len(mix.chronics_handler.subpaths), 3)):
            data = scenario_data(mix, index)
            folder = pair.series.folder(number + index)
            assert str(folder) == str(data.path)
            n_row = len(data.load_p)
            assert pair.series.n_rows(number + index) == n_row
            rows = np.arange(n_row if index == 0 else 3, dtype=np.int32)
            check_rows(pair, number + index, rows, data)
        number += len(mix.chronics_handler.subpaths)
    assert len(pair.series.folders) == number


def check_rows(pair, scenario, rows, data):
    ours = pair.series.at(np.full(len(rows), scenario), rows)
    np.testing.assert_array_equal(ours.load_p, data.load_p[rows])
    np.testing.assert_array_equal(ours.load_q, data.load_q[rows])
    np.testing.assert_array_equal(ours.gen_p, data.prod_p[rows])
    if data.prod_v is not None:
        np.testing.assert_array_equal(ours.gen_v, data.prod_v[rows])
    else:
        np.testing.assert_allclose(ours.gen_v, np.tile(pair.grid.gen_v_kv, (len(rows), 1)), rtol=1e-6)
    if pair.series.reading.maintenance == "table" and data.maintenance is not None:
        np.testing.assert_array_equal(ours.time_next_maintenance, data.maintenance_time[rows])
        np.testing.assert_array_equal(ours.duration_next_maintenance, data.maintenance_duration[rows])
    if data.hazard_duration is not None:
        np.testing.assert_array_equal(ours.hazard_duration, data.hazard_duration[rows])
    start = np.datetime64(data.start_datetime, "m")
    assert pair.series.start(scenario) == start


def test_forecasts(pair):
    data = scenario_data(mixes(pair.env)[0], 0)
    assert pair.series.n_horizon == data._nb_forecast
    rows = np.array([0, 1, 7, 100, 280], dtype=np.int32)
    scenario = np.zeros(len(rows), dtype=np.int64)
    now = pair.series.at(scenario, rows)
    for horizon in range(1, pair.series.n_horizon + 1):
        ours = pair.series.forecast(scenario, rows, horizon)
        at = rows * data._nb_forecast + horizon - 1
        np.testing.assert_array_equal(ours.load_p, data.load_p_forecast[at])
        np.testing.assert_array_equal(ours.load_q, data.load_q_forecast[at])
        np.testing.assert_array_equal(ours.gen_p, data.prod_p_forecast[at])
        gen_v = now.gen_v if data.prod_v_forecast is None else data.prod_v_forecast[at]
        np.testing.assert_array_equal(ours.gen_v, gen_v)
        then = pair.series.at(scenario, rows + horizon)
        np.testing.assert_array_equal(ours.time_next_maintenance, then.time_next_maintenance)


def test_voltages_of_the_grid(pair):
    """Where the chronics give no voltages, the set points are those that Grid2Op's power flow starts from."""
    backend = mixes(pair.env)[0].backend
    per_unit = [generator.target_vm_pu for generator in backend._grid.get_generators()]
    if pair.name in ("l2rpn_idf_2023", "l2rpn_wcci_2022_dev"):
        expected = np.array(per_unit) * pair.grid.sub_vn_kv[pair.grid.gen_to_subid]
        np.testing.assert_allclose(pair.grid.gen_v_kv, expected, rtol=1e-6)


def test_a_mix_by_itself_has_its_own_characteristics():
    both = load_folder("l2rpn_neurips_2020_track2")
    second = load_folder(find_folder("l2rpn_neurips_2020_track2") / "x2.5")
    assert len(both.series.folders) == 4
    assert len(second.series.folders) == 2
    assert second.system.grid.gen_pmax.max() >= both.system.grid.gen_pmax.max()
    assert not np.array_equal(second.system.grid.gen_pmax, both.system.grid.gen_pmax)
    np.testing.assert_array_equal(
        second.series.at(np.array([0]), np.array([5])).load_p, both.series.at(np.array([2]), np.array([5])).load_p
    )


def test_areas_of_the_rules_are_the_default_zones(pair):
    n_sub = pair.grid.n_sub
    if pair.name != "l2rpn_idf_2023":
        assert pair.system.n_zone == {5: 2, 14: 3, 36: 3, 118: 8}[n_sub]
        return
    labels = np.full(n_sub, -1)
    areas = mixes(pair.env)[0]._game_rules.legal_action.substations_id_by_area
    for area, subs in areas.items():
        labels[subs] = area
    np.testing.assert_array_equal(pair.system.zones.labels, labels)
    np.testing.assert_array_equal(pair.system.rules.area_of_sub(pair.grid), labels)


def test_difficulty_and_changes():
    assert load_folder("l2rpn_icaps_2021", difficulty="1").system.parameters.nb_timestep_overflow_allowed == 6
    changed = load_case("l2rpn_icaps_2021", parameters={"NB_TIMESTEP_COOLDOWN_SUB": 7}).system.parameters
    assert (changed.nb_timestep_cooldown_sub, changed.nb_timestep_cooldown_line) == (7, 3)
    given = load_case("l2rpn_icaps_2021", parameters=Parameters()).system.parameters
    assert given == Parameters()
    attack = load_case("l2rpn_icaps_2021", attack={"max_duration": 5}).system.attack
    assert (attack.max_duration, attack.cooldown) == (5, 12)
    with pytest.raises(ValueError, match="unknown difficulty '9'"):
        load_folder("l2rpn_icaps_2021", difficulty="9")
    with pytest.raises(ValueError, match="no levels to choose"):
        load_folder("l2rpn_case14_sandbox", difficulty="1")


def test_first_power_flow(pair):
    """The grid as converted carries what Grid2Op's carries: the currents of the first row."""
    env = mixes(pair.env)[0]
    theirs = env.reset(options={"time serie id": 0})
    solver = LightSimPowerFlow(pair.grid)
    zero = np.zeros(1, dtype=np.int64)
    ours = initial(pair.system, solver, pair.series, zero, zero, zero, zero + pair.series.n_rows(0) - 1)
    np.testing.assert_allclose(ours.rho[0], theirs.rho, atol=2e-6)
    np.testing.assert_allclose(ours.flow.gen_p[0], theirs.gen_p, atol=1e-4)
    np.testing.assert_allclose(ours.flow.v_or[0], theirs.v_or, rtol=1e-6)
