"""Impaired teams: what is heard of them, and what they are told."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from agents.base import rows_of
from agents.impaired import Delayed, Silent, Unheard, remote_features
from experiments.attribution_forks import Change, What, replay
from experiments.attribution_record import record
from experiments.evaluation import Starts, evaluate
from marlgrid.env.registry import make_task
from marlgrid.task.features import VectorObservation

STARTS = Starts(np.array([3, 4, 5]), np.array([0, 1, 1]), np.array([0, 5, 10]), 12)
TASK = make_task("case5", zones=2, observation="global")
ATTACKED = make_task("case5", zones=2, opponent="random", observation="global")


class Count(NamedTuple):
    steps: np.ndarray


class Numbered:
    """Remembers how often it was asked, and plays the legal action of that number, in turn; notes all it was shown."""

    def __init__(self):
        self.shown = []

    def initial_memory(self, task, n_env):
        return Count(np.zeros(n_env, dtype=np.int64))

    def act(self, task, episode, outputs, memory):
        self.shown.append((episode.state.t - episode.state.t_start, outputs.observations, outputs.masks))
        choices = {}
        for zone in task.zones:
            legal = [np.flatnonzero(mask) for mask in outputs.masks[zone]]
            choices[zone] = np.array([own[n % len(own)] for own, n in zip(legal, memory.steps, strict=True)])
        return choices, Count(memory.steps + 1)


def asked(agent, n_step: int = 8, task=TASK):
    """The choices of each step, and the observations that the task gave before it."""
    episode, outputs = task.reset(STARTS.seed, STARTS.scenario, STARTS.t_start, STARTS.max_steps)
    memory, found = agent.initial_memory(task, 3), []
    for _ in range(n_step):
        choices, memory = agent.act(task, episode, outputs, memory)
        found.append((choices, outputs))
        episode, outputs = task.step(episode, choices)
        assert episode.state.running.all()
    return found


class Calm(Numbered):
    """Redispatches up and down, or does nothing: no grid is lost."""

    def act(self, task, episode, outputs, memory):
        self.shown.append((episode.state.t - episode.state.t_start, outputs.observations, outputs.masks))
        up = task.make_action({"redispatch": [(0, 0.1)]})
        zone = task.zones[int(task.system.zones.gen[0])]
        nothing = task.make_action({})
        choices = {name: [nothing] * len(memory.steps) for name in task.zones}
        choices[zone] = [up if n % 2 else nothing for n in memory.steps]
        return choices, Count(memory.steps + 1)


def speaks(choices) -> list[list[int]]:
    """By zone, how many commands each environment's answer has."""
    return [[len(answer.kind) for answer in choices[zone]] for zone in TASK.zones]


ACTING = TASK.zones[int(TASK.system.zones.gen[0])]


def test_zones_that_do_nothing_from_a_step_on():
    counts = [max(map(max, speaks(choices))) for choices, _ in asked(Silent(Calm(), start=4))]
    assert counts == [0, 1, 0, 1, 0, 0, 0, 0]
    others = tuple(zone for zone in TASK.zones if zone != ACTING)
    counts = [max(map(max, speaks(choices))) for choices, _ in asked(Silent(Calm(), zones=others))]
    assert counts == [0, 1, 0, 1, 0, 1, 0, 1], "the zone that acts is not among the silent ones"


def test_zones_that_repeat():
    counts = [max(map(max, speaks(choices))) for choices, _ in asked(Silent(Calm(), start=4, repeat=True))]
    assert counts == [0, 1, 0, 1, 1, 1, 1, 1]


def test_silence_is_drawn_from_the_seed():
    def heard(rate, seed_offset=0):
        found = asked(Silent(Calm(), rate=rate), 8)
        return np.array([speaks(choices) for choices, _ in found])

    assert heard(0.0).sum() == 4 * 3
    assert heard(1.0).sum() == 0
    once, again = heard(0.5), heard(0.5)
    assert (once == again).all()
    assert 0 < once.sum() < 12
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match="from 0 to 1"):
            Silent(Calm(), rate=wrong)


def test_what_is_seen_late():
    team = Calm()
    found = asked(Delayed(team, 3))
    for step, (clock, observations, masks) in enumerate(team.shown):
        told = found[max(step - 3, 0)][1]
        assert clock.tolist() == [max(step - 3, 0)] * 3
        for zone in TASK.zones:
            assert (observations[zone] == told.observations[zone]).all()
            assert (masks[zone] == told.masks[zone]).all()
    with pytest.raises(ValueError, match="at least 1"):
        Delayed(team, 0)


def test_rows_of_a_delayed_batch_do_not_mix():
    """Played one by one, or picked out of a batch halfway, the episodes are the same."""
    whole = evaluate(ATTACKED, Delayed(Numbered(), 2), STARTS)
    for row in range(3):
        one = Starts(STARTS.seed[[row]], STARTS.scenario[[row]], STARTS.t_start[[row]], STARTS.max_steps)
        alone = evaluate(ATTACKED, Delayed(Numbered(), 2), one)
        assert (alone.survived_steps[0], alone.illegal[0]) == (whole.survived_steps[row], whole.illegal[row])
    memory = Delayed(Calm(), 2).initial_memory(TASK, 3)
    assert rows_of(memory, np.array([1])).past[0].state.n_env == 1


def test_news_that_are_not_heard():
    remote = remote_features(TASK)
    names = TASK.observation.feature_names("zone_0")
    local = VectorObservation(TASK.system, TASK.series, "local").feature_names("zone_0")
    assert [name for name, far in zip(names, remote["zone_0"], strict=True) if not far] == local
    never = Calm()
    found = asked(Unheard(never, 1.0))
    for step, (_, observations, _) in enumerate(never.shown):
        for zone in TASK.zones:
            now, first = found[step][1].observations[zone], found[0][1].observations[zone]
            assert (observations[zone] == np.where(remote[zone], first, now)).all()
    always = Calm()
    for (_, observations, _), (_, outputs) in zip(always.shown, asked(Unheard(always, 0.0)), strict=False):
        assert all((observations[zone] == outputs.observations[zone]).all() for zone in TASK.zones)


def hoarse(team):
    return Silent(team, rate=0.5, repeat=True)


def late(team):
    return Delayed(team, 2)


@pytest.mark.parametrize("impaired", [hoarse, late])
def test_recorded_and_played_again(impaired):
    """A closed loop goes on with the memory of the step it starts from: nothing changed, nothing happens."""
    agent = impaired(Numbered())
    for episode in record(ATTACKED, agent, STARTS):
        calm = int(np.flatnonzero((episode.states.disc_lines < 0).all(axis=0))[0])
        forks = [(Change(What.TRIP, step, calm),) for step in range(0, episode.n_step, 3)]
        assert set(replay(ATTACKED, episode, forks, agent).lasted.tolist()) == {episode.lasted}
