"""What a zone can compute with: exact where it sees all, close where it does not, and blind to what it cannot see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents import DoNothing, Greedy, Team
from agents.candidates import Candidates
from agents.equivalent import reduced
from agents.planner import OfZone
from agents.policy import Seen
from agents.zone_model import model_of
from marlgrid.env.registry import make_task
from marlgrid.simulation.action import Action, do_nothing
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.frame import LAYOUT
from marlgrid.simulation.state import take
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.menu import Menu
from marlgrid.task.patch import patch_of


def running(task, n=8, steps=5):
    """Episodes some steps on, lines out in a few of them."""
    scenario = np.arange(n) + task.series.splits["train"].start
    episode, outputs = task.reset(np.arange(n), scenario, np.arange(n) * 100 + 50, np.full(n, 50))
    for _ in range(steps):
        episode, outputs = task.step(episode, DoNothing().act(task, episode, outputs, ())[0])
    return episode, outputs


def test_lines_in_a_row_add_up_and_a_star_becomes_a_triangle():
    r"""A zone of one substation on a ring of 5: the three lines out of sight become one, of their summed impedance."""
    task = make_task("case5")
    grid = task.system.grid
    ring = replace(
        grid,
        line_or_to_subid=np.array([0, 1, 2, 3, 4, 0, 0, 0], dtype=np.int32)[: grid.n_line],
        line_ex_to_subid=np.array([1, 2, 3, 4, 0, 1, 1, 4], dtype=np.int32)[: grid.n_line],
        initial_topo_vect=None,
    )
    system = replace(task.system, grid=ring, zones=replace(task.system.zones, grid=ring))
    patch = patch_of(system, np.arange(5) == 0)
    impedance = (ring.line_r_pu + 1j * ring.line_x_pu)[1:4].sum()
    expected = np.array([[1, -1], [-1, 1]]) / impedance
    np.testing.assert_allclose(reduced(ring, patch), expected, rtol=1e-9)


@pytest.mark.parametrize("scope", ["local", "neighbourhood", "global"])
def test_the_present_is_as_measured(scope):
    """With the injections of now, the model's power flow gives every flow in view; of all that is seen, exactly."""
    task = make_task("case14", observation=scope)
    episode, _ = running(task)
    for zone in range(3):
        model = model_of(task, zone)
        assert model.system.problems() == []
        own, state = model.task(task, episode.state)
        here, _ = simulate(own.system, own.foreseeing, own.series, state, do_nothing(8, own.system.n_zone), 0)
        there, _ = simulate(task.system, task.foreseeing, task.series, episode.state, do_nothing(8, 3), 0)
        n_line = len(model.patch.line)
        np.testing.assert_allclose(here.rho[:, :n_line], there.rho[:, model.patch.line], atol=1e-9)


@pytest.mark.parametrize("zone", [0, 1, 2])
def test_what_if_is_close_to_what_happens(zone):
    """All legal ready actions of a zone: the highest loading in view, by its own model and by the whole grid's."""
    task = make_task("case14")
    episode, _ = running(task)
    model = model_of(task, zone)
    own, state = model.task(task, episode.state)
    mine, theirs = Candidates(own.system, zone=zone), Candidates(task.system, zone=zone)
    np.testing.assert_array_equal(mine.legal(state), theirs.legal(episode.state))
    row, action = np.nonzero(mine.legal(state))
    found = []
    for candidates, of, start in ((mine, own, state), (theirs, task, episode.state)):
        first = np.zeros((len(row), of.system.n_zone), np.int32)
        last = first.copy()
        first[:, zone], last[:, zone] = candidates.table.start[action], candidates.table.start[action + 1]
        asked = Action(candidates.table.commands, first, last)
        found.append(simulate(of.system, of.foreseeing, of.series, take(start, row), asked)[0])
    alive = (found[0].outcome == 0) & (found[1].outcome == 0)
    assert alive.sum() > 200
    assert ((found[0].outcome > 0) == (found[1].outcome > 0)).mean() > 0.9
    here = found[0].rho[alive][:, : len(model.patch.line)].max(axis=1)
    there = found[1].rho[alive][:, model.patch.line].max(axis=1)
    assert np.corrcoef(here, there)[0, 1] > 0.98
    assert np.median(np.abs(here - there)) < 0.05


# ------------------------------------------------------------------------------------------------ blind to the rest
class ElsewhereOtherwise:
    """A time series that expects something else where a zone does not see."""

    def __init__(self, series, patch, grid):
        self.series, self.patch, self.grid = series, patch, grid

    def __getattr__(self, name):
        return getattr(self.series, name)

    def forecast(self, scenario, t, horizon):
        expected = self.series.forecast(scenario, t, horizon)
        unseen = {kind: hidden(self.patch, kind, getattr(self.grid, f"n_{kind}")) for kind in ("gen", "load", "line")}
        return type(expected)(
            *(
                np.where(unseen[kind_of(name)], array + 3, array).astype(array.dtype)
                for name, array in expected._asdict().items()
            )
        )


def kind_of(name):
    return {"gen_p": "gen", "gen_v": "gen", "load_p": "load", "load_q": "load"}.get(name, "line")


def hidden(patch, kind, n):
    return ~np.isin(np.arange(n), getattr(patch, kind))


def elsewhere_otherwise(task, state, patch):
    """The same state in all that a zone sees, another one in everything else."""
    grid = task.system.grid
    sizes = {"gen": grid.n_gen, "load": grid.n_load, "line": grid.n_line, "storage": grid.n_storage,
             "shunt": grid.n_shunt, "sub": grid.n_sub, "place": grid.dim_topo}  # fmt: skip
    unseen = {kind: hidden(patch, kind, n) for kind, n in sizes.items()}
    unseen["sub"][patch.sub[patch.beyond]] = True
    unseen["place"][patch.place[patch.beyond[patch.system.grid.topology_layout.sub]]] = True
    told = {"seed", "scenario", "t", "t_start", "t_end", "outcome", "converged"}
    changes = {}
    for field in LAYOUT.fields:
        if field.path[0] != "state" or field.path[-1] in told:
            continue
        value = state
        for name in field.path[1:]:
            value = getattr(value, name)
        size = field.sizes[-1] if field.sizes else "env"
        if size in ("alarm", "alert"):
            continue
        mask = unseen.get(size, np.ones(value.shape[-1], dtype=bool) if size == "bus" else True)
        for end in ("or", "ex"):
            if size == "line" and field.path[-1].endswith(f"_{end}"):
                mask = mask.copy()
                mask[patch.line[patch.unseen[end]]] = True
        if field.path[-1] in ("topo_vect", "last_bus"):
            # the far end of a line tells whether it is in service, not on which busbar
            far = np.where(value > 0, 2, -1)
            other = np.where(np.isin(np.arange(grid.dim_topo), patch.place), far, np.where(value > 0, 2, 1))
        else:
            other = ~value if value.dtype == bool else value + np.array(2).astype(value.dtype)
        if field.path[1] == "alarm" or field.path[-1] == "total_number_of_alert":
            continue  # the account of warnings is everybody's
        changes[field.path] = np.where(mask, other, value).astype(value.dtype)
    return replaced(state, changes, ("state",))


def replaced(record, changes, path):
    return record._replace(
        **{
            name: replaced(getattr(record, name), changes, (*path, name))
            if isinstance(getattr(record, name), tuple)
            else changes.get((*path, name), getattr(record, name))
            for name in record._fields
        }
    )


@pytest.mark.parametrize("scope", ["local", "neighbourhood"])
def test_a_zone_reads_nothing_that_it_does_not_see(scope):
    """Everything out of sight is changed, state and forecasts: view, model and answers stay the same."""
    task = make_task("case14", observation=scope)
    episode, outputs = running(task, n=6)
    greedy = OfZone(Greedy(act_above=0.5, enough=0.3, split_above=0.4))
    acted = 0
    for number, zone in enumerate(task.zones):
        patch = model_of(task, number).patch
        other = episode._replace(state=elsewhere_otherwise(task, episode.state, patch))
        strange = replace(task, series=ElsewhereOtherwise(task.series, patch, task.system.grid))
        assert not np.array_equal(other.state.flow.p_or, episode.state.flow.p_or)
        here, there = Seen.of(task, episode, outputs, zone), Seen.of(strange, other, outputs, zone)
        for name in ("rho", "topo_vect", "p_or", "q_ex", "gen_p", "actual_dispatch", "time_before_cooldown_sub"):
            np.testing.assert_array_equal(getattr(here.view, name), getattr(there.view, name), err_msg=name)
        (_, mine), (_, also_mine) = here.view.model, there.view.model
        for path in (field.path for field in LAYOUT.fields if field.path[0] == "state"):
            one, two = mine, also_mine
            for name in path[1:]:
                one, two = getattr(one, name), getattr(two, name)
            np.testing.assert_array_equal(one, two, err_msg=".".join(path))
        answers, again = greedy.act(here, (), ())[0], greedy.act(there, (), ())[0]
        for a, b in zip(answers, again, strict=True):
            acted += len(a.kind) > 0
            for one, two in zip(a, b, strict=True):
                np.testing.assert_array_equal(one, two)
    assert acted > 3


def test_simulate_takes_elements_of_the_space_and_speaks_of_what_is_in_view():
    task = make_task("case14", parameters={"no_overflow_disconnection": True})
    episode, outputs = running(task, n=4)
    seen = Seen.of(task, episode, outputs, "zone_1")
    n = task.action_space("zone_1").n
    words = [task.actions.describe(1, a) for a in range(n)]
    legal = [a for a in range(n) if "redispatch" in words[a] and outputs.masks["zone_1"][:, a].all()]
    assert legal
    idle = seen.view.simulate([0] * 4)
    np.testing.assert_array_equal(idle.rho, seen.view.simulate([None] * 4).rho)
    assert idle.rho.shape == seen.view.rho.shape
    assert idle.accepted.all()
    for action in legal:
        after = seen.view.simulate([int(action)] * 4)
        assert after.accepted.all()
        assert not np.allclose(after.rho, idle.rho)
    refused = np.flatnonzero(outputs.masks["zone_1"][0] == 0)
    assert all(not seen.view.simulate([int(a)] * 4).accepted[0] for a in refused if a < n)
    foreign = task.make_action({"redispatch": [(0, 1.0)]})
    with pytest.raises(ValueError, match="not in what is seen"):
        seen.view.simulate([foreign] * 4)


def test_a_team_of_zone_greedy_policies_plays_legal_actions():
    task = make_task("case14", split="validation")
    rng = np.random.default_rng(0)
    scenario = np.array([task.series.splits["validation"][k] for k in range(20)])
    start = rng.integers(2**60, size=20), scenario, rng.integers(0, 1500, size=20), np.full(20, 48)

    def survival(agent):
        episode, outputs = task.reset(*start)
        memory = agent.initial_memory(task, 20)
        while episode.state.running.any():
            choices, memory = agent.act(task, episode, outputs, memory)
            episode, outputs = task.step(episode, choices)
        return outputs.infos["zone_0"]["survival"].mean()

    assert survival(Team({"zones": OfZone(Greedy())})) > survival(DoNothing())


def test_zone_greedy_is_brute_force_on_what_the_zone_foresees():
    """Of all legal gentle actions of a zone, tried one by one by ``view.simulate``, it plays the one that leaves the
    lowest loading in view; nothing where none lowers it."""
    menu = Menu(kinds=("redispatch", "curtail", "storage"))
    task = make_task("case14", actions=lambda system: DiscreteActions(system, menu))
    episode, outputs = running(task, n=6)
    policy, played = OfZone(Greedy(act_above=0.0, enough=0.0, margin=1e-5, menu=menu)), 0
    for number, zone in enumerate(task.zones):
        seen, mask = Seen.of(task, episode, outputs, zone), outputs.masks[zone]
        answers, _ = policy.act(seen, mask, ())
        tried = [seen.view.simulate([action] * 6) for action in range(mask.shape[1])]
        loading = np.stack([np.where(t.accepted & ~t.lost, t.rho.max(axis=1).round(6), np.inf) for t in tried], axis=1)
        loading[mask == 0] = np.inf
        for row, answer in enumerate(answers):
            best = int(loading[row].argmin())
            if loading[row, best] >= loading[row, 0] - 1e-5:
                assert len(answer.kind) == 0
                continue
            expected = task.actions.commands(number, best)
            np.testing.assert_array_equal(answer.index, expected.index)
            np.testing.assert_array_equal(answer.value, expected.value)
            played += 1
    assert played > 6
