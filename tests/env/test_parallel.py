"""The parallel environment beyond PettingZoo's tests: plumbing, ends, seeds, snapshots, options, bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import marlgrid
from marlgrid.simulation.state import Outcome

OPPONENTS = [None, "agent", "random", "weighted", "geometric"]


CALM = {
    "parameters": {"no_overflow_disconnection": True},
    "actions": {"kinds": ("redispatch", "storage"), "redispatch": (-0.2, 0.2), "storage": (-0.2, 0.2)},
}
"""Nothing trips and no action cuts the grid to pieces, so that random episodes last."""


@pytest.fixture(scope="module")
def task():
    return marlgrid.make_task("case14", opponent="agent", difficulty="easy")


@pytest.fixture(scope="module")
def calm():
    return marlgrid.make_task("case14", opponent="agent", **CALM)


@pytest.fixture
def env(task):
    return marlgrid.parallel_env(task, max_steps=30)


def legal(env, infos, rng):
    """A random legal action per agent, drawn from ``rng``."""
    return {agent: int(rng.choice(np.flatnonzero(infos[agent]["action_mask"]))) for agent in env.agents}


def play(env, seed, n=20, **options):
    """Everything that an episode of random legal actions gives."""
    rng, story = np.random.default_rng(seed), []
    observations, infos = env.reset(seed=seed, options=options or None)
    story.append((observations, infos))
    while env.agents and len(story) <= n:
        observations, rewards, terminations, truncations, infos = env.step(legal(env, infos, rng))
        story.append((observations, rewards, terminations, truncations, infos))
    return story


def same(one, other):
    """Equal to the last bit, dicts and arrays alike."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return np.array_equal(one, other, equal_nan=True)


def nothing(env):
    return dict.fromkeys(env.agents, 0)


# ---------------------------------------------------------------------------------------------------- plumbing
def test_agents_and_spaces(env):
    assert env.possible_agents == ["zone_0", "zone_1", "zone_2", "opponent_0"]
    assert env.agents == []
    for agent in env.possible_agents:
        assert env.action_space(agent) is env.action_spaces[agent] is env.task.action_space(agent)
        assert env.observation_space(agent) is env.observation_spaces[agent]
    assert env.metadata["name"] == "marlgrid_v0"


def test_infos_are_numbers_with_constant_keys(calm):
    """What TorchRL and RLlib ask of infos: plain numbers and the mask, the same keys from the reset to the end."""
    story = play(marlgrid.parallel_env(calm), seed=3)
    assert len(story) > 3
    first = story[0][-1]
    for *_, infos in story:
        for agent, info in infos.items():
            assert list(info) == list(first[agent])
            assert info["action_mask"].dtype == np.int8
            assert all(isinstance(value, float) for key, value in info.items() if key != "action_mask")
            assert all(np.isfinite(value) for key, value in info.items() if key != "action_mask")


def test_types_of_a_step(env):
    env.reset(seed=0)
    observations, rewards, terminations, truncations, _ = env.step(nothing(env))
    for agent in env.possible_agents:
        assert observations[agent] in env.observation_space(agent)
        assert type(rewards[agent]) is float
        assert type(terminations[agent]) is type(truncations[agent]) is bool


def test_dicts_and_arrays_are_fresh(env):
    """Whatever a client does to what it got, the next step is none the wiser."""
    env.reset(seed=5)
    want = env.step(nothing(env))
    observations, infos = env.reset(seed=5)
    for agent in env.possible_agents:
        observations[agent].fill(np.nan)
        infos[agent]["action_mask"].fill(0)
        infos[agent].clear()
    observations.clear()
    assert same(env.step(nothing(env)), want)


@pytest.mark.parametrize("mask", ["observation", "both"])
def test_mask_in_the_observation(task, mask):
    env = marlgrid.parallel_env(task, mask=mask)
    observations, infos = env.reset(seed=0)
    for agent in env.agents:
        assert observations[agent] in env.observation_space(agent)
        assert list(observations[agent]) == ["observation", "action_mask"]
        assert observations[agent]["action_mask"].dtype == np.int8
        assert ("action_mask" in infos[agent]) == (mask == "both")


def test_no_mask():
    env = marlgrid.parallel_env("case5", mask=None)
    observations, infos = env.reset(seed=0)
    assert not env.task.masks
    assert all("action_mask" not in info for info in infos.values())
    assert observations["zone_0"] in env.observation_space("zone_0")


def test_a_zero_mask_entry_is_refused_and_reported():
    env = marlgrid.parallel_env("case14", parameters={"nb_timestep_cooldown_line": 3}, actions={"kinds": ("line",)})
    env.reset(seed=1)
    *_, infos = env.step(nothing(env) | {"zone_0": 1})
    before = env.current
    forbidden = np.flatnonzero(infos["zone_0"]["action_mask"] == 0)
    assert 0 < len(forbidden) < env.action_space("zone_0").n - 1
    *_, infos = env.step(nothing(env) | {"zone_0": int(forbidden[0])})
    assert infos["zone_0"]["illegal"] == 1
    assert infos["zone_0"]["reason"] > 0
    assert infos["zone_1"]["illegal"] == 0
    assert env.current.t[0] == before.t[0] + 1


# ---------------------------------------------------------------------------------------------------- ends
def test_time_limit_truncates_everybody(calm):
    env = marlgrid.parallel_env(calm)
    story = play(env, seed=0, max_steps=3)
    assert len(story) == 4
    assert not any(story[-2][3].values())
    assert all(story[-1][3].values())
    assert not any(story[-1][2].values())
    assert story[-1][4]["zone_0"]["outcome"] == Outcome.TIME_LIMIT
    assert story[-1][4]["zone_0"]["survival"] == 1.0
    assert env.agents == []


def test_a_lost_grid_terminates_everybody(env):
    env.reset(seed=0)
    grid = env.task.system.grid
    load = grid.load_to_subid[0]
    lines = np.flatnonzero((grid.line_or_to_subid == load) | (grid.line_ex_to_subid == load))
    zone = f"zone_{env.task.system.zones.labels[load]}"
    for line in lines:
        cut = env.make_action({"set_line_status": [(int(line), -1)]})
        observations, rewards, terminations, truncations, infos = env.step(nothing(env) | {zone: cut})
        if not env.agents:
            break
    assert all(terminations.values())
    assert not any(truncations.values())
    assert set(observations) == set(rewards) == set(infos) == set(env.possible_agents)
    assert infos[zone]["outcome"] > Outcome.TIME_LIMIT
    assert infos[zone]["survival"] < 1
    assert infos[zone]["cost_unserved_mwh"] > 0
    assert env.state() in env.state_space


# ---------------------------------------------------------------------------------------------------- seeds
@pytest.mark.parametrize("opponent", OPPONENTS)
def test_one_seed_fixes_everything(opponent):
    one, other = (marlgrid.parallel_env("case14", opponent=opponent, **CALM) for _ in range(2))
    play(other, seed=99, n=5)
    story = play(one, seed=11)
    assert len(story) > 5
    assert same(story, play(other, seed=11))
    assert not same(story, play(other, seed=12))


def test_resets_without_a_seed_follow_from_the_last_seed(env, task):
    env.reset(seed=4)
    first = [env.reset()[0], env.reset()[0]]
    env.reset(seed=4)
    again = [env.reset()[0], env.reset()[0]]
    assert same(first, again)
    assert not same(first[0], first[1])
    seeded = marlgrid.parallel_env(task, seed=4)
    seeded.reset()
    assert same(seeded.reset()[0], first[0])


@pytest.mark.parametrize("actions", ["discrete", "multi_discrete", "box", "dict"])
def test_a_decision_is_a_step_and_the_calm_ones_after_it(actions):
    """Step by step what the environment does in which zones idle as long as there is no occasion."""
    made = {"zones": 3, "opponent": "random", "actions": actions, "start": "random", "max_steps": 150}
    env, twin = (marlgrid.parallel_env("case14", **made) for _ in range(2))
    nothing = dict.fromkeys(env.possible_agents, twin.make_action({}))
    played = []
    for seed in range(6):
        env.reset(seed=seed)
        twin.reset(seed=seed)
        while env.agents:
            decided, steps = env.step_until(nothing, 0.9), 1
            shown = list(twin.step(nothing))
            while twin.agents and not twin.occasion(0.9):
                more, steps = twin.step(nothing), steps + 1
                shown = [more[0], {agent: shown[1][agent] + more[1][agent] for agent in more[1]}, *more[2:]]
            for own, expected in zip(decided, shown, strict=True):
                np.testing.assert_equal(own, expected)
            assert env.agents == twin.agents
            played.append(steps)
    assert max(played) > 20
    assert 1 in played


def test_a_decision_beside_an_opponent_that_is_an_agent_is_refused(env):
    env.reset(seed=0)
    with pytest.raises(ValueError, match="an opponent that is an agent acts in calm steps too"):
        env.step_until(nothing(env), 0.9)


def test_options_leave_the_stream_of_episodes_alone(env):
    env.reset(seed=4)
    plain = env.reset()[0]
    env.reset(seed=4, options={"scenario": env.task.series.splits["test"][0], "max_steps": 5, "start": 7})
    assert same(env.reset()[0], plain)


def test_scenarios_come_from_the_split(task):
    for split, numbers in task.series.splits.items():
        env = marlgrid.parallel_env(marlgrid.make_task("case5", split=split), split=split)
        for seed in range(5):
            env.reset(seed=seed)
            assert env.current.scenario[0] in numbers


def test_reset_options(env):
    scenario = env.task.series.splits["test"][2]
    env.reset(seed=0, options={"scenario": scenario, "max_steps": 9, "start": 40})
    state = env.current
    assert (state.scenario[0], state.t[0], state.t_start[0], state.t_end[0]) == (scenario, 40, 40, 49)
    starts = {int(env.reset(seed=s, options={"start": "random"}) and env.current.t[0]) for s in range(6)}
    assert len(starts) > 3
    last = env.task.series.n_rows(scenario) - 1
    env.reset(seed=0, options={"scenario": scenario, "max_steps": 10**6, "start": last - 2})
    assert env.current.t_end[0] == last


def test_max_cycles_is_max_steps(env):
    assert env.max_cycles == 30
    env.max_cycles = 4
    env.reset(seed=0)
    assert env.current.t_end[0] == 4
    assert marlgrid.parallel_env("case5", max_cycles=7).max_cycles == 7


# ---------------------------------------------------------------------------------------------------- snapshots
@pytest.mark.parametrize("opponent", OPPONENTS)
def test_a_restored_episode_goes_on_identically(opponent):
    env = marlgrid.parallel_env("case14", opponent=opponent, **CALM)
    rng = np.random.default_rng(1)
    _, infos = env.reset(seed=8)
    for _ in range(6):
        observations, *_, infos = env.step(legal(env, infos, rng))
    snapshot = env.snapshot()
    seen, _ = env.restore(snapshot)
    assert same(seen, observations)

    def go_on(env):
        rng, story = np.random.default_rng(2), []
        _, infos = env.restore(snapshot)
        for _ in range(15):
            if env.agents:
                story.append(env.step(legal(env, infos, rng)))
                infos = story[-1][-1]
        return story

    first = go_on(env)
    assert len(first) > 3
    env.reset(seed=123)
    assert same(go_on(env), first)
    assert same(go_on(marlgrid.parallel_env("case14", opponent=opponent, **CALM)), first)


def test_restoring_an_ended_episode(env):
    play(env, seed=0, max_steps=2)
    ended = env.snapshot()
    env.reset(seed=1)
    env.restore(ended)
    assert env.agents == []
    with pytest.raises(RuntimeError, match="after the end"):
        env.step({})


def test_pickle(env):
    env.reset(seed=2)
    env.step(nothing(env))
    copy = pickle.loads(pickle.dumps(env))
    assert same(copy.step(nothing(copy)), env.step(nothing(env)))
    assert same(copy.reset()[0], env.reset()[0])


# ---------------------------------------------------------------------------------------------------- beyond the spaces
def test_made_actions_are_played(env):
    env.reset(seed=0)
    zones = env.task.system.zones
    line = int(np.flatnonzero(~zones.is_tie)[0])
    action = env.make_action({"set_line_status": {env.task.system.grid.name_line[line]: -1}})
    *_, infos = env.step(nothing(env) | {f"zone_{zones.line_or[line]}": action})
    assert env.observe_grid().line_status[line] == False  # noqa: E712
    assert infos[f"zone_{zones.line_or[line]}"]["cost_disconnected"] == 1


def test_observe_grid_simulates_without_touching_the_episode(env):
    env.reset(seed=0)
    before = env.snapshot()
    observation = env.observe_grid()
    after, _ = observation.simulate()
    assert after.rho.shape == observation.rho.shape
    assert env.snapshot() is before


@pytest.mark.parametrize("actions", ["discrete", "multi_discrete", "box", "dict"])
def test_random_episodes_stay_inside_the_spaces(actions):
    env = marlgrid.parallel_env("case14", actions=actions, opponent="agent", mask=None)
    for agent in env.possible_agents:
        env.action_space(agent).seed(1)
    for seed in range(3):
        observations, _ = env.reset(seed=seed)
        while env.agents:
            assert all(observations[a] in env.observation_space(a) for a in env.agents)
            assert env.state() in env.state_space
            observations, *_ = env.step({a: env.action_space(a).sample() for a in env.agents})
            if env.current.t[0] > 40:
                break


# ---------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"zone_0": 10**6}, ValueError, "zone_0.*10{6}"),
        ({"zone_0": -1}, ValueError, "zone_0.*-1"),
        ({"zone_1": 0.5}, ValueError, "zone_1"),
        ({"zone_1": [0, 1]}, ValueError, "zone_1"),
        ({"zone_1": None}, ValueError, "zone_1"),
        ({"opponent_0": 999}, ValueError, "opponent_0.*999"),
        ({"zone_7": 0}, ValueError, "zone_7"),
    ],
)
def test_a_bad_action_is_named_and_changes_nothing(env, change, error, words):
    env.reset(seed=0)
    before = env.snapshot()
    with pytest.raises(error, match=words):
        env.step(nothing(env) | change)
    assert env.snapshot() is before
    env.step(nothing(env))


def test_other_bad_calls(env):
    with pytest.raises(RuntimeError, match="reset first"):
        env.step({})
    with pytest.raises(RuntimeError, match="reset first"):
        env.state()
    with pytest.raises(RuntimeError, match="reset first"):
        env.render()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="zone_2"):
        env.step({agent: 0 for agent in env.agents if agent != "zone_2"})
    with pytest.raises(TypeError, match="dict"):
        env.step([0, 0, 0, 0])
    with pytest.raises(RuntimeError, match="render_mode"):
        env.render()
    with pytest.raises(TypeError, match="snapshot"):
        env.restore("yesterday")
    with pytest.raises(ValueError, match="zone_9"):
        env.task.action_space("zone_9")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"scenaro": 3}, ValueError, "scenaro.*scenario"),
        ({"scenario": 10**9}, ValueError, "no scenario 1000000000"),
        ({"scenario": "first"}, TypeError, "whole number"),
        ({"max_steps": 0}, ValueError, "at least 1"),
        ({"start": -4}, ValueError, "start is -4"),
        ({"start": 10**7}, ValueError, "give at most"),
        ({"start": "noon"}, TypeError, "noon"),
    ],
)
def test_bad_reset_options(env, options, error, words):
    with pytest.raises(error, match=words):
        env.reset(seed=0, options=options)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"case": "case15"}, ValueError, "case15"),
        ({"case": 3.5}, TypeError, "float"),
        ({"mask": "infos"}, ValueError, "infos.*info"),
        ({"mask": "observation", "actions": "box"}, ValueError, "zone_0"),
        ({"render_mode": "gif"}, ValueError, "gif.*rgb_array"),
        ({"max_steps": 0}, ValueError, "at least 1"),
        ({"max_steps": 3, "max_cycles": 4}, ValueError, "same thing"),
        ({"split": "dev"}, ValueError, "dev.*train"),
        ({"scenario": -3}, ValueError, "-3"),
        ({"opponent": "nobody"}, ValueError, "nobody.*random"),
        ({"opponent_reward": "survival"}, ValueError, "opponent='agent'"),
        ({"actions": "continuous"}, ValueError, "continuous.*discrete"),
        ({"actions": {"kind": ("line",)}}, ValueError, "kind"),
        ({"actions": {"space": "box", "pad": True}}, ValueError, "padded"),
        ({"actions": {"space": "box", "line": "set"}}, ValueError, "line"),
        ({"actions": 7}, TypeError, "int"),
        ({"observation": "everything"}, ValueError, "everything"),
        ({"observation": {"radius": 2}}, ValueError, "radius.*scope"),
        ({"observation": 7}, TypeError, "int"),
        ({"reward": "fun"}, ValueError, "fun"),
        ({"power_flow": "acc"}, ValueError, "acc"),
        ({"zones": [[0, 1], [1, 2]]}, ValueError, "1"),
        ({"zone": 3}, TypeError, "zone"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        marlgrid.parallel_env(**{"case": "case5", **arguments})


def test_bad_arguments_of_the_other_doors(task):
    with pytest.raises(ValueError, match="zones"):
        marlgrid.gym_env("case5", zones=2)
    with pytest.raises(ValueError, match="one agent"):
        marlgrid.gym_env("case5", opponent="agent")
    with pytest.raises(ValueError, match="zones"):
        marlgrid.parallel_env(task, zones=2)
    with pytest.raises(AttributeError, match="parallel_env"):
        _ = marlgrid.paralel_env
