"""Teams on the built-in cases: legal, deterministic, alike one by one and in batches, and better than doing nothing."""

from __future__ import annotations

import numpy as np
import pytest

from agents import DoNothing, Greedy, Learned, RandomLegal, Reconnect, act_in, agent_from
from agents.candidates import LOST, Candidates
from agents.registry import names
from marlgrid.env.registry import make_task, parallel_env
from marlgrid.rllib.policies import Policy
from marlgrid.simulation.action import Kind
from marlgrid.simulation.state import take
from marlgrid.task.menu import Menu


def start(task, n, steps=24, seed=5):
    rng = np.random.default_rng(seed)
    scenarios = np.arange(n) % 7 + task.series.splits["train"].start
    return task.reset(rng.integers(2**60, size=n), scenarios, rng.integers(0, 1500, size=n), np.full(n, steps))


def answers(agent, task, episode, outputs):
    """Of an agent at the start of its memory."""
    return agent.act(task, episode, outputs, agent.initial_memory(task, episode.state.n_env))[0]


def play(task, agent, n=6, steps=24):
    episode, outputs = start(task, n, steps)
    illegal = 0.0
    while episode.state.running.any():
        episode, outputs = task.step(episode, answers(agent, task, episode, outputs))
        illegal += sum(outputs.infos[zone]["illegal"].sum() for zone in task.zones)
    return episode, illegal


def test_random_legal_actions_are_in_the_masks():
    for actions in ("discrete", "multi_discrete"):
        task = make_task("case5", actions=actions)
        episode, outputs = start(task, 40)
        choices = answers(RandomLegal(), task, episode, outputs)
        for zone in task.zones:
            mask = outputs.masks[zone]
            parts = mask if isinstance(mask, tuple) else (mask,)
            chosen = np.asarray(choices[zone]).reshape(40, -1)
            for k, part in enumerate(parts):
                assert (part[np.arange(40), chosen[:, k]] == 1).all()
        assert len({tuple(np.ravel(c)) for c in choices["zone_0"]}) > 5


@pytest.mark.parametrize("name", names())
def test_a_batch_is_its_single_episodes(name):
    agent = agent_from(name)
    task = make_task("case5", opponent="random", difficulty="hard")
    episode, outputs = start(task, 4)
    for _ in range(6):
        choices = answers(agent, task, episode, outputs)
        for row in range(4):
            one = take(episode, np.array([row]))
            alone = answers(agent, task, one, task.look(one))
            for zone in task.zones:
                whole, single = choices[zone][row], alone[zone][0]
                for a, b in zip(np.atleast_1d(whole), np.atleast_1d(single), strict=True):
                    np.testing.assert_allclose(a, b, atol=1e-6)
        episode, outputs = task.step(episode, choices)


def test_act_in_a_single_environment():
    env = parallel_env("case5", max_steps=5)
    env.reset(seed=2)
    while env.agents:
        actions, memory = act_in(env, Greedy())
        assert memory == ()
        assert list(actions) == env.agents
        env.step(actions)


# ------------------------------------------------------------------------------------------------ reconnect
@pytest.mark.parametrize(("safe", "comes_back"), [(2.0, True), (0.0, False)])
def test_a_line_that_is_out_comes_back_when_that_is_safe(safe, comes_back):
    task = make_task("case5", parameters={"no_overflow_disconnection": True})
    grid = task.system.grid
    episode, outputs = start(task, 1)
    out = task.make_action({"set_line_status": [(grid.name_line[1], -1)]})
    zone = task.zones[int(np.flatnonzero(task.system.zones.may_switch[:, 1])[0])]
    episode, outputs = task.step(episode, answers(DoNothing(), task, episode, outputs) | {zone: [out]})
    assert episode.state.topology.topo_vect[0, grid.line_or_pos_topo_vect[1]] < 0
    for _ in range(12):
        episode, outputs = task.step(episode, answers(Reconnect(safe), task, episode, outputs))
    assert episode.state.running.all()
    assert (episode.state.topology.topo_vect[0, grid.line_or_pos_topo_vect[1]] > 0) == comes_back


# ------------------------------------------------------------------------------------------------ greedy
def stressed(n=40, steps=96):
    """Episodes of the built-in 14-bus case, some of them in danger."""
    task = make_task("case14", split="validation")
    rng = np.random.default_rng(0)
    scenarios = np.array([task.series.splits["validation"][k] for k in range(n)])
    return task, task.reset(rng.integers(2**60, size=n), scenarios, rng.integers(0, 1500, size=n), np.full(n, steps))


def in_danger(task, episode, outputs, threshold=0.95):
    """Lets time go by until some episode is in danger; returns those."""
    for _ in range(90):
        rows = np.flatnonzero(episode.state.running & (episode.state.rho.max(axis=1) >= threshold))
        if len(rows) >= 2:
            part = take(episode, rows[:2])
            return part, task.look(part)
        episode, outputs = task.step(episode, answers(DoNothing(), task, episode, outputs))
    raise AssertionError("no episode came into danger")


def test_greedy_takes_the_best_first_action():
    """With one round and no gentle preference it is the argmin over all simulated candidates, one after the other."""
    task, (episode, outputs) = stressed()
    episode, outputs = in_danger(task, episode, outputs)
    menu = Menu(kinds=("redispatch", "curtail", "storage"))
    candidates = Candidates(task.system, menu)
    choices = answers(Greedy(enough=2.0, menu=menu), task, episode, outputs)  # enough: nothing is improved at all
    assert all(len(c.kind) == 0 for zone in task.zones for c in choices[zone])
    choices = answers(Greedy(enough=0.0, margin=1e-9, menu=menu), task, episode, outputs)
    for row in range(2):
        one = take(episode.state, np.array([row]))
        rows = np.array([0])
        loading = {
            int(a): candidates.loading_after(
                task, one, rows, candidates.with_one_more(candidates.nothing(1), np.array([a]))
            )[0]
            for a in np.flatnonzero(candidates.legal(one)[0])
        }
        best = min(loading, key=loading.get)
        assert loading[best] < LOST
        zone = task.zones[candidates.table.zone[best]]
        np.testing.assert_array_equal(choices[zone][row].index, candidates.table.entry(best).index)
        np.testing.assert_array_equal(choices[zone][row].value, candidates.table.entry(best).value)


def test_greedy_acts_only_in_danger():
    """In calm it may put a line back (one in maintenance is out at the start), and there is nothing else to undo."""
    task, (episode, outputs) = stressed()
    choices = answers(Greedy(act_above=1e9), task, episode, outputs)
    played = np.concatenate([c.kind for zone in task.zones for c in choices[zone]])
    assert set(played.tolist()) <= {Kind.SET_LINE_STATUS}


def test_greedy_plays_legal_actions_and_outlives_doing_nothing():
    task, _ = stressed()

    def survived(agent):
        _, (episode, outputs) = stressed()
        illegal = np.zeros(0)
        while episode.state.running.any():
            episode, outputs = task.step(episode, answers(agent, task, episode, outputs))
            illegal = np.sum([outputs.infos[zone]["illegal_total"] for zone in task.zones], axis=0)
        return outputs.infos["zone_0"]["survival"], illegal

    greedy, illegal = survived(Greedy())
    nothing, _ = survived(DoNothing())
    assert illegal.mean() < 0.2  # a dispatch that the forecast held for feasible may still be refused
    assert greedy.mean() > nothing.mean() + 0.1


def test_what_undoes_a_disturbance():
    task = make_task("case14")
    candidates = Candidates(task.system)
    episode, outputs = start(task, 1)
    assert (candidates.undoes(episode.state) == 0).all()
    grid = task.system.grid
    splits = np.flatnonzero((candidates.kind == Kind.SET_BUS) & candidates.legal(episode.state)[0])
    gen = int(np.flatnonzero(grid.gen_redispatchable & (grid.gen_max_ramp_up > 0))[0])
    zone = task.zones[task.system.zones.gen[gen]]
    asked = task.make_action({"redispatch": [(grid.name_gen[gen], float(grid.gen_max_ramp_up[gen]))]})
    choices = answers(DoNothing(), task, episode, outputs) | {zone: [asked]}
    after, _ = task.step(episode, choices)
    worth = candidates.undoes(after.state)[0]
    back = (candidates.kind == Kind.REDISPATCH) & (candidates.index == gen) & (candidates.value < 0)
    assert (worth[back] == 1).all()
    assert set(np.flatnonzero(worth)) == set(np.flatnonzero(back))
    moved = next(a for a in splits if (candidates.table.entry(a).value == 2).any())
    zone = task.zones[candidates.table.zone[moved]]
    choices = answers(DoNothing(), task, episode, outputs) | {zone: [candidates.table.entry(moved)]}
    after, _ = task.step(episode, choices)
    if after.state.running[0]:
        home = np.flatnonzero(candidates.undoes(after.state)[0] == 3)
        places = set(candidates.table.entry(moved).index)
        assert len(home) == 1
        assert set(candidates.table.entry(int(home[0])).index) == places
        assert (candidates.table.entry(int(home[0])).value == 1).all()


# ------------------------------------------------------------------------------------------------ learned
def linear_policy(task, zone, favourite, act_above):
    """Always prefers one action."""
    n, sizes = task.observation_space(zone).shape[0], (int(task.action_space(zone).n),)
    bias = np.zeros(sizes[0], np.float32)
    bias[favourite] = 1
    return Policy((np.zeros((sizes[0], n), np.float32),), (bias,), sizes, act_above)


def test_a_learned_team_plays_its_policies_in_danger_only():
    task = make_task("case5")
    episode, outputs = start(task, 30)
    loading = episode.state.rho.max(axis=1)
    gate = float(np.median(loading))
    policies = {zone: linear_policy(task, zone, 1, gate) for zone in task.zones}
    choices = answers(Learned(policies), task, episode, outputs)
    for zone in task.zones:
        legal = outputs.masks[zone][:, 1] == 1
        np.testing.assert_array_equal(choices[zone], np.where((loading >= gate) & legal, 1, 0))


def test_zones_may_share_a_policy():
    task = make_task("case5", pad=True)
    episode, outputs = start(task, 3)
    shared = Learned({"zones": linear_policy(task, "zone_0", 0, 0.0)})
    assert set(answers(shared, task, episode, outputs)) == set(task.zones)
    with pytest.raises(KeyError, match="no policy for zone_0"):
        answers(Learned({"other": linear_policy(task, "zone_0", 0, 0.0)}), task, episode, outputs)
