"""The expert on grids where the remedy is known, and against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Expert, Greedy, OfZone, Team
from agents.candidates import LOST, Candidates
from agents.do_nothing import Idle
from agents.expert import _distances
from experiments.evaluation import Starts, played
from marlgrid.env.registry import make_task
from marlgrid.simulation.action import Kind
from marlgrid.simulation.state import take
from tests.agents.hand import constant, triangle, twin_lines


def begin(task, n_step=20):
    return task.reset(np.array([0]), np.array([0]), np.array([0]), np.array([n_step]))


def busbars_after(task, episode, choices):
    """Busbar of (line_0, line_1, gen_0, gen_1) at sub_0 after a step."""
    after, _ = task.step(episode, choices)
    grid, topo = task.system.grid, after.state.topology.topo_vect[0]
    return [int(topo[p]) for p in (*grid.line_or_pos_topo_vect, *grid.gen_pos_topo_vect)], after


def brute_force(task, state, candidates):
    """The legal ready action that leaves the lowest loading, alone: (entry, loading), and the loading without any."""
    legal = np.flatnonzero(candidates.legal(state)[0])
    rows = np.zeros(len(legal), dtype=int)
    alone = candidates.with_one_more(candidates.nothing(len(legal)), legal)
    loading = candidates.loading_after(task, state, rows, alone)
    idle = candidates.loading_after(task, state, rows[:1], candidates.nothing(1))[0]
    return int(legal[loading.argmin()]), float(loading.min()), idle


# two zones that both search would both act, and the second cut a line: see the coordinator
AGENTS = {
    "expert": Expert(),
    "greedy": Greedy(),
    "zone-expert": Team({"zone_0": OfZone(Expert()), "zones": Idle()}),
    "zone-greedy": Team({"zone_0": OfZone(Greedy()), "zones": Idle()}),
}


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("zones", [1, [[0], [1]]])
def test_the_one_split_that_helps_is_found(name, zones):
    """60 and 20 MW make 40 MW on each line, 10 too many for line_1: gen_0 must have line_0, gen_1 line_1, alone."""
    task = constant(twin_lines(), [60.0, 20.0], [80.0], zones)
    episode, outputs = begin(task)
    assert episode.state.rho[0] == pytest.approx([40 / 70, 40 / 30])
    agent = AGENTS[name]
    choices, _ = agent.act(task, episode, outputs, agent.initial_memory(task, 1))
    places, after = busbars_after(task, episode, choices)
    assert places[0] == places[2] != places[1] == places[3]
    assert after.state.rho[0] == pytest.approx([60 / 70, 20 / 30])
    candidates = Candidates(task.system)
    best, loading, idle = brute_force(task, episode.state, candidates)
    assert (loading, idle) == (pytest.approx(60 / 70), pytest.approx(40 / 30))
    np.testing.assert_array_equal(choices["zone_0"][0].value, candidates.table.entry(best).value)
    assert set(choices["zone_0"][0].kind.tolist()) == {Kind.SET_BUS}


def test_a_calm_grid_goes_back_to_one_busbar():
    load = np.repeat([[80.0], [40.0]], [8, 52], axis=0)
    task = constant(twin_lines(), load * [0.75, 0.25], load, 1)
    starts = Starts(np.array([0]), np.array([0]), np.array([0]), 16)
    moments = list(played(task, Expert(), starts))
    split = [bool((moment.after.state.topology.topo_vect == 2).any()) for moment in moments]
    assert split[0]
    assert not split[-1]
    assert split == sorted(split, reverse=True)
    # joined, line_1 carries 20 of 30 MW, which is below restore_below; above it the grid stays split
    stays = list(played(task, Expert(restore_below=0.6), starts))
    assert (stays[-1].after.state.topology.topo_vect == 2).any()


def test_it_does_nothing_below_its_threshold():
    task = constant(twin_lines(), [30.0, 28.5], [58.5], 1)
    episode, outputs = begin(task)
    assert episode.state.rho.max() == pytest.approx(0.975)
    quiet = Expert(act_above=0.98).act(task, episode, outputs, ())[0]
    assert len(quiet["zone_0"][0].kind) == 0
    alert = Expert(act_above=0.97).act(task, episode, outputs, ())[0]
    assert len(alert["zone_0"][0].kind) > 0


def test_where_no_topology_helps_it_redispatches():
    """On the triangle any switching leaves more on line_1 or cuts it; moving power from gen_0 to gen_1 helps."""
    task = constant(triangle(45.0, 20.0), [60.0, 30.0], [90.0], 1, no_overflow_disconnection=True)
    episode, outputs = begin(task)
    commands = Expert().act(task, episode, outputs, ())[0]["zone_0"][0]
    after, _ = task.step(episode, {"zone_0": [commands]})
    assert after.state.rho[0].max() < 1.0


def test_distances_in_a_triangle_and_in_a_row():
    assert _distances(constant(triangle(), [1, 1], [2], 1).system).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    task = make_task("case14")
    grid, away = task.system.grid, _distances(task.system)
    assert away.shape == (grid.n_line, grid.n_sub)
    assert (away[np.arange(20), grid.line_or_to_subid] == 0).all()
    assert away.max() < 6


def test_in_danger_it_finds_the_split_that_brute_force_finds():
    """Wherever the best of all legal actions of all zones is topological and at the most loaded line, it is chosen."""
    task = make_task("case14", split="validation", opponent="random")
    starts = Starts.of_split(task, "validation", 24, 60, seed=3)
    candidates = Candidates(task.system)
    expert, found = Expert(act_above=1.0), 0
    for moment in played(task, Expert(act_above=1.0), starts):
        state = moment.before.state
        for row in np.flatnonzero(state.running & (state.rho.max(axis=1) >= 1.0))[:2]:
            one = take(state, np.array([row]))
            best, loading, idle = brute_force(task, one, candidates)
            rho = candidates.rho_after(task, one, np.array([0]), candidates.nothing(1))[0]
            sub = task.system.grid.topology_layout.sub[candidates.index[best]]
            if candidates.kind[best] != Kind.SET_BUS or idle < 1.0 or idle == LOST or loading >= idle - 1e-3:
                continue
            if _distances(task.system)[rho.argmax(), sub] > 0:
                continue
            zone = task.zones[candidates.table.zone[best]]
            commands = expert.plan(task, one)[zone][0]
            np.testing.assert_array_equal(commands.index, candidates.table.entry(best).index)
            np.testing.assert_array_equal(commands.value, candidates.table.entry(best).value)
            found += 1
        if found >= 3:
            break
    assert found >= 3
