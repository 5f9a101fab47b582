"""Many environments at once equal as many single ones, through any number of episodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

import marlgrid
from marlgrid.env.spare import FEW, Spare
from marlgrid.simulation.frame import Memory
from marlgrid.task.occasions import occasions

N = 5


@pytest.fixture(scope="module", params=[None, "agent", "weighted"])
def task(request):
    return marlgrid.make_task("case14", opponent=request.param)


@pytest.mark.parametrize("mask", ["info", "observation", "both"])
def test_rows_are_single_environments(task, mask):
    """Random legal actions, short episodes, each row compared with its own ``GridParallelEnv`` across resets."""
    rng = np.random.default_rng(0)
    envs = marlgrid.vector_env(task, n_envs=N, max_steps=6, mask=mask)
    singles = [marlgrid.parallel_env(task, max_steps=6, mask=mask) for _ in range(N)]
    observations, infos = envs.reset(seed=30)
    seen = [single.reset(seed=30 + i) for i, single in enumerate(singles)]
    ended = 0
    for _ in range(20):
        agree(observations, infos, seen, mask)
        source = observations if mask == "observation" else infos
        actions = {
            a: np.array([rng.choice(np.flatnonzero(row)) for row in source[a]["action_mask"]]) for a in envs.agents
        }
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        for i, single in enumerate(singles):
            got = single.step({agent: int(actions[agent][i]) for agent in envs.agents})
            for agent in envs.agents:
                assert rewards[agent][i] == pytest.approx(got[1][agent], abs=1e-9)
                assert terminations[agent][i] == got[2][agent]
                assert truncations[agent][i] == got[3][agent]
                assert infos[agent]["survived_steps"][i] == got[4][agent]["survived_steps"]
                last = got[0][agent]["observation"] if mask in ("observation", "both") else got[0][agent]
                np.testing.assert_allclose(infos[agent]["final_observation"][i], last, rtol=1e-5, atol=1e-5)
            seen[i] = single.reset() if not single.agents else (got[0], got[4])
            ended += not single.agents
        assert len(single.agents)
    assert envs.state().shape == (N, *envs.state_space.shape)


def agree(observations, infos, seen, mask):
    for i, (single, info) in enumerate(seen):
        for agent in single:
            if mask in ("observation", "both"):
                np.testing.assert_array_equal(
                    observations[agent]["action_mask"][i], single[agent]["action_mask"], f"{agent} of {i}"
                )
                ours, theirs = observations[agent]["observation"][i], single[agent]["observation"]
            else:
                np.testing.assert_array_equal(infos[agent]["action_mask"][i], info[agent]["action_mask"])
                ours, theirs = observations[agent][i], single[agent]
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("actions", ["multi_discrete", "box", "dict"])
def test_other_action_spaces(actions):
    envs = marlgrid.vector_env("case14", n_envs=3, actions=actions, opponent="agent", mask=None)
    envs.reset(seed=[5, 1, 9])
    for agent in envs.agents:
        envs.action_space(agent).seed(0)
    listed = {a: [envs.action_space(a).sample() for _ in range(3)] for a in envs.agents}
    listed_steps = envs.step(listed)

    def stacked(agent):
        if actions == "dict" and agent != "opponent_0":
            return {key: np.stack([one[key] for one in listed[agent]]) for key in listed[agent][0]}
        return np.stack(listed[agent])

    envs.reset(seed=[5, 1, 9])
    steps = envs.step({agent: stacked(agent) for agent in envs.agents})
    for agent in envs.agents:
        np.testing.assert_array_equal(steps.observations[agent], listed_steps.observations[agent])


def test_made_actions():
    envs = marlgrid.vector_env("case5", n_envs=2)
    envs.reset(seed=0)
    cut = envs.task.make_action({"set_line_status": [(0, -1)]})
    zone = f"zone_{envs.task.system.zones.line_or[0]}"
    envs.step({agent: [cut, 0] if agent == zone else [0, 0] for agent in envs.agents})
    assert list(envs.current.topology.topo_vect[:, envs.task.system.grid.line_or_pos_topo_vect[0]]) == [-1, 1]


def test_bad_input():
    with pytest.raises(ValueError, match="n_envs"):
        marlgrid.vector_env("case5", n_envs=0)
    envs = marlgrid.vector_env("case5", n_envs=3)
    with pytest.raises(RuntimeError, match="reset first"):
        envs.step({})
    with pytest.raises(ValueError, match="2 seeds were given for 3"):
        envs.reset(seed=[1, 2])
    envs.reset(seed=0)
    zeros = dict.fromkeys(envs.agents, np.zeros(3, dtype=int))
    for wrong, error, words in [
        (zeros | {"zone_0": 0}, TypeError, "zone_0"),
        (zeros | {"zone_0": [0, 0]}, ValueError, "zone_0: 2 actions"),
        (zeros | {"zone_0": [0, 0, 10**6]}, ValueError, "zone_0"),
        (zeros | {"zone_9": [0, 0, 0]}, ValueError, "zone_9"),
        ({"zone_0": [0, 0, 0]}, ValueError, "zone_1"),
        ([0, 0, 0], TypeError, "dict"),
    ]:
        with pytest.raises(error, match=words):
            envs.step(wrong)
    envs.step(zeros)


@pytest.mark.parametrize("actions", ["discrete", "multi_discrete", "box"])
def test_only_where_zones_are_asked_are_observations_made(actions):
    """Beside a batch that looks everywhere: the same episodes, seen alike where there is something to decide."""
    made = {"case": "case14", "opponent": "random", "actions": actions, "n_envs": 12, "max_steps": 15, "seed": 4}
    whole, calm = marlgrid.vector_env(**made), marlgrid.vector_env(**made, act_above=0.8)
    (seen, infos), (some, own) = whole.reset(), calm.reset()
    asked = 0
    for _ in range(40):
        np.testing.assert_array_equal(calm.asked, occasions(whole.task.system, whole.current, 0.8))
        assert whole.asked.all()
        for agent in whole.agents:
            np.testing.assert_array_equal(some[agent][calm.asked], seen[agent][calm.asked])
            assert own[agent].keys() == infos[agent].keys()
            assert ("action_mask" in own[agent]) == (actions != "box")
            for mine, theirs in zip(masks(own[agent]), masks(infos[agent]), strict=True):
                np.testing.assert_array_equal(mine[calm.asked], theirs[calm.asked])
        asked += calm.asked.sum()
        spaces_of = {agent: whole.action_space(agent) for agent in whole.agents}
        idle = {agent: np.zeros((12, *space.shape), space.dtype) for agent, space in spaces_of.items()}
        (seen, rewards, lost, late, infos), (some, paid, *flags, own) = whole.step(idle), calm.step(idle)
        over = lost["zone_0"] | late["zone_0"]
        for agent in whole.agents:
            np.testing.assert_array_equal(rewards[agent], paid[agent])
            np.testing.assert_array_equal([lost[agent], late[agent]], [flag[agent] for flag in flags])
            np.testing.assert_array_equal(own[agent]["max_rho"], infos[agent]["max_rho"])
            last, theirs = own[agent]["final_observation"], infos[agent]["final_observation"]
            np.testing.assert_array_equal(last[over], theirs[over])
            new = calm.asked | over
            assert not some[agent][~new].any()
    assert 0 < asked < 40 * 12


def masks(info):
    found = info.get("action_mask", ())
    return found if isinstance(found, tuple) else (found,)


def test_what_cannot_leave_environments_out_looks_at_all():
    """An observation and actions of the user's own, with no more than the methods that are asked for."""

    class Loading:
        state_space = spaces.Box(0, np.inf, (1,), np.float32)

        def space(self, agent):
            return self.state_space

        def observe(self, state):
            return {a: state.rho.max(axis=1, keepdims=True).astype(np.float32) for a in ("zone_0", "zone_1", "zone_2")}

        def central_state(self, state):
            return self.observe(state)["zone_0"]

    envs = marlgrid.vector_env("case14", n_envs=3, observation=lambda *_: Loading(), act_above=10.0, seed=0)
    observations, _ = envs.reset()
    observations = envs.step(dict.fromkeys(envs.agents, np.zeros(3, int))).observations
    assert not envs.asked.any()
    np.testing.assert_array_equal(observations["zone_1"][:, 0], envs.max_rho.astype(np.float32))


def test_an_opponent_that_is_an_agent_is_asked_in_calm_steps_too():
    with pytest.raises(ValueError, match=r"act_above is 0.9.*leave act_above at 0"):
        marlgrid.vector_env("case14", opponent="agent", act_above=0.9)


def test_memory_of_few_begun_episodes_is_kept(task):
    """By numbers that come again; of a hundred numbers it would be a hundred times the batch."""
    spare = Spare()
    for n in (1, FEW, FEW + 1, 200):
        spare.keep_begun(Memory(task.system, n))
    assert list(spare.begun) == [1, FEW]


def begun(envs):
    """Which episodes the environments are in."""
    state = envs.current
    return list(zip(state.seed.tolist(), state.scenario.tolist(), state.t_start.tolist(), strict=True))


def test_episodes_begun_ahead_are_those_of_each_stream():
    """Environment 0 ends first: a reset after that goes on where the episodes that were played left off."""
    made = {"case": "case14", "opponent": "random", "start": "random", "max_steps": 4}
    envs = marlgrid.vector_env(**made, n_envs=3)
    idle = dict.fromkeys(envs.agents, np.zeros(3, int))
    envs.reset(seed=8)
    played = [begun(envs)]
    envs._episode.state.t_end[0] -= 2
    for _ in range(2):
        envs.step(idle)
    played.append(begun(envs))
    assert [played[0][i] == played[1][i] for i in range(3)] == [False, True, True]
    shorter = {"max_steps": 2}
    envs.reset(options=shorter)
    played.append(begun(envs))
    for _ in range(2):
        envs.step(idle)
    played.append(begun(envs))
    assert (envs.current.t_end - envs.current.t_start).tolist() == [4, 4, 4], "options are for one episode"
    for i, single in enumerate(marlgrid.parallel_env(**made, seed=8 + i) for i in range(3)):
        for met, options in zip(played[:1] + played[1 + (i > 0) :], ({}, *[{}] * (i == 0), shorter, {}), strict=True):
            single.reset(options=options)
            state = single.current
            assert met[i] == (state.seed[0], state.scenario[0], state.t_start[0])


def test_a_start_that_cannot_be_is_an_error_when_its_turn_has_come():
    """Environment 0 ends first; with its next episode those of the others are begun, one of which cannot be."""
    task = marlgrid.make_task("case14")
    fill, broken = task.series.fill, []

    class Broken:
        """The series, with rows that no grid can serve in the scenarios that are ``broken``."""

        def __getattr__(self, name):
            return getattr(task.series, name)

        def fill(self, scenario, t, out):
            fill(scenario, t, out)
            out.load_p[np.isin(scenario, broken)] *= 100.0

    envs = marlgrid.vector_env(replace(task, series=Broken()), n_envs=2, seed=0)
    envs.reset(options={"max_steps": 3})
    envs._episode.state.t_end[0] = 1
    following = marlgrid.parallel_env(task, seed=1)
    following.reset()
    following.reset()
    broken.append(int(following.current.scenario[0]))
    idle = dict.fromkeys(envs.agents, np.zeros(2, int))
    assert envs.step(idle).truncations["zone_0"].tolist() == [True, False]
    envs.step(idle)
    with pytest.raises(ValueError, match=f"scenario {broken[0]} cannot start at row 0"):
        envs.step(idle)


def test_scenarios_that_come_back():
    envs = marlgrid.vector_env("case5", n_envs=8, max_steps=1, n_scenarios=3, split="test", seed=0)
    envs.reset()
    met = set()
    for _ in range(6):
        envs.step(dict.fromkeys(envs.agents, np.zeros(8, int)))
        met |= set(envs.current.scenario.tolist())
    first = envs.task.series.splits["test"].start
    assert met == {first, first + 1, first + 2}
    for wrong, error in ((0, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="n_scenarios"):
            marlgrid.parallel_env("case5", n_scenarios=wrong)


def test_infos_are_a_mapping():
    envs = marlgrid.vector_env("case14", n_envs=2, seed=0)
    with pytest.raises(RuntimeError, match="asked needs episodes: call reset first"):
        _ = envs.asked
    envs.reset()
    infos = envs.step(dict.fromkeys(envs.agents, np.zeros(2, int))).infos
    assert list(infos) == envs.agents
    assert len(infos) == 3
    assert {agent: info["survived_steps"].tolist() for agent, info in infos.items()} == {a: [1, 1] for a in envs.agents}
    assert "cost_overload" in repr(infos)
    for agent, info in infos.of(1).items():
        assert info.keys() == infos[agent].keys() - {"action_mask"}
        for key, value in info.items():
            np.testing.assert_array_equal(value, infos[agent][key][1])
    with pytest.raises(KeyError):
        infos["zone_9"]
