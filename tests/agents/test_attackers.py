"""Trained attackers as opponents, mixtures of attackers and of teams."""

from __future__ import annotations

import numpy as np
import pytest

from agents import DoNothing, Greedy, Reconnect
from agents.attackers import LearnedOpponent, MixedOpponent, WorstCaseAgainst, attacker_from
from agents.mixed import MixedTeam, team_from
from marlgrid.env.registry import make_task
from marlgrid.rllib.policies import save_policies
from marlgrid.simulation.action import no_attack
from marlgrid.simulation.state import take
from marlgrid.simulation.step import advance
from marlgrid.task.features import OPPONENT
from marlgrid.task.opponents import (
    GeometricOpponent,
    NoOpponent,
    RandomOpponent,
    ScheduleOpponent,
    WeightedOpponent,
)
from marlgrid.task.task import Episode


def network(task, seed=0):
    """A policy with large random weights: it attacks now one line, now another, and waits in between."""
    rng = np.random.default_rng(seed)
    n_seen, n_action = task.observation_space(OPPONENT).shape[0], int(task.action_space(OPPONENT).n)
    return {
        "actor.0.weight": rng.normal(size=(16, n_seen)).astype(np.float32),
        "actor.0.bias": np.zeros(16, np.float32),
        "actor.2.weight": 2 * rng.normal(size=(n_action, 16)).astype(np.float32),
        "actor.2.bias": np.eye(n_action, dtype=np.float32)[0] * 4,
        "observation_mean": np.zeros(n_seen, np.float32),
        "observation_std": np.ones(n_seen, np.float32),
        "action_components": np.array([n_action]),
        "act_above": np.array(0.0, np.float32),
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacker")
    save_policies(folder, {OPPONENT: network(make_task("case14", opponent="agent"))})
    return folder


def played(task, n_step=60, seeds=range(6), opponent=None):
    """Attacks started (n_step, n_env, n_line) by the opponent of the task; ``opponent`` answers for the agent."""
    episode, outputs = task.reset(np.array(seeds), 0, np.array(seeds) * 20, 100)
    started = []
    for _ in range(n_step):
        before = episode.state.attack.remaining
        choices, _ = DoNothing().act(task, episode, outputs, ())
        if opponent is not None:
            choices[OPPONENT] = opponent(outputs)
        episode, outputs = task.step(episode, choices)
        started.append((episode.state.attack.remaining > before) & episode.state.running[:, None])
    return np.array(started)


# ------------------------------------------------------------------------------------------------ trained
def test_it_sees_and_may_do_what_the_agent_would(checkpoint):
    """The likeliest actions of the scripted one and of the agent ``opponent_0`` with the same policy are the same."""
    agent_task = make_task("case14", opponent="agent", observation="global")
    policy = LearnedOpponent.load(checkpoint).policy
    expected = played(
        agent_task, opponent=lambda outputs: policy.act(outputs.observations[OPPONENT], outputs.masks[OPPONENT])
    )
    scripted = make_task("case14", opponent=LearnedOpponent.load(checkpoint, best=True), observation="global")
    np.testing.assert_array_equal(played(scripted), expected)
    assert expected.any()


def test_its_draws_follow_from_the_episode_and_have_the_policys_probabilities(checkpoint):
    attacker = LearnedOpponent.load(checkpoint)
    task = make_task("case14", opponent=attacker)
    first = played(task)
    np.testing.assert_array_equal(first, played(task))
    np.testing.assert_array_equal(first[:, 2:4], played(task, seeds=range(2, 4)))
    assert first.any()
    # many episodes at one state: the shares of the actions are those of the softmax
    n = 20_000
    episode, _ = task.reset(0, 0, 0, 100)
    state = take(episode.state, np.zeros(n, int))._replace(seed=np.arange(n))
    attack, _ = task.opponent.attack(task.system, state, ())
    agent_task = make_task("case14", opponent="agent")
    _, outputs = agent_task.reset(0, 0, 0, 100)
    logits = attacker.policy.logits(outputs.observations[OPPONENT], outputs.masks[OPPONENT])[0].astype(float)
    probability = np.exp(logits - logits.max())
    probability /= probability.sum()
    lines = agent_task.attack_actions.lines
    share = (attack.duration[:, lines] > 0).mean(axis=0)
    np.testing.assert_allclose(share, probability[1:], atol=4 * np.sqrt(0.25 / n))


def test_a_checkpoint_without_an_opponent_is_refused(tmp_path, checkpoint):
    state = network(make_task("case14", opponent="agent"))
    save_policies(tmp_path, {"zone_0": state})
    with pytest.raises(ValueError, match="--learner opponent"):
        LearnedOpponent.load(tmp_path)
    with pytest.raises(RuntimeError, match="bind"):
        LearnedOpponent.load(checkpoint).attack(make_task("case14").system, None, ())


# ------------------------------------------------------------------------------------------------ worst case
RULES = {"max_duration": 12, "initial_budget": 100.0}


def test_the_worst_case_is_that_of_the_team_that_really_plays():
    """Two steps ahead, against brute force: each attack alone, the team answering before and after it."""
    team, horizon = Greedy(), 2
    task = make_task("case14", opponent=WorstCaseAgainst(horizon=horizon, team=team), attack=RULES)
    plain = make_task("case14", opponent={"name": "worst-case", "horizon": horizon}, attack=RULES)
    episode, _ = task.reset(np.arange(4), t_start=np.arange(4) * 60 + 100)
    chosen, _ = task.opponent.attack(task.system, episode.state, ())
    harms = np.array([brute_force(task, episode, env, team, horizon) for env in range(4)])
    lines = task.attack_actions.lines
    for env in range(4):
        line = int(np.flatnonzero(chosen.duration[env])[0])
        assert harms[env, lines.tolist().index(line)] == pytest.approx(harms[env].max(), rel=1e-9)
    idle = np.array([brute_force(plain, episode, env, DoNothing(), horizon) for env in range(4)])
    assert np.abs(harms - idle).max() > 1e-3  # what the team does matters


def brute_force(task, episode, env, team, horizon):
    """(n_line,) harm of each attack on one environment."""
    harms = []
    for line in task.attack_actions.lines:
        state, worst = take(episode.state, np.array([env])), 0.0
        now = state
        attack = no_attack(1, task.system.grid.n_line)
        attack.duration[0, line] = 12
        for ahead in range(1, horizon + 1):
            at = Episode(state, (), np.zeros((1, 3, 3)))
            choices, _ = team.act(task, at, task.look(at), ())
            expected = task.series.forecast(now.scenario, now.t, min(ahead, task.series.n_horizon))
            action = task.actions.joint([choices[zone] for zone in task.zones])
            state, _ = advance(task.system, task.foreseeing, state, expected, action, attack)
            attack = no_attack(1, task.system.grid.n_line)
            if state.lost[0]:
                worst = 1e6 + horizon - ahead
                break
            worst = max(worst, state.rho.max())
        harms.append(worst)
    return harms


def test_against_a_team_that_does_nothing_it_is_the_plain_worst_case():
    made = [
        make_task("case14", opponent=o, attack=RULES) for o in ("worst-case", attacker_from("worst-case@do-nothing"))
    ]
    first, second = (played(task, 20) for task in made)
    np.testing.assert_array_equal(first, second)
    with pytest.raises(RuntimeError, match="bind_task"):
        WorstCaseAgainst().answers(made[0].system, made[0].reset(0)[0].state)


# ------------------------------------------------------------------------------------------------ mixtures
def test_a_mixture_draws_one_member_per_episode_in_proportion_to_its_weight():
    task = make_task("case5", opponent=MixedOpponent((RandomOpponent(), NoOpponent()), (0.3, 0.7)))
    episode, outputs = task.reset(np.arange(200), 0, 0, 3)
    for _ in range(2):
        episode, outputs = task.step(episode, DoNothing().act(task, episode, outputs, ())[0])
    attacked = outputs.infos["zone_0"]["attacks_total"] > 0
    assert 0.2 < attacked.mean() < 0.4
    for weights, expected in (((1, 0), True), ((0, 1), False)):
        task = make_task("case5", opponent=MixedOpponent((RandomOpponent(), NoOpponent()), weights))
        assert (played(task, 2).any(axis=(0, 2)) == expected).all()


def test_each_episode_of_a_mixture_is_that_of_its_member_alone(checkpoint):
    """Members with a memory, with a look at the grid, and with no more than the required methods included."""
    plain = ScheduleOpponent([(step, line, 3) for step, line in ((2, "0_4_1"), (20, "5_12_9"))])
    often = GeometricOpponent(every_hours=1.0, average_hours=0.25, minimum_hours=0.1)
    members = (WeightedOpponent(period=20), RandomOpponent(), LearnedOpponent.load(checkpoint), often, plain)
    mixed = played(make_task("case14", opponent=MixedOpponent(members)), seeds=range(24))
    alone = [played(make_task("case14", opponent=member), seeds=range(24)) for member in members]
    whose = [[k for k in range(5) if np.array_equal(mixed[:, env], alone[k][:, env])] for env in range(24)]
    assert all(whose)
    assert {k for found in whose for k in found if len(found) == 1} == {0, 1, 2, 3, 4}


def test_attackers_by_name(checkpoint):
    assert isinstance(attacker_from("random"), RandomOpponent)
    assert isinstance(attacker_from(str(checkpoint)), LearnedOpponent)
    mixed = attacker_from(f"0.5*none+random+0.5*{checkpoint}")
    assert mixed.weights == (0.25, 0.5, 0.25)
    assert [type(member) for member in mixed.members] == [NoOpponent, RandomOpponent, LearnedOpponent]
    for text, words in (("randm", "no attacker"), ("x*none+random", "a number"), ("0*none+0*random", "weights")):
        with pytest.raises(ValueError, match=words):
            attacker_from(text)


def test_a_mixed_team_is_one_of_its_teams_in_each_episode():
    task = make_task("case14", opponent="random")

    def survived(team):
        episode, outputs = task.reset(np.arange(12), 0, np.arange(12) * 150, 60)
        memory = team.initial_memory(task, 12)
        while episode.state.running.any():
            choices, memory = team.act(task, episode, outputs, memory)
            episode, outputs = task.step(episode, choices)
        return outputs.infos["zone_0"]["survived_steps"], episode.state.rho.sum(axis=1)

    members = (DoNothing(), Reconnect(safe=np.inf))
    mixed, *alone = (survived(team) for team in (MixedTeam(members), *members))
    same = [[k for k in range(2) if all(mixed[i][env] == alone[k][i][env] for i in range(2))] for env in range(12)]
    assert all(same)
    assert {found[0] for found in same if len(found) == 1} == {0, 1}
    assert isinstance(team_from("do-nothing"), DoNothing)
    assert team_from("do-nothing+3*reconnect").weights == (0.25, 0.75)
