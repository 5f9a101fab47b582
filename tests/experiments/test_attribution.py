"""Blackouts with a known cause, written by hand: who started it, and who could have saved the grid."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.base import Memoryless
from agents.do_nothing import DoNothing
from experiments.attribution import as_json, as_table, attribute, main
from experiments.attribution_forks import Change, What, replay
from experiments.attribution_record import record
from experiments.attribution_series import SparedSeries
from experiments.evaluation import Starts
from marlgrid.env.registry import make_task
from marlgrid.simulation.action import NO_COMMANDS
from marlgrid.task.opponents import ScheduleOpponent
from tests.simulation.small import GivenCurrents, StillSeries, small_system
from tests.task.tasks import small_task

STEPS = 30


class Fragile(GivenCurrents):
    """No solution where ``breaks`` (connected (n_env, n_line)) says so; lines carry what ``amps`` says."""

    def __init__(self, system, breaks, amps=lambda connected: np.full(connected.shape, 10.0)):
        super().__init__(system)
        self.breaks, self.amps = breaks, amps

    def solve(self, inputs, start, rows):
        flow = super().solve(inputs, start, rows)
        connected = inputs.topo_vect[:, self.grid.line_or_pos_topo_vect] > 0
        amps = np.where(connected & rows[:, None], self.amps(connected), 0.0)
        return flow._replace(a_or=amps, converged=rows & ~self.breaks(connected, inputs))


class Scripted(Memoryless):
    """Plays what is written down by step of the episode and zone."""

    def __init__(self, task, **script):
        self.script = {(int(step[1:]), zone): task.make_action(keys) for step, (zone, keys) in script.items()}

    def act(self, task, episode, outputs, memory):
        clock = (episode.state.t - episode.state.t_start).tolist()
        return {zone: [self.script.get((step, zone), NO_COMMANDS) for step in clock] for zone in task.zones}, memory


def world(breaks, attacks=(), amps=None, series=None, cooldown: int = 0):
    """A task on the grid of ``small`` that is lost where ``breaks`` says so."""
    system = small_system()
    system = replace(system, attack=replace(system.attack, cooldown=cooldown, initial_budget=50.0))
    solver = Fragile(system, breaks) if amps is None else Fragile(system, breaks, amps)
    return small_task(system, series=series, solver=solver, opponent=ScheduleOpponent(attacks))


def lost(task, agent=None):
    zero = np.zeros(1, dtype=np.int64)
    (episode,) = record(task, agent or DoNothing(), Starts(zero, zero, zero, STEPS))
    assert episode.lost
    return episode


def out(*lines):
    """Lost when all of these lines are out."""
    return lambda connected, inputs: ~connected[:, list(lines)].any(axis=1)


REDISPATCH = {"redispatch": [(1, 1.0)]}


def test_one_attack_of_several_did_it():
    task = world(out(0), [(1, "line_2", 2), (7, "line_0", 3)])
    found = attribute(task, lost(task, Scripted(task, s2=("zone_1", REDISPATCH))))
    assert (found.verdict, found.lasted, found.length) == ("attack", 7, STEPS)
    assert found.started.completes
    assert found.started.words == "the attack on line line_0 at step 7 for 3 steps"
    assert [(str(tried.causes[0].kind), tried.gained) for tried in found.tried] == [
        ("attack", STEPS - 7),
        ("attack", 0),
        ("action", 0),
    ]
    assert found.pairs == ()
    assert found.unattacked.completes
    assert "lost at step 7 of 30 (DIVERGED). It started with the attack on line line_0" in found.words


def test_a_zones_disconnection_did_it_and_a_trip_followed():
    """Line 3 takes over the load of line 2, trips after three steps, and that is the end."""
    task = world(out(2, 3), [(1, "line_1", 2)], lambda c: np.where(np.arange(4) == 3, 10 + 150.0 * ~c[:, [2]], 10.0))
    cut = {"set_line_status": [(2, -1)]}
    found = attribute(task, lost(task, Scripted(task, s4=("zone_1", cut), s5=("zone_1", REDISPATCH))))
    assert (found.verdict, found.lasted) == ("action", 6)
    assert found.started.words == "zone_1's action at step 4 (disconnect line line_2)"
    necessary = [tried.words for tried in found.tried if tried.necessary()]
    assert necessary == [found.started.words, "the trip of line line_3 at step 6 (wave 0)"]


def test_two_attacks_that_kill_together_are_each_necessary():
    task = world(out(0, 1), [(3, "line_0", 4), (5, "line_1", 4)])
    found = attribute(task, lost(task))
    assert (found.verdict, found.started.causes[0].step, found.lasted) == ("attack", 3, 5)
    assert [tried.completes for tried in found.tried] == [True, True]


def test_two_attacks_that_each_kill_are_necessary_as_a_pair():
    either = lambda connected, inputs: ~connected[:, 0] | ~connected[:, 1]  # noqa: E731
    task = world(either, [(3, "line_0", 2), (3, "line_1", 2), (1, "line_2", 1)])
    found = attribute(task, lost(task))
    assert (found.verdict, found.started) == ("pair", None)
    assert [pair.words for pair in found.pairs] == [
        "the attack on line line_0 at step 3 for 2 steps and the attack on line line_1 at step 3 for 2 steps"
    ]
    assert found.pairs[0].completes
    assert "No single cause was necessary" in found.words


def test_nothing_alone_would_have_helped():
    """The load outgrows the grid at row 12, whatever anybody did."""
    series = StillSeries(small_system())
    series.load_p[12:] *= 3
    task = world(lambda c, inputs: inputs.load_p.sum(axis=1) > 200, [(2, "line_0", 3)], series=series)
    found = attribute(task, lost(task, Scripted(task, s1=("zone_1", REDISPATCH))))
    assert (found.verdict, found.started, found.pairs, found.lasted) == ("none", None, (), 11)
    assert {tried.gained for tried in found.tried} == {0}
    assert found.chances.enough == 0
    assert "It is lost whatever single cause or pair of causes is left out" in found.words


def test_maintenance_did_it():
    series = StillSeries(small_system())
    series.time_next_maintenance[6:10, 0] = 0
    series.duration_next_maintenance[6:10, 0] = [4, 3, 2, 1]
    task = world(out(0), [(1, "line_2", 2)], series=series)
    found = attribute(task, lost(task))
    assert (found.verdict, found.started.words) == ("outage", "the maintenance of line line_0 from step 5")
    assert found.started.completes
    spared = SparedSeries(series)
    made_up = spared.add(3, [(0, 10)])
    rows = spared.at(np.array([made_up, 3]), np.array([7, 7]))
    assert rows.time_next_maintenance[:, 0].tolist() == [-1, 0]
    assert (spared.n_rows(made_up), spared.real(np.array([made_up, 4])).tolist()) == (100, [3, 4])


def test_the_last_chance():
    """Line 3 is overloaded while line 1 carries on: taking line 1 out saves the grid until line 3 trips, at step 2."""
    task = world(out(3), amps=lambda c: np.where(np.arange(4) == 3, 10 + 150.0 * c[:, [1]], 10.0))
    found = attribute(task, lost(task))
    assert (found.verdict, found.lasted) == ("trip", 2)
    chance = found.chances
    assert (chance.window, chance.zones) == (3, ("zone_0", "zone_1")), "line 1 is a tie: both may take it out"
    assert (chance.earliest.step, chance.latest.step) == (0, 2)
    assert chance.latest.action == "disconnect line line_1"
    assert chance.latest.completes
    assert json.loads(json.dumps(as_json(found)))["chances"]["latest"]["step"] == 2


class Panics(Memoryless):
    """Cuts a load off as soon as line 0 is out."""

    def act(self, task, episode, outputs, memory):
        pos = task.system.grid.line_or_pos_topo_vect[0]
        cut = task.make_action({"set_bus": {"loads_id": (1, -1)}})
        choices = {zone: [NO_COMMANDS] * episode.state.n_env for zone in task.zones}
        choices["zone_1"] = [cut if bus < 0 else NO_COMMANDS for bus in episode.state.topology.topo_vect[:, pos]]
        return choices, memory


def test_defenders_that_react():
    """Replayed as it was, the zone's action alone is to blame; a team that reacts would not have acted unattacked."""
    task = world(lambda c, inputs: np.zeros(len(c), dtype=bool), [(4, "line_0", 2)])
    episode = lost(task, Panics())
    opened, closed = attribute(task, episode), attribute(task, episode, Panics())
    assert (opened.verdict, opened.lasted, opened.started.completes) == ("action", 5, True)
    assert (closed.verdict, closed.started.completes, closed.loop) == ("attack", True, "closed")


def test_forks_that_change_nothing_end_as_recorded():
    """Real physics: a line that never trips is protected from various steps on, and nothing else happens."""
    task = make_task("case14", opponent={"name": "schedule", "attacks": [(2, "3_4_6", 48)]}, split="test")
    starts = Starts.of_split(task, "test", 4, 40)
    episodes = record(task, DoNothing(), starts)
    assert any(episode.lost for episode in episodes)
    for episode in episodes:
        calm = int(np.flatnonzero((episode.states.disc_lines < 0).all(axis=0))[0])
        forks = [(Change(What.TRIP, step, calm),) for step in range(0, episode.n_step, 7)]
        ends = replay(task, episode, forks)
        assert ends.lasted.tolist() == [episode.lasted] * len(forks)
        assert ends.completed.tolist() == [not episode.lost] * len(forks)
        again = replay(task, episode, forks, DoNothing())
        assert again.lasted.tolist() == ends.lasted.tolist()


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        main(["--case", "case5", "--episodes", "3", "--max-steps", "40", "--attacker", "random", "--delay", "3"]) == 0
    )
    told = capsys.readouterr().out
    found = json.loads((tmp_path / "runs/attribution/case5-do-nothing-random-open.json").read_text())
    assert f"{len(found)} blackouts in 3 episodes" in told
    assert len(found) > 0
    for one in found:
        assert one["words"] in told
        assert re.search(rf"^{one['verdict']} +[1-9]", told, flags=re.MULTILINE)
    with pytest.raises(SystemExit, match="there is no agent 'nobody'"):
        main(["--defender", "nobody"])


def test_the_table():
    task = world(out(0), [(7, "line_0", 3)])
    found = attribute(task, lost(task))
    told = as_table([found, found], 5)
    assert "2 blackouts in 5 episodes" in told
    assert re.search(r"^attack +2 +100%$", told, flags=re.MULTILINE)
    assert "of 2 with attacks, lost without them too: 0" in told
    assert as_table([], 5) == "0 blackouts in 5 episodes"


def test_attacks_on_substations_are_left_out_too():
    """Both ends of line 2 stay connected, but load 1 is moved to a busbar of its own, and that is the end."""
    system = small_system()
    system = replace(system, attack=replace(system.attack, subs=("sub_2",), initial_budget=50.0))
    place = int(system.grid.load_pos_topo_vect[1])
    solver = Fragile(system, lambda connected, inputs: inputs.topo_vect[:, place] == 2)
    busbars = [1] * int(system.grid.sub_info[2])
    busbars[place - int(system.grid.sub_start[2])] = 2
    attacks = [(4, "sub_2", 3, None, tuple(busbars))]
    task = small_task(system, solver=solver, opponent=ScheduleOpponent(attacks))
    found = attribute(task, lost(task))
    assert (found.verdict, found.lasted, found.started.completes) == ("attack", 4, True)
    assert found.started.words == "the attack on substation sub_2 at step 4 for 3 steps"


def test_the_example_of_the_page_runs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "attribution.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(block, "attribution.md", "exec"), {})
    assert "attack The grid was lost" in capsys.readouterr().out


def test_what_cannot_be_attributed():
    task = world(out(0))
    zero = np.zeros(1, dtype=np.int64)
    (episode,) = record(task, DoNothing(), Starts(zero, zero, zero, 5))
    with pytest.raises(ValueError, match="reached its time limit"):
        attribute(task, episode)
    with pytest.raises(ValueError, match="the opponent is an agent"):
        record(small_task(), DoNothing(), Starts(zero, zero, zero, 5))
