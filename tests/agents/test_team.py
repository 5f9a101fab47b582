"""Teams of policies by zone: who plays what, what is remembered, and what a zone is shown."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Team, act_in, rows_of
from experiments.evaluation import Starts, evaluate
from marlgrid.env.registry import make_task, parallel_env
from marlgrid.simulation.state import take
from marlgrid.task.zone_view import ZoneObservation


class Clockwork:
    """Plays the legal action whose turn it is; it remembers the turn and the loading it saw."""

    def initial_memory(self, n_env):
        return {"turn": np.zeros(n_env, int), "saw": (np.zeros((n_env, 2)), np.zeros(n_env))}

    def act(self, seen, mask, memory):
        turn = memory["turn"]
        chosen = np.where(mask[np.arange(len(turn)), turn] == 1, turn, 0)
        saw = (np.ones((len(turn), 2)) * turn[:, None], seen.view.rho.max(axis=1))
        return chosen, {"turn": (turn + 1) % mask.shape[1], "saw": saw}


def begin(task, n=5, steps=20):
    scenario = np.arange(n) % 3 + task.series.splits["train"].start
    return task.reset(np.arange(n), scenario, np.arange(n) * 7, np.full(n, steps))


def test_the_memory_goes_from_step_to_step_and_its_rows_are_episodes():
    task = make_task("case5")
    episode, outputs = begin(task)
    team = Team({"zones": Clockwork()})
    memory = team.initial_memory(task, 5)
    some = np.array([3, 1])
    for turn in range(4):
        choices, after = team.act(task, episode, outputs, memory)
        part = take(episode, some)
        of_some, after_some = team.act(task, part, task.look(part), rows_of(memory, some))
        for zone in task.zones:
            assert (after[zone]["turn"] == turn + 1).all()
            np.testing.assert_array_equal(np.asarray(choices[zone])[some], of_some[zone])
            np.testing.assert_array_equal(rows_of(after, some)[zone]["saw"][1], after_some[zone]["saw"][1])
        episode, outputs = task.step(episode, choices)
        memory = after


def test_evaluation_starts_each_time_anew():
    task = make_task("case5", parameters={"no_overflow_disconnection": True})
    turns = []

    class Heard(Clockwork):
        def act(self, seen, mask, memory):
            if seen.zone == "zone_0":
                turns.append(int(memory["turn"][0]))
            return super().act(seen, mask, memory)

    team = Team({"zones": Heard()})
    for _ in range(2):
        evaluate(task, team, Starts.of_split(task, "validation", 2, 4))
    assert turns == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_single_environment_hands_the_memory_back():
    env = parallel_env("case5", max_steps=5)
    env.reset(seed=2)
    memory, turn = None, 0
    while env.agents:
        actions, memory = act_in(env, Team({"zones": Clockwork()}), memory)
        turn += 1
        assert memory["zone_0"]["turn"] == [turn]
        env.step(actions)


def test_each_zone_has_its_own_policy_or_the_shared_one():
    task = make_task("case5")
    first, rest = Clockwork(), Clockwork()
    team = Team({"zone_0": first, "zones": rest})
    assert team.policy("zone_0") is first
    assert team.policy("zone_1") is rest
    with pytest.raises(KeyError, match="no policy for zone_1"):
        Team({"zone_0": first}).initial_memory(task, 2)


@pytest.mark.parametrize("scope", ["local", "neighbourhood", "global"])
def test_a_view_is_what_each_zone_observes(scope):
    """Attribute by attribute the observation of ``env.observe_zone``, for all episodes at once."""
    task = make_task("case14", observation={"scope": scope})
    episode, outputs = begin(task)
    shown = {}

    class Looks(Clockwork):
        def act(self, seen, mask, memory):
            shown[seen.zone] = seen.view
            return super().act(seen, mask, memory)

    team = Team({"zones": Looks()})
    team.act(task, episode, outputs, team.initial_memory(task, 5))
    from marlgrid.task.observation import Observation

    for zone in task.zones:
        for row in range(5):
            one = ZoneObservation(Observation(task, episode.state, row), zone, task.observation.sight)
            for name in ("rho", "p_or", "p_ex", "theta_ex", "gen_p", "load_q", "topo_vect", "time_before_cooldown_sub",
                         "attack_remaining", "line_status", "thermal_limit", "curtailment_limit"):  # fmt: skip
                np.testing.assert_array_equal(getattr(shown[zone], name)[row], getattr(one, name), err_msg=name)
    with pytest.raises(AttributeError, match="did you mean rho"):
        _ = shown["zone_0"].rhoo
    with pytest.raises(AttributeError):
        _ = shown["zone_0"].attack_budget
