"""The task: batches of episodes as values, infos with constant keys, totals, and an end for everybody at once."""

from __future__ import annotations

import numpy as np
import pytest

import marlgrid
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome, take
from marlgrid.task.accounts import OPPONENT_KEYS, ZONE_KEYS
from marlgrid.task.actions import DiscreteActions, MultiDiscreteActions
from marlgrid.task.continuous import BoxActions, DictActions
from marlgrid.task.opponents import RandomOpponent, WeightedOpponent
from marlgrid.task.reward import SurvivalReward
from marlgrid.task.task import Episode
from tests.simulation.small import GivenCurrents, StillSeries, small_system
from tests.task.tasks import case_task, masked_draw, rest, small_task


def test_agents_and_spaces():
    task = small_task()
    assert task.agents == ("zone_0", "zone_1", "opponent_0")
    for agent in task.agents:
        assert task.action_space(agent) is task.action_space(agent)
        assert task.observation_space(agent) is task.observation_space(agent)
    assert task.action_space("opponent_0").n == 4
    assert small_task(opponent_agent=False).agents == ("zone_0", "zone_1")
    with pytest.raises(ValueError, match=r"unknown agent 'zone_9'.*zone_0"):
        task.action_space("zone_9")
    with pytest.raises(ValueError, match="unknown agent 'opponent_0'"):
        small_task(opponent_agent=False).observation_space("opponent_0")


def test_infos_have_the_same_numeric_keys_at_every_step():
    task = small_task()
    episode, outputs = task.reset([1, 2])
    for _ in range(3):
        assert list(outputs.infos) == list(task.agents)
        for agent, keys in (("zone_0", ZONE_KEYS), ("zone_1", ZONE_KEYS), ("opponent_0", OPPONENT_KEYS)):
            assert tuple(outputs.infos[agent]) == keys
            assert all(v.shape == (2,) and v.dtype == np.float64 for v in outputs.infos[agent].values())
        episode, outputs = task.step(episode, rest(task, 2))


def test_costs_and_totals_by_zone():
    system = small_system(parameters={"no_overflow_disconnection": True, "nb_timestep_cooldown_line": 5})
    task = small_task(system, solver=GivenCurrents(system, [50.0, 120.0, 130.0, 40.0]))
    episode, outputs = task.reset(0)
    assert outputs.infos["zone_0"]["overload_total"] == 0
    off = task.make_action({"set_line_status": (3, -1)})
    episode, outputs = task.step(episode, rest(task) | {"zone_0": [off]})
    episode, outputs = task.step(episode, rest(task) | {"zone_0": [off]})
    zone_0, zone_1 = outputs.infos["zone_0"], outputs.infos["zone_1"]
    assert (zone_0["illegal"], zone_0["reason"]) == (1, Reason.LINE_COOLDOWN)
    assert (zone_1["illegal"], zone_1["reason"]) == (0, Reason.ACCEPTED)
    assert (zone_0["illegal_total"], zone_1["illegal_total"]) == (1, 0)
    assert (zone_0["cost_overload"][0], zone_1["cost_overload"][0]) == pytest.approx((0.2, 0.5))
    assert (zone_0["overload_total"][0], zone_1["overload_total"][0]) == pytest.approx((0.4, 1.0))
    assert (zone_0["cost_disconnected"], zone_1["cost_disconnected"]) == (1, 1)
    assert (zone_0["max_rho"][0], zone_1["max_rho"][0]) == pytest.approx((1.2, 1.3))
    assert (zone_0["survived_steps"], zone_0["survival"][0]) == (2, pytest.approx(2 / 99))
    assert zone_0["cost_unserved_mwh"] == 0


def test_a_blackout_leaves_the_rest_of_the_load_unserved():
    task = small_task()
    episode, _ = task.reset(0, max_steps=10)
    for _ in range(3):
        episode, _ = task.step(episode, rest(task))
    cut = task.make_action({"set_bus": {"loads_id": (1, -1)}})
    episode, outputs = task.step(episode, rest(task) | {"zone_1": [cut]})
    assert outputs.terminated.all()
    assert not outputs.truncated.any()
    assert outputs.infos["zone_0"]["outcome"] == Outcome.LOAD_OR_GEN_DISCONNECTED
    # rows 4 to 10 of 80 MW, all of it in the second zone
    assert outputs.infos["zone_1"]["cost_unserved_mwh"][0] == pytest.approx(7 * 80 * 5 / 60)
    assert outputs.infos["zone_0"]["cost_unserved_mwh"][0] == 0
    assert outputs.infos["zone_1"]["survived_steps"] == 3
    assert outputs.infos["zone_1"]["survival"][0] == pytest.approx(0.3)
    assert outputs.rewards["zone_0"] == -10
    assert outputs.rewards["opponent_0"] == 10


def test_the_time_limit_truncates():
    task = small_task()
    episode, outputs = task.reset(0, t_start=90, max_steps=4)
    for _ in range(4):
        assert not outputs.truncated.any()
        episode, outputs = task.step(episode, rest(task))
    assert outputs.truncated.all()
    assert not outputs.terminated.any()
    assert outputs.infos["zone_0"]["survival"] == 1
    assert outputs.infos["zone_0"]["outcome"] == Outcome.TIME_LIMIT
    last, _ = task.reset(0, t_start=90)
    assert int(last.state.t_end[0]) == 99


def test_episodes_that_are_over_stay_as_they_are():
    task = small_task()
    episode, outputs = task.reset([0, 0], max_steps=np.array([2, 6]))
    for _ in range(2):
        episode, outputs = task.step(episode, rest(task, 2))
    ended = take(episode.state, np.array([0]))
    totals = [total[0].copy() for total in episode.totals]
    for _ in range(3):
        episode, outputs = task.step(episode, rest(task, 2))
        assert outputs.truncated.tolist() == [True, False]
        assert [outputs.rewards[agent][0] for agent in task.agents] == [0, 0, 0]
        assert outputs.rewards["zone_0"][1] == 1
        assert outputs.infos["zone_0"]["survived_steps"][0] == 2
        assert outputs.infos["zone_0"]["cost_overload"][0] == 0
    kept = take(episode.state, np.array([0]))
    assert kept.t == ended.t
    assert np.array_equal(kept.topology.topo_vect, ended.topology.topo_vect)
    assert all(np.array_equal(a, b[0]) for a, b in zip(totals, episode.totals, strict=True))


def test_the_opponent_agent_attacks_and_is_told():
    task = small_task()
    episode, outputs = task.reset(0)
    assert outputs.masks["opponent_0"].tolist() == [[1, 1, 1, 1]]
    episode, outputs = task.step(episode, rest(task) | {"opponent_0": [2]})
    told = outputs.infos["opponent_0"]
    assert (told["illegal"], told["attacks_total"], told["budget"]) == (0, 1, 8 + 0.5 - 1)
    assert episode.state.attack.remaining.tolist() == [[0, 3, 0, 0]]
    assert outputs.masks["opponent_0"].tolist() == [[1, 0, 0, 0]]
    assert outputs.rewards["opponent_0"] == -1
    episode, outputs = task.step(episode, rest(task) | {"opponent_0": [1]})
    assert (outputs.infos["opponent_0"]["illegal"], outputs.infos["opponent_0"]["attacks_total"]) == (1, 1)
    assert outputs.infos["zone_0"]["attacks_total"] == 1


def test_own_rewards_of_zones_and_opponent():
    def by_zone(system, before, action, ruling, after):
        return np.tile([1.0, 3.0], (after.n_env, 1))

    task = small_task(reward=by_zone)
    _, outputs = task.step(task.reset([0, 1])[0], rest(task, 2))
    assert [outputs.rewards[a].tolist() for a in task.agents] == [[1, 1], [3, 3], [-2, -2]]
    task = small_task(reward=by_zone, opponent_reward=lambda s, b, a, r, after: after.rho.max(axis=1))
    _, outputs = task.step(task.reset([0, 1])[0], rest(task, 2))
    assert outputs.rewards["opponent_0"].tolist() == [0.1, 0.1]


def test_scenarios_follow_from_the_seed_and_the_split():
    task = small_task(split="validation")
    episode, _ = task.reset(np.arange(200))
    assert set(episode.state.scenario.tolist()) == set(range(10, 20))
    again, _ = task.reset(np.arange(200))
    assert np.array_equal(episode.state.scenario, again.state.scenario)
    single, _ = task.reset(17)
    assert single.state.scenario[0] == episode.state.scenario[17]
    chosen, _ = task.reset([1, 2], scenario=[3, 25])
    assert chosen.state.scenario.tolist() == [3, 25]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scenario": 30}, r"no scenario 30.*'test': \(20, 29\)"),
        ({"t_start": 99}, "t_start is"),
        ({"t_start": -1}, "t_start is"),
        ({"max_steps": 0}, "max_steps is"),
        ({"scenario": 1.5}, "scenario is 1.5"),
        ({"max_steps": [1, 2, 3]}, "one per environment"),
    ],
)
def test_impossible_starts(arguments, words):
    with pytest.raises(ValueError, match=words):
        small_task().reset([0, 1], **arguments)


def test_choices_are_checked_before_anything_happens():
    task = small_task()
    episode, _ = task.reset([0, 1])
    for choices, words in (
        ({"zone_0": [0, 0], "zone_1": [0, 0]}, r"missing \['opponent_0'\]"),
        (rest(task, 2) | {"zone_7": [0, 0]}, r"unknown \['zone_7'\]"),
        (rest(task, 2) | {"zone_1": [0]}, "zone_1 was given 1 actions for 2 environments"),
        (rest(task, 2) | {"zone_1": [0, 999]}, "zone_1 was given action 999"),
        (rest(task, 2) | {"opponent_0": [0, 9]}, "opponent_0 was given action 9"),
    ):
        with pytest.raises(ValueError, match=words):
            task.step(episode, choices)


def test_wrong_tasks():
    with pytest.raises(ValueError, match="either an agent or scripted"):
        small_task(opponent=RandomOpponent(), opponent_agent=True)
    with pytest.raises(ValueError, match="unknown split 'exam'"):
        small_task(split="exam")
    quiet = small_system()
    object.__setattr__(quiet, "attackable", np.zeros(4, dtype=bool))
    with pytest.raises(ValueError, match="nothing to attack"):
        small_task(quiet)


def outputs_equal(left, right, row) -> None:
    for agent in left.observations:
        np.testing.assert_allclose(left.observations[agent][row], right.observations[agent][0], atol=1e-6)
        np.testing.assert_allclose(left.rewards[agent][row], right.rewards[agent][0], atol=1e-9)
        for key, values in left.infos[agent].items():
            np.testing.assert_allclose(values[row], right.infos[agent][key][0], atol=1e-9, err_msg=key)
    for agent, mask in left.masks.items():
        assert np.array_equal(mask[row], right.masks[agent][0])


@pytest.mark.parametrize("opponent", [None, RandomOpponent(), WeightedOpponent(period=3)])
def test_a_batch_is_its_single_runs(opponent):
    task = case_task("case14", opponent=opponent, reward=SurvivalReward())
    rng = np.random.default_rng(0)
    seeds = [4, 5, 6]
    episode, outputs = task.reset(seeds)
    singles = [task.reset(seed) for seed in seeds]
    for _ in range(8):
        for row in range(3):
            outputs_equal(outputs, singles[row][1], row)
        choices = masked_draw(rng, outputs.masks, 3)
        episode, outputs = task.step(episode, choices)
        singles = [
            task.step(single, {agent: [column[row]] for agent, column in choices.items()})
            for row, (single, _) in enumerate(singles)
        ]


def test_an_episode_is_a_value():
    task = case_task("case14", opponent=RandomOpponent())
    rng = np.random.default_rng(3)
    episode, outputs = task.reset(9)
    kept, seen, played = episode, [], []
    for _ in range(6):
        choices = masked_draw(rng, outputs.masks, 1)
        played.append(choices)
        episode, outputs = task.step(episode, choices)
        seen.append(outputs)
    looked = task.look(kept)
    fresh = task.reset(9)[1]
    outputs_equal(looked, fresh, 0)
    episode = kept
    for choices, before in zip(played, seen, strict=True):
        episode, outputs = task.step(episode, choices)
        outputs_equal(outputs, before, 0)


def test_looking_adds_nothing_to_the_totals():
    system = small_system(parameters={"no_overflow_disconnection": True})
    task = small_task(system, StillSeries(system), GivenCurrents(system, 150.0))
    episode, _ = task.reset(0)
    episode, stepped = task.step(episode, rest(task))
    looked = task.look(episode)
    assert looked.infos["zone_0"]["overload_total"] == stepped.infos["zone_0"]["overload_total"]
    assert looked.infos["zone_0"]["cost_overload"] == stepped.infos["zone_0"]["cost_overload"]


@pytest.mark.parametrize("actions", [DiscreteActions, MultiDiscreteActions, BoxActions, DictActions])
def test_every_action_space_plays(actions):
    task = case_task("case14", actions, opponent=RandomOpponent())
    episode, outputs = task.reset([1, 2])
    for seed, agent in enumerate(task.agents):
        task.action_space(agent).seed(seed)
    for _ in range(3):
        choices = {agent: [task.action_space(agent).sample() for _ in range(2)] for agent in task.agents}
        episode, outputs = task.step(episode, choices)
        assert set(outputs.masks) == (set(task.agents) if actions in (DiscreteActions, MultiDiscreteActions) else set())
        assert all(np.isfinite(o).all() for o in outputs.observations.values())
    assert (episode.state.t == episode.state.t_start + 3).all() or not episode.state.running.all()


def test_nothing_of_an_ended_episode_changes_while_others_go_on():
    """Not a bit of any array, whatever is asked and whoever attacks; what its infos say it cost is nothing."""
    task, rng, n_env = marlgrid.make_task("case14", opponent="agent"), np.random.default_rng(0), 12
    episode, outputs = task.reset(
        np.arange(n_env), np.zeros(n_env, int), rng.integers(0, 500, n_env), np.full(n_env, 40)
    )
    ended: dict[int, Episode] = {}
    together = 0
    while episode.state.running.any():
        choices = {
            agent: np.where(rng.random(n_env) < 0.2, (rng.random(mask.shape) * mask).argmax(axis=1), 0)
            for agent, mask in outputs.masks.items()
        }
        episode, outputs = task.step(episode, choices)
        for env, kept in ended.items():
            now = take(episode, np.array([env]))
            for (path, one), (_, other) in zip(arrays(now), arrays(kept), strict=True):
                np.testing.assert_array_equal(one, other, err_msg=path)
            assert outputs.infos["zone_0"]["illegal"][env] == outputs.rewards["zone_0"][env] == 0
        for env in np.flatnonzero(~episode.state.running).tolist():
            ended.setdefault(env, take(episode, np.array([env])))
        together += 0 < len(ended) < n_env
    assert together > 5


def arrays(record, path=""):
    """(path, array) of every array of a nested record."""
    if isinstance(record, np.ndarray):
        yield path, record
    else:
        for number, part in enumerate(record):
            yield from arrays(part, f"{path}.{getattr(record, '_fields', {number: number})[number]}")
