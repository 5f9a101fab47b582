"""What the front door makes of its arguments."""

from __future__ import annotations

import numpy as np
import pytest

import marlgrid
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.features import VectorObservation
from marlgrid.task.menu import Menu


def test_defaults():
    env = marlgrid.make()
    assert env.task.system.grid.name == "case14"
    assert env.possible_agents == ["zone_0", "zone_1", "zone_2"]
    assert env.task.opponent is None
    assert env.mask == "info"


def test_public_names_exist():
    assert {getattr(marlgrid, name) is not None for name in dir(marlgrid)} == {True}
    assert 15 <= len(dir(marlgrid)) <= 25


def test_actions_in_every_form():
    menu = Menu(kinds=("line",))
    forms = [
        {"kinds": ("line",)},
        {"space": "discrete", "kinds": ["line"]},
        menu,
        lambda system: DiscreteActions(system, menu),
    ]
    sizes = {marlgrid.make_task("case14", actions=form).action_space("zone_0").n for form in forms}
    assert len(sizes) == 1
    listed = marlgrid.make_task("case14", actions={"zone_0": [{"set_line_status": [(0, -1)]}], "zone_1": []})
    assert [listed.action_space(agent).n for agent in listed.agents] == [2, 1, 1]


def test_observation_in_every_form():
    forms = [
        {"scope": "global", "attributes": ["rho"]},
        lambda system, series: VectorObservation(system, series, scope="global", attributes=["rho"]),
    ]
    for form in forms:
        assert marlgrid.make_task("case14", observation=form).observation_space("zone_0").shape == (20,)
    sizes = [
        marlgrid.make_task("case14", observation=scope).observation_space("zone_1").shape[0]
        for scope in ("local", "neighbourhood", "global")
    ]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


def test_pad_gives_zones_equal_spaces():
    env = marlgrid.parallel_env("case14", pad=True, mask="observation")
    zones = [agent for agent in env.possible_agents if agent.startswith("zone")]
    assert all(env.action_space(agent) == env.action_space("zone_0") for agent in zones)
    assert all(env.observation_space(agent) == env.observation_space("zone_0") for agent in zones)
    observations, _ = env.reset(seed=0)
    assert all(observations[agent] in env.observation_space(agent) for agent in zones)


def test_own_reward_and_mixture():
    def loading(system, before, action, ruling, after):
        return -after.rho.max(axis=1)

    env = marlgrid.parallel_env("case5", reward={"survival": 1.0, loading: 0.5}, max_steps=5)
    env.reset(seed=0)
    _, rewards, *_ = env.step(dict.fromkeys(env.agents, 0))
    survival = marlgrid.parallel_env("case5", max_steps=5)
    survival.reset(seed=0)
    _, alone, *_ = survival.step(dict.fromkeys(survival.agents, 0))
    worst = env.current.rho.max()
    assert rewards["zone_0"] == pytest.approx(alone["zone_0"] - 0.5 * worst)


def test_opponent_is_rewarded_with_the_negative_of_the_team():
    env = marlgrid.parallel_env("case14", opponent="agent", reward="LinesCapacityReward")
    env.reset(seed=0)
    _, rewards, *_ = env.step(dict.fromkeys(env.agents, 0))
    zones = [value for agent, value in rewards.items() if agent != "opponent_0"]
    assert rewards["opponent_0"] == pytest.approx(-np.mean(zones))


@pytest.mark.parametrize("zones", [1, 2, 5, "substation"])
def test_number_of_zones(zones):
    env = marlgrid.parallel_env("case14", zones=zones)
    assert len(env.possible_agents) == (14 if zones == "substation" else zones)
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, 0))


@pytest.mark.parametrize("power_flow", ["lightsim", "newton", "dc"])
def test_power_flows(power_flow):
    env = marlgrid.parallel_env("case5", power_flow=power_flow)
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, 0))
    assert env.current.flow.converged.all()


def test_own_system_and_series():
    case = marlgrid.load_case("case5", zones=2)
    env = marlgrid.parallel_env((case.system, case.series))
    want = marlgrid.parallel_env("case5", zones=2)
    assert all(np.array_equal(env.reset(seed=1)[0][a], want.reset(seed=1)[0][a]) for a in env.possible_agents)


def test_gym_env_is_the_parallel_env_of_one_zone():
    single = marlgrid.gym_env("case14", opponent="weighted", difficulty="easy", max_steps=4)
    several = marlgrid.parallel_env("case14", zones=1, opponent="weighted", difficulty="easy", max_steps=4)
    observation, info = single.reset(seed=3)
    observations, infos = several.reset(seed=3)
    assert np.array_equal(observation, observations["zone_0"])
    assert info.keys() == infos["zone_0"].keys()
    for step in range(4):
        observation, reward, terminated, truncated, info = single.step(0)
        observations, rewards, *_ = several.step({"zone_0": 0})
        assert np.array_equal(observation, observations["zone_0"])
        assert reward == rewards["zone_0"]
        assert not terminated
        assert truncated == (step == 3)


def test_a_linear_power_flow_by_parameter():
    env = marlgrid.parallel_env("case5", parameters={"ENV_DC": True})
    assert type(env.task.solver).__name__ == "DCPowerFlow"
    with pytest.raises(ValueError, match="power_flow is 'newton', but the parameter env_dc asks for 'dc'"):
        marlgrid.parallel_env("case5", parameters={"env_dc": True}, power_flow="newton")
