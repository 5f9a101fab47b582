"""Initial states and thermal limits of single episodes, through every kind of environment."""

from __future__ import annotations

import numpy as np
import pytest

import marlgrid
from marlgrid.task.opening import opening
from tests.simulation.small import StillSeries, small_system

SPLIT = {"set_line_status": [("0_1_0", -1)], "set_bus": {"lines_or_id": [("1_2_2", 2)], "lines_ex_id": [("1_4_4", 2)]}}


@pytest.fixture(scope="module")
def env():
    return marlgrid.parallel_env("case14", max_steps=20, reward="L2RPNReward")


@pytest.mark.parametrize("name", ["init_state", "init state"])
def test_the_grid_starts_as_asked_whatever_the_quotas(env, name):
    env.reset(seed=3, options={name: SPLIT})
    grid = env.observe_grid()
    assert not grid.line_status[0]
    assert grid.line_or_bus[2] == 2
    assert grid.time_before_cooldown_line.max() == grid.time_before_cooldown_sub.max() == 0
    made = env.make_action(SPLIT)
    env.reset(seed=3, options={name: made})
    assert env.observe_grid() == grid
    env.reset(seed=3)
    assert env.observe_grid().line_status.all(), "the next episode is as ever"


def test_limits_reach_loadings_protections_rewards_and_observations(env):
    usual, _ = env.reset(seed=3)
    before = env.current
    tight = before.thermal_limit[0] / 1.2
    tight[5] = before.flow.a_or[0, 5] / 1.5
    observations, _ = env.reset(seed=3, options={"thermal_limit": tight})
    np.testing.assert_allclose(env.current.rho[0], before.flow.a_or[0] / tight)
    np.testing.assert_array_equal(env.observe_grid().thermal_limit, tight)
    assert any((observations[agent] != usual[agent]).any() for agent in usual)
    _, rewards, *_ = env.step(dict.fromkeys(env.agents, 0))
    assert env.current.counters.timestep_overflow[0, 5] == 1
    while env.current.topology.topo_vect.min() > 0:
        env.step(dict.fromkeys(env.agents, 0))
    assert env.current.disc_lines[0, 5] == 0, "the protection trips at the limit of the episode"
    env.reset(seed=3)
    np.testing.assert_array_equal(env.current.thermal_limit, before.thermal_limit)
    assert env.step(dict.fromkeys(env.agents, 0))[1] != rewards


def test_limits_by_name_leave_the_others(env):
    env.reset(seed=3)
    usual = env.current.thermal_limit[0]
    env.reset(options={"thermal limit": {"0_4_1": 55.0}})
    changed = env.current.thermal_limit[0]
    assert np.flatnonzero(changed != usual).tolist() == [1]
    assert changed[1] == 55.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thermal_limit": [1.0, 2.0]}, "give A above 0 for each of the 20 lines, or by name"),
        ({"thermal_limit": {"0_1_0": float("nan")}}, "give A above 0"),
        ({"thermal_limit": {"nowhere": 3}}, r"there is no line \['nowhere'\]; the grid has"),
        ({"init_state": {"method": "force"}}, "the method of init_state is 'force', choose from"),
        ({"init_state": {"set_line_status": [("nowhere", 1)]}}, "there is no line 'nowhere'"),
        ({"init_state": {"set_bus": {"loads_id": [(0, 5)]}}}, "5"),
        (
            {"init_state": {"set_line_status": [(0, -1)], "set_bus": {"lines_or_id": [(0, 2)]}}},
            "the initial state cannot be set: AMBIGUOUS_LINE; change init_state",
        ),
        ({"init_state": {"set_bus": {"loads_id": [(0, -1)]}}}, "cannot start at row 0: LOAD_OR_GEN_DISCONNECTED"),
        ({"init state": {}, "init_stat": 1}, r"unknown reset option\(s\) \['init_stat'\]; choose from"),
    ],
)
def test_what_cannot_be(env, options, message):
    env.reset(seed=3)
    before = env.current
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)
    assert env.current is before


def test_changes_have_no_meaning_at_a_start(env):
    with pytest.warns(UserWarning, match="can only set"):
        env.reset(seed=3, options={"init_state": {"change_line_status": [0], "set_line_status": [(1, -1)]}})
    assert env.observe_grid().line_status.tolist() == [True, False] + 18 * [True]


def test_one_agent_and_many_environments_start_alike():
    options = {"init_state": SPLIT, "thermal_limit": {"0_4_1": 500.0}}
    single = marlgrid.gym_env("case14", max_steps=2)
    single.reset(seed=5, options=options)
    state = single.parallel.current
    many = marlgrid.vector_env("case14", n_envs=3, max_steps=2, zones=1)
    many.reset(seed=5, options=options)
    for name in ("rho", "thermal_limit"):
        np.testing.assert_allclose(getattr(many.current, name)[:1], getattr(state, name))
    np.testing.assert_array_equal(many.current.topology.topo_vect[0], state.topology.topo_vect[0])
    for _ in range(2):
        many.step({"zone_0": np.zeros(3, dtype=int)})
    assert (many.current.thermal_limit == many.task.system.thermal_limit).all(), "limits last for one episode"
    assert (many.current.topology.topo_vect > 0).all()


def test_the_scenario_s_own_start_comes_first():
    system = small_system()
    series = StillSeries(system)
    assert opening(system, series, np.array([0]), [None]) is None
    series.init_state = lambda scenario: {"set_line_status": [(scenario, -1)], "redispatch": [(0, 1.0)]}
    joined = opening(system, series, np.array([0, 1]), [{"set_line_status": [(0, 1)], "redispatch": [(0, 2.0)]}, None])
    first, second = (
        [tuple(column[b:e].tolist()) for column in joined.commands]
        for b, e in zip(joined.first[:, 0], joined.last[:, 0], strict=True)
    )
    assert first == [(0, 4), (0, 0), (1.0, 3.0)]
    assert second == [(0, 4), (1, 0), (-1.0, 1.0)]
    ignored = small_system({"ignore_initial_state_time_serie": True})
    assert opening(ignored, series, np.array([0]), None) is None
